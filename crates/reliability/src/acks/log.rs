//! The log of one process.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Call, Outcome};

/// A file with one line before each call and one line after its answer. All lines are complete and in order, except that
/// the last line may be torn.
#[derive(Debug)]
pub struct AckLog {
    file: File,
    calls: AtomicU64,
}

/// A logged call without an answer. If it is dropped, the log never gets the answer.
#[derive(Debug)]
#[must_use = "an answer that is not logged is not checked"]
pub struct Begun<'a> {
    log: &'a AckLog,
    number: u64,
}

impl AckLog {
    /// Creates the file, which must not exist.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Self { file, calls: AtomicU64::new(0) })
    }

    /// Logs a call before it is made, with the names of its messages, all in one thread.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn begin(&self, call: Call, thread: &str, names: &[&str]) -> io::Result<Begun<'_>> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut line = format!("{number}\t{}\t{thread}", call.as_str());
        for name in names {
            write!(line, "\t{name}").expect("a string takes any text");
        }
        self.append(&line)?;
        Ok(Begun { log: self, number })
    }

    /// Writes a line with one system call, so that lines of several tasks cannot mix.
    fn append(&self, line: &str) -> io::Result<()> {
        let line = format!("{line}\n");
        match (&self.file).write(line.as_bytes())? {
            written if written == line.len() => Ok(()),
            _ => Err(io::Error::other("a line was written only partly")),
        }
    }
}

impl Begun<'_> {
    /// Logs the outcome of the call.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn end(self, outcome: Outcome) -> io::Result<()> {
        self.log.append(&format!("{}\t{}", self.number, outcome.as_str()))
    }
}
