//! The lines of a file, each bounded in memory.

use std::io::{self, BufRead, Read};

/// The longest line that is kept: four times what the `limits` layer lets through as one content.
pub(crate) const LONGEST: usize = 32 << 20;

/// What stands on a line.
pub(crate) enum Line<'a> {
    /// Bytes, without the end of the line.
    Whole(&'a [u8]),
    /// The last line of a file that does not end with a line break: a writer may have died in the middle of it.
    Unfinished(&'a [u8]),
    /// More than is kept.
    TooLong,
}

/// Reads line by line into one buffer.
pub(crate) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: usize,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), number: 0 }
    }

    /// The next line and its number, from 1.
    pub(crate) fn next(&mut self) -> io::Result<Option<(usize, Line<'_>)>> {
        self.buffer.clear();
        let most = LONGEST as u64 + 1;
        let read = self.input.by_ref().take(most).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let line = match self.buffer.strip_suffix(b"\n") {
            Some(line) => Line::Whole(line),
            None if read <= LONGEST => Line::Unfinished(&self.buffer),
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
