//! The plan of a failure.

use super::{Call, FileKind};

/// A planned failure: by default of the next call of its kind, on any file, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a plan does nothing before `Faults::plan` has it"]
pub struct Plan {
    pub(super) call: Call,
    pub(super) code: i32,
    file: Option<FileKind>,
    nth: u64,
    times: u64,
}

impl Plan {
    /// Makes the next call of this kind fail with its [code](Call::code).
    pub const fn new(call: Call) -> Self {
        Self { call, code: call.code(), file: None, nth: 1, times: 1 }
    }

    /// Restricts the plan to files of this kind.
    pub const fn on(mut self, file: FileKind) -> Self {
        self.file = Some(file);
        self
    }

    /// Makes the `nth` matching call the first that fails, counted from 1 since the plan was set.
    pub const fn nth(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// Makes this many consecutive calls fail.
    pub const fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// Makes all calls from that one on fail.
    pub const fn sticky(self) -> Self {
        self.times(u64::MAX)
    }

    /// Sets the error code. A read with `SQLITE_IOERR_SHORT_READ` is not a failure where a file may end.
    pub const fn code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    pub(super) fn is_about(&self, made: Call, file: FileKind) -> bool {
        self.call.made() == made && self.file.is_none_or(|meant| meant == file)
    }

    /// Returns whether the `seen`-th matching call fails.
    pub(super) const fn strikes(&self, seen: u64) -> bool {
        seen >= self.nth && seen - self.nth < self.times
    }
}
