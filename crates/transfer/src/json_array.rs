//! Reads the elements of a JSON array one by one.

use std::{
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use crate::{
    FindingKind, TransferError,
    line_reader::{Numbered, object},
};

/// Reads a file that is one JSON array. It holds one element of at most `max` bytes in memory.
pub(crate) struct ArrayReader<'a> {
    path: &'a Path,
    file: BufReader<Box<dyn Read + 'a>>,
    bytes: Vec<u8>,
    /// The number of the current line, from 1.
    line: u64,
    max: usize,
    position: Position,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Before the opening bracket.
    Start,
    /// Before an element, or behind one.
    Between,
    /// Behind the closing bracket.
    Behind,
    /// Nothing more is read.
    End,
}

/// The end of a scan.
#[derive(Debug, PartialEq, Eq)]
enum Scanned {
    Element {
        line: u64,
        is_too_large: bool,
    },
    /// The end of the file, behind the array.
    End,
    /// The file begins with something else than an array.
    NoArray {
        line: u64,
    },
    /// More than whitespace is behind the array.
    MoreBehind {
        line: u64,
    },
    /// The file ends before the array does.
    Torn {
        line: u64,
    },
}

impl<'a> ArrayReader<'a> {
    pub(crate) fn over(path: &'a Path, stream: Box<dyn Read + 'a>, max: usize) -> Self {
        let file = BufReader::new(stream);
        Self { path, file, bytes: Vec::new(), line: 1, max, position: Position::Start }
    }

    /// Returns the next element with the line on which it begins; `None` at the end of the file. Text that is no element of
    /// the array is one finding, and ends it.
    pub(crate) fn next(&mut self) -> Result<Option<Numbered<'_>>, TransferError> {
        if self.position == Position::End {
            return Ok(None);
        }
        match self.scan().map_err(TransferError::io(self.path, "read"))? {
            Scanned::End => {
                self.position = Position::End;
                Ok(None)
            }
            Scanned::Torn { line } => {
                self.position = Position::End;
                Ok(Some((line, Err(FindingKind::Torn))))
            }
            Scanned::NoArray { line } => {
                self.position = Position::End;
                Ok(Some((line, Err(FindingKind::NoArray))))
            }
            Scanned::MoreBehind { line } => {
                self.position = Position::End;
                Ok(Some((line, Err(FindingKind::BehindArray))))
            }
            Scanned::Element { line, is_too_large: true } => {
                Ok(Some((line, Err(FindingKind::TooLarge { max: self.max }))))
            }
            Scanned::Element { line, is_too_large: false } => Ok(Some((line, object(&self.bytes)))),
        }
    }

    /// Reads the next element into `bytes`.
    fn scan(&mut self) -> io::Result<Scanned> {
        self.bytes.clear();
        self.bytes.shrink_to(1 << 20);
        let mut element = Element::default();
        // The line on which the element begins.
        let mut begins = None;
        loop {
            let buffer = self.file.fill_buf()?;
            if buffer.is_empty() {
                return Ok(match self.position {
                    Position::Behind | Position::End => Scanned::End,
                    Position::Start | Position::Between => {
                        Scanned::Torn { line: begins.unwrap_or(self.line) }
                    }
                });
            }
            let (mut used, mut from, mut done) = (0, 0, None);
            for &byte in buffer {
                if begins.is_none() {
                    // Outside of an element.
                    let line = self.line;
                    match (self.position, byte) {
                        (_, b' ' | b'\t' | b'\r' | b'\n' | 0xef | 0xbb | 0xbf) => {}
                        (Position::Start, b'[') => self.position = Position::Between,
                        (Position::Start, _) => return Ok(Scanned::NoArray { line }),
                        (Position::Between, b',') => {}
                        (Position::Between, b']') => self.position = Position::Behind,
                        (Position::Between, _) => begins = Some(line),
                        (Position::Behind | Position::End, _) => return Ok(Scanned::MoreBehind { line }),
                    }
                    from = if begins.is_some() { used } else { used + 1 };
                }
                if let Some(line) = begins
                    && element.ends_before(byte)
                {
                    done = Some(Scanned::Element { line, is_too_large: element.bytes > self.max });
                    break;
                }
                used += 1;
                self.line += u64::from(byte == b'\n');
            }
            if begins.is_some() && element.bytes <= self.max {
                self.bytes.extend_from_slice(&buffer[from..used]);
            }
            self.file.consume(used);
            if let Some(done) = done {
                return Ok(done);
            }
        }
    }
}

/// The state of a scan through one element.
#[derive(Default)]
struct Element {
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    bytes: usize,
}

impl Element {
    /// Whether the element ended before this byte. Otherwise the byte belongs to it.
    fn ends_before(&mut self, byte: u8) -> bool {
        let ends = self.depth == 0 && !self.is_in_string && matches!(byte, b',' | b']');
        if ends {
            return true;
        }
        self.bytes += 1;
        if self.is_in_string {
            let is_escape = !self.is_escaped && byte == b'\\';
            self.is_in_string = self.is_escaped || byte != b'"';
            self.is_escaped = is_escape;
            return false;
        }
        match byte {
            b'"' => self.is_in_string = true,
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn read(text: &str, max: usize, at_once: usize) -> Vec<(u64, Result<String, FindingKind>)> {
        struct Slow(Cursor<Vec<u8>>, usize);
        impl Read for Slow {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let most = self.1.min(buffer.len());
                self.0.read(&mut buffer[..most])
            }
        }
        let stream = Slow(Cursor::new(text.as_bytes().to_vec()), at_once);
        let mut array = ArrayReader::over(Path::new("a.json"), Box::new(stream), max);
        let mut all = Vec::new();
        while let Some((line, element)) = array.next().unwrap() {
            all.push((line, element.map(|element| element.text().to_owned())));
        }
        all
    }

    #[test]
    fn the_elements_of_an_array_are_read_with_their_lines() {
        let text = "[\n{\"a\":[1,\n{}]} ,\n\n{\"b\":\"]},\\\"\\\\\"},3,{\"c\":{}}\n]\n tail";
        for at_once in 1..text.len() {
            assert_eq!(
                read(text, 100, at_once),
                [
                    (2, Ok("{\"a\":[1,\n{}]}".to_owned())),
                    (5, Ok("{\"b\":\"]},\\\"\\\\\"}".to_owned())),
                    (5, Err(FindingKind::NoObject)),
                    (5, Ok("{\"c\":{}}".to_owned())),
                    (7, Err(FindingKind::BehindArray)),
                ],
                "{at_once}"
            );
        }
        assert_eq!(read("[]", 100, 1), []);
        assert_eq!(read(" [ ] ", 100, 1), []);
    }

    #[test]
    fn a_file_that_begins_with_something_else_is_one_finding() {
        for text in ["]", "1]", "a,b]", ",[{}]", "null]", "\n{}]"] {
            let line = 1 + u64::from(text.starts_with('\n'));
            for at_once in 1..=text.len() {
                assert_eq!(read(text, 100, at_once), [(line, Err(FindingKind::NoArray))], "{text}");
            }
        }
    }

    #[test]
    fn a_second_array_in_a_file_is_reported_with_its_line() {
        let due = [(1, Ok("{}".to_owned())), (3, Err(FindingKind::BehindArray))];
        for at_once in 1..12 {
            assert_eq!(read("[{}]\n\n[{},{}]", 100, at_once), due);
        }
    }

    #[test]
    fn an_array_that_is_cut_off_is_reported() {
        let text = "[{\"a\":1},{\"b\":\"x\"}]";
        for end in 0..text.len() {
            let elements = read(&text[..end], 100, 7);
            assert_eq!(elements.last(), Some(&(1, Err(FindingKind::Torn))), "{end}");
        }
    }

    #[test]
    fn an_element_that_is_too_large_is_skipped_and_not_buffered() {
        let text = format!("[{{\"a\":\"{}\"}},{{\"b\":1}}]", "x".repeat(1 << 20));
        let stream = Box::new(Cursor::new(text.into_bytes()));
        let mut array = ArrayReader::over(Path::new("a.json"), stream, 100);
        let first = array.next().unwrap().unwrap();
        assert!(matches!(first, (1, Err(FindingKind::TooLarge { max: 100 }))));
        let second = array.next().unwrap().unwrap().1.unwrap().text().to_owned();
        assert_eq!(second, "{\"b\":1}");
        assert!(array.bytes.capacity() < 1 << 18, "{}", array.bytes.capacity());
    }
}
