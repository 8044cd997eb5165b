//! Reads the lines of a transcript.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _},
    path::Path,
};

use serde_json::value::RawValue;

use super::object::{MAX_FIELDS, Object, ReadError};
use crate::{FindingKind, TransferError};

/// A line with its number, from 1: an object, or the reason why it is none.
type Numbered<'a> = (u64, Result<Object<'a>, FindingKind>);

/// Reads a transcript line by line. It holds one line of at most `max` bytes in memory.
pub(super) struct LineReader<'a> {
    path: &'a Path,
    file: BufReader<File>,
    bytes: Vec<u8>,
    number: u64,
    max: usize,
}

impl<'a> LineReader<'a> {
    pub(super) fn open(path: &'a Path, max: usize) -> Result<Self, TransferError> {
        let file = File::open(path).map_err(TransferError::io(path, "read"))?;
        Ok(Self { path, file: BufReader::new(file), bytes: Vec::new(), number: 0, max })
    }

    /// Returns the next line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Numbered<'_>>, TransferError> {
        let read = read_line(&mut self.file, &mut self.bytes, self.max);
        let read = read.map_err(TransferError::io(self.path, "read"))?;
        if read == LineRead::End {
            return Ok(None);
        }
        self.number += 1;
        if read == LineRead::TooLong {
            return Ok(Some((self.number, Err(FindingKind::LineTooLong { max: self.max }))));
        }
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        // Some editors write a byte order mark at the start.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| self.number == 1).unwrap_or(bytes);
        Ok(Some((self.number, line(bytes))))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineRead {
    /// The line is in the buffer.
    Line,
    /// The line exceeds the limit; the reader is after it.
    TooLong,
    /// The end of the file.
    End,
}

/// Reads the next line into `bytes`, which never holds more than `max` bytes.
fn read_line(file: &mut impl BufRead, bytes: &mut Vec<u8>, max: usize) -> io::Result<LineRead> {
    bytes.clear();
    // Includes the line break, and one more byte that shows a line that is too long.
    let limit = (max as u64).saturating_add(2);
    if file.by_ref().take(limit).read_until(b'\n', bytes)? == 0 {
        return Ok(LineRead::End);
    }
    let ends = bytes.last() == Some(&b'\n');
    if bytes.len() - usize::from(ends) <= max {
        return Ok(LineRead::Line);
    }
    bytes.clear();
    bytes.shrink_to(1 << 20);
    if !ends {
        file.skip_until(b'\n')?;
    }
    Ok(LineRead::TooLong)
}

fn line(bytes: &[u8]) -> Result<Object<'_>, FindingKind> {
    let text = str::from_utf8(bytes).map_err(|error| FindingKind::NotJson(error.valid_up_to() + 1))?;
    if text.trim().is_empty() {
        return Err(FindingKind::Blank);
    }
    Object::read(text).map_err(|error| match (error, serde_json::from_str::<&RawValue>(text)) {
        (_, Err(error)) => FindingKind::NotJson(error.column()),
        (ReadError::TooManyFields, Ok(_)) => FindingKind::TooManyFields { max: MAX_FIELDS },
        (ReadError::NoObject(_), Ok(value)) if !value.get().starts_with('{') => FindingKind::NoObject,
        (ReadError::NoObject(_), Ok(_)) => FindingKind::NotJson(1),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// Reads this text with a limit of four bytes for a line.
    fn read(text: &str) -> Vec<(LineRead, String)> {
        read_up_to(4, text)
    }

    fn read_up_to(max: usize, text: &str) -> Vec<(LineRead, String)> {
        let (mut file, mut bytes, mut lines) = (Cursor::new(text), Vec::new(), Vec::new());
        loop {
            match read_line(&mut file, &mut bytes, max).unwrap() {
                LineRead::End => return lines,
                read => lines.push((read, String::from_utf8(bytes.clone()).unwrap())),
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_not_buffered() {
        let line = |text: &str| (LineRead::Line, text.to_owned());
        let too_long = || (LineRead::TooLong, String::new());
        assert_eq!(read(""), []);
        assert_eq!(read("abcd\nab"), [line("abcd\n"), line("ab")]);
        assert_eq!(read("abcde\nab\n"), [too_long(), line("ab\n")]);
        assert_eq!(read("abcdefghijkl\n\nab"), [too_long(), line("\n"), line("ab")]);
        assert_eq!(read("ab\nabcdefgh"), [line("ab\n"), too_long()]);
        assert_eq!(read("abcde"), [too_long()]);
        assert_eq!(read("abcdef"), [too_long()]);
    }

    #[test]
    fn the_largest_limit_refuses_no_line() {
        let line = |text: &str| (LineRead::Line, text.to_owned());
        for max in [usize::MAX, usize::MAX - 1, usize::MAX - 2] {
            assert_eq!(read_up_to(max, "abcde\nab"), [line("abcde\n"), line("ab")]);
        }
    }

    #[test]
    fn an_endless_line_is_buffered_up_to_the_limit_only() {
        let mut endless = BufReader::new(io::repeat(b'x').take(1 << 26));
        let mut bytes = Vec::new();
        assert_eq!(read_line(&mut endless, &mut bytes, 1 << 20).unwrap(), LineRead::TooLong);
        assert!(bytes.capacity() <= 4 << 20, "{}", bytes.capacity());
        assert_eq!(read_line(&mut endless, &mut bytes, 1 << 20).unwrap(), LineRead::End);
    }
}
