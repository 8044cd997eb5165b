//! Which call fails.

use super::{Call, FileKind};

/// A failure that is to come: of the first call of its kind, on any file, once, unless more is said.
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
    /// The next call of this kind fails with its [code](Call::code).
    pub const fn new(call: Call) -> Self {
        Self { call, code: call.code(), file: None, nth: 1, times: 1 }
    }

    /// Only calls on a file of this kind are meant.
    pub const fn on(mut self, file: FileKind) -> Self {
        self.file = Some(file);
        self
    }

    /// The first that fails is the `nth` of those that are meant, counted from 1 and from when it is planned.
    pub const fn nth(mut self, nth: u64) -> Self {
        self.nth = nth;
        self
    }

    /// So many fail, one after the other.
    pub const fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// All fail from that one on.
    pub const fn sticky(self) -> Self {
        self.times(u64::MAX)
    }

    /// They fail with this code of SQLite. Reading with `SQLITE_IOERR_SHORT_READ` is no failure where a file may end.
    pub const fn code(mut self, code: i32) -> Self {
        self.code = code;
        self
    }

    pub(super) fn is_about(&self, made: Call, file: FileKind) -> bool {
        self.call.made() == made && self.file.is_none_or(|meant| meant == file)
    }

    /// Whether the `seen`-th call that it is about fails.
    pub(super) const fn strikes(&self, seen: u64) -> bool {
        seen >= self.nth && seen - self.nth < self.times
    }
}
