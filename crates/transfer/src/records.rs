//! Reads the records of a file: JSON lines, or the elements of one JSON array.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use crate::{
    Progress, TransferError,
    json_array::ArrayReader,
    line_reader::{LineReader, Numbered},
    progress::Counted,
};

/// Reads a file record by record. It holds one record in memory.
pub(crate) enum Records<'a> {
    ByLine(LineReader<'a>),
    InArray(ArrayReader<'a>),
}

impl<'a> Records<'a> {
    /// Opens a file. It is an array if its first character is a bracket.
    pub(crate) fn open(path: &'a Path, max: usize, progress: &Progress) -> Result<Self, TransferError> {
        let file = File::open(path).map_err(TransferError::io(path, "read"))?;
        let mut file = BufReader::new(Counted::new(file, progress));
        let head = file.fill_buf().map_err(TransferError::io(path, "read"))?;
        let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        Ok(if head.starts_with(b"[") {
            Self::InArray(ArrayReader::over(path, Box::new(file), max))
        } else {
            Self::ByLine(LineReader::over(path, Box::new(file), max))
        })
    }

    /// Returns the next record with the line on which it begins; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Numbered<'_>>, TransferError> {
        match self {
            Self::ByLine(lines) => lines.next(),
            Self::InArray(array) => array.next(),
        }
    }
}
