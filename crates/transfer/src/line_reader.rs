//! Reads a file of JSON lines.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom},
    path::Path,
};

use serde_json::value::RawValue;

use crate::{
    FindingKind, Progress, TransferError,
    object::{MAX_FIELDS, Object, ReadError},
    progress::Counted,
};

/// The most bytes of a line or a record. A store takes a content of 64 MiB, and the native format may have to escape each of its
/// bytes; so twice that, with space for the other fields.
pub(crate) const MAX_BYTES: usize = 160 << 20;
/// The most bytes that a reader keeps for the next line. A longer line gives its memory back.
const KEPT_BYTES: usize = 1 << 20;

/// A line with its number, from 1: an object, or the reason why it is none.
pub(crate) type Numbered<'a> = (u64, Result<Object<'a>, FindingKind>);
/// A line with its number, from 1: its bytes, or the reason why they are not read.
type NumberedBytes<'a> = (u64, Result<&'a [u8], FindingKind>);

/// Reads a file line by line. It holds one line of at most `max` bytes in memory.
pub(crate) struct LineReader<'a> {
    path: &'a Path,
    file: BufReader<Box<dyn Read>>,
    bytes: Vec<u8>,
    number: u64,
    /// The bytes of all lines up to the current one.
    offset: u64,
    max: usize,
}

impl<'a> LineReader<'a> {
    pub(crate) fn open(path: &'a Path, max: usize, progress: &Progress) -> Result<Self, TransferError> {
        let file = File::open(path).map_err(TransferError::io(path, "read"))?;
        Ok(Self::over(path, Box::new(Counted::new(file, progress)), max))
    }

    /// Reads from a line on, which begins after `offset` bytes and `number` lines.
    pub(crate) fn open_at(
        path: &'a Path,
        max: usize,
        progress: &Progress,
        (offset, number): (u64, u64),
    ) -> Result<Self, TransferError> {
        let mut file = File::open(path).map_err(TransferError::io(path, "read"))?;
        file.seek(SeekFrom::Start(offset)).map_err(TransferError::io(path, "read"))?;
        let lines = Self::over(path, Box::new(Counted::new(file, progress)), max);
        Ok(Self { number, offset, ..lines })
    }

    /// Reads the lines of a stream, such as a decompressed file.
    pub(crate) fn over(path: &'a Path, stream: Box<dyn Read>, max: usize) -> Self {
        Self { path, file: BufReader::new(stream), bytes: Vec::new(), number: 0, offset: 0, max }
    }

    /// The bytes and the lines before the next line.
    pub(crate) const fn position(&self) -> (u64, u64) {
        (self.offset, self.number)
    }

    /// Returns the next line as an object; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Numbered<'_>>, TransferError> {
        let line = self.next_bytes()?;
        Ok(line.map(|(number, line)| {
            (number, line.and_then(|line| object(line.strip_suffix(b"\n").unwrap_or(line))))
        }))
    }

    /// Returns the bytes of the next line with its line break; `None` at the end.
    pub(crate) fn next_bytes(&mut self) -> Result<Option<NumberedBytes<'_>>, TransferError> {
        let read = read_line(&mut self.file, &mut self.bytes, self.max, &mut self.offset);
        let read = read.map_err(TransferError::io(self.path, "read"))?;
        if read == LineRead::End {
            return Ok(None);
        }
        self.number += 1;
        if read == LineRead::TooLong {
            return Ok(Some((self.number, Err(FindingKind::LineTooLong { max: self.max }))));
        }
        // Some editors write a byte order mark at the start.
        let mark = self.bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| self.number == 1);
        Ok(Some((self.number, Ok(mark.unwrap_or(&self.bytes)))))
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

/// Reads the next line into `bytes`, which never holds more than `max` bytes, and adds its length to `offset`.
fn read_line(
    file: &mut impl BufRead,
    bytes: &mut Vec<u8>,
    max: usize,
    offset: &mut u64,
) -> io::Result<LineRead> {
    bytes.clear();
    bytes.shrink_to(KEPT_BYTES);
    // Includes the line break, and one more byte that shows a line that is too long.
    let limit = (max as u64).saturating_add(2);
    let read = file.by_ref().take(limit).read_until(b'\n', bytes)?;
    *offset += read as u64;
    if read == 0 {
        return Ok(LineRead::End);
    }
    let ends = bytes.last() == Some(&b'\n');
    if bytes.len() - usize::from(ends) <= max {
        return Ok(LineRead::Line);
    }
    bytes.clear();
    bytes.shrink_to(KEPT_BYTES);
    if !ends {
        *offset += file.skip_until(b'\n')? as u64;
    }
    Ok(LineRead::TooLong)
}

/// Reads a text of a file as an object.
pub(crate) fn object(bytes: &[u8]) -> Result<Object<'_>, FindingKind> {
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
            match read_line(&mut file, &mut bytes, max, &mut 0).unwrap() {
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
    fn a_long_line_gives_its_memory_back() {
        let text = format!("{}\nab\n", "x".repeat(4 << 20));
        let (mut file, mut bytes) = (Cursor::new(text), Vec::new());
        assert_eq!(read_line(&mut file, &mut bytes, MAX_BYTES, &mut 0).unwrap(), LineRead::Line);
        assert!(bytes.capacity() > 4 << 20);
        assert_eq!(read_line(&mut file, &mut bytes, MAX_BYTES, &mut 0).unwrap(), LineRead::Line);
        assert_eq!(bytes, b"ab\n");
        assert!(bytes.capacity() <= 1 << 20, "{}", bytes.capacity());
    }

    #[test]
    fn an_endless_line_is_buffered_up_to_the_limit_only() {
        let mut endless = BufReader::new(io::repeat(b'x').take(1 << 26));
        let mut bytes = Vec::new();
        assert_eq!(read_line(&mut endless, &mut bytes, 1 << 20, &mut 0).unwrap(), LineRead::TooLong);
        assert!(bytes.capacity() <= 4 << 20, "{}", bytes.capacity());
        assert_eq!(read_line(&mut endless, &mut bytes, 1 << 20, &mut 0).unwrap(), LineRead::End);
    }
}
