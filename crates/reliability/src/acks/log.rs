//! The log that one process keeps.

use std::{
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Call, Outcome};

/// A file with a line for each call before it is made and a line for each answer after it came. Lines are whole and in
/// order; the last one may be torn.
#[derive(Debug)]
pub struct AckLog {
    file: File,
    calls: AtomicU64,
}

/// A call that was logged and has no answer yet. Dropped, it never gets one.
#[derive(Debug)]
#[must_use = "an answer that is not logged is not checked"]
pub struct Begun<'a> {
    log: &'a AckLog,
    number: u64,
}

impl AckLog {
    /// Makes the file, which must not be there.
    ///
    /// # Errors
    /// What the operating system answers.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Self { file, calls: AtomicU64::new(0) })
    }

    /// Notes that this is about to be called on the messages of these names, all in one thread.
    ///
    /// # Errors
    /// What the operating system answers.
    pub fn begin(&self, call: Call, thread: &str, names: &[&str]) -> io::Result<Begun<'_>> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut line = format!("{number}\t{}\t{thread}", call.as_str());
        for name in names {
            write!(line, "\t{name}").expect("a string takes any text");
        }
        self.append(&line)?;
        Ok(Begun { log: self, number })
    }

    /// In one call: two of two tasks cannot mix.
    fn append(&self, line: &str) -> io::Result<()> {
        let line = format!("{line}\n");
        match (&self.file).write(line.as_bytes())? {
            written if written == line.len() => Ok(()),
            _ => Err(io::Error::other("a line was cut")),
        }
    }
}

impl Begun<'_> {
    /// Notes what the call was answered.
    ///
    /// # Errors
    /// What the operating system answers.
    pub fn end(self, outcome: Outcome) -> io::Result<()> {
        self.log.append(&format!("{}\t{}", self.number, outcome.as_str()))
    }
}
