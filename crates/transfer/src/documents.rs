//! Reads a JSON file that is one document, or an array of them.

use std::{
    io::{BufRead as _, BufReader, Read},
    path::Path,
};

use crate::{TransferError, json_array::ArrayReader};

/// Reads the documents of a stream. A single document is read as an array of one, so that the same limits and the same
/// findings hold.
pub(crate) fn over<'a>(
    path: &'a Path,
    stream: Box<dyn Read + 'a>,
    max: usize,
) -> Result<ArrayReader<'a>, TransferError> {
    let mut stream = BufReader::new(stream);
    let head = stream.fill_buf().map_err(TransferError::io(path, "read"))?;
    let is_one = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start().starts_with(b"{");
    let stream: Box<dyn Read + 'a> =
        if is_one { Box::new(b"[".chain(stream).chain(&b"]"[..])) } else { Box::new(stream) };
    Ok(ArrayReader::over(path, stream, max))
}
