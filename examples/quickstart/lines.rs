//! Reads a file line by line, with a bound on the memory for each line.

use std::io::{self, BufRead, Read};

/// The longest accepted line: four times the content limit of the `limits` layer.
pub(crate) const MAX_LINE: usize = 32 << 20;

/// One line of the file.
pub(crate) enum Line<'a> {
    /// The bytes of a line, without the line break.
    Whole(&'a [u8]),
    /// The last line, without a line break: its writer may have died before the end of the line.
    Unfinished(&'a [u8]),
    /// A line above the limit.
    TooLong,
}

/// Reads lines into one reused buffer.
pub(crate) struct LineReader<R> {
    input: R,
    buffer: Vec<u8>,
    number: usize,
}

impl<R: BufRead> LineReader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), number: 0 }
    }

    /// Returns the next line and its number, from 1.
    pub(crate) fn next(&mut self) -> io::Result<Option<(usize, Line<'_>)>> {
        self.buffer.clear();
        let most = MAX_LINE as u64 + 1;
        let read = self.input.by_ref().take(most).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let line = match self.buffer.strip_suffix(b"\n") {
            Some(line) => Line::Whole(line),
            None if read <= MAX_LINE => Line::Unfinished(&self.buffer),
            None => {
                self.input.skip_until(b'\n')?;
                Line::TooLong
            }
        };
        Ok(Some((self.number, line)))
    }
}

impl Line<'_> {
    pub(crate) const TOO_LONG: &'static str = "a line of more than 32 MiB";
}
