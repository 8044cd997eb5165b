//! The lines of a transcript.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::Path,
};

use serde_json::value::RawValue;

use super::object::Object;
use crate::{Found, TransferError};

/// A line with its number, from 1 on: an object, or what it is instead.
type Numbered<'a> = (u64, Result<Object<'a>, Found>);

/// A transcript, a line at a time.
pub(super) struct Lines<'a> {
    path: &'a Path,
    file: BufReader<File>,
    bytes: Vec<u8>,
    number: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self, TransferError> {
        let file = File::open(path).map_err(TransferError::io(path, "read"))?;
        Ok(Self { path, file: BufReader::new(file), bytes: Vec::new(), number: 0 })
    }

    /// The next line; nothing at the end.
    pub(super) fn next(&mut self) -> Result<Option<Numbered<'_>>, TransferError> {
        self.bytes.clear();
        let read = self.file.read_until(b'\n', &mut self.bytes);
        if read.map_err(TransferError::io(self.path, "read"))? == 0 {
            return Ok(None);
        }
        self.number += 1;
        let bytes = self.bytes.strip_suffix(b"\n").unwrap_or(&self.bytes);
        // Some editors put a mark at the beginning.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").filter(|_| self.number == 1).unwrap_or(bytes);
        Ok(Some((self.number, line(bytes))))
    }
}

fn line(bytes: &[u8]) -> Result<Object<'_>, Found> {
    let text = str::from_utf8(bytes).map_err(|error| Found::NotJson(error.valid_up_to() + 1))?;
    if text.trim().is_empty() {
        return Err(Found::Blank);
    }
    Object::parse(text).map_err(|_| match serde_json::from_str::<&RawValue>(text) {
        Ok(value) if !value.get().starts_with('{') => Found::NoObject,
        Ok(_) => Found::NotJson(1),
        Err(error) => Found::NotJson(error.column()),
    })
}
