use std::process;

use crate::{Effect, ErrorKind, PersistError, Result};

/// The process that opened a store. A child that was forked from it has a copy of the handle but none of the threads
/// that do the work, so a call would never return; [`check`](Self::check) refuses it.
///
/// A backend with threads or connections of its own creates an `OwnerProcess` when it opens, and checks it before
/// each call. A check costs one system call.
///
/// ```
/// use throughline_core::backend::OwnerProcess;
///
/// let owner = OwnerProcess::current();
/// assert!(owner.check().is_ok());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct OwnerProcess(u32);

impl OwnerProcess {
    /// Returns the current process.
    #[must_use]
    pub fn current() -> Self {
        Self(process::id())
    }

    /// Whether the caller runs in this process.
    #[must_use]
    pub fn is_current(self) -> bool {
        self.0 == process::id()
    }

    /// Refuses a call from another process.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid), with nothing applied, in a child that was forked after the store was opened.
    pub fn check(self) -> Result<()> {
        if self.is_current() {
            return Ok(());
        }
        let Self(owner) = self;
        let detail = format!(
            "process {owner} opened the store, and this process was forked from it: fork before a store is opened, or run \
             another program (exec)"
        );
        Err(PersistError::new(ErrorKind::Invalid, detail).with_effect(Effect::NotApplied))
    }
}
