use std::process;

use crate::{Effect, ErrorKind, PersistError, Result};

/// The process that opened a store. A child that was forked from it has a copy of the handle and none of the threads that do the
/// work, so a call would wait there forever; [`check`](Self::check) refuses it.
///
/// Any backend with threads or connections of its own makes one when it is opened and checks it before each call. A check costs
/// one system call.
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
    /// This process.
    #[must_use]
    pub fn current() -> Self {
        Self(process::id())
    }

    /// Whether the caller is in this process.
    #[must_use]
    pub fn is_current(self) -> bool {
        self.0 == process::id()
    }

    /// Refuses a caller in another process.
    ///
    /// # Errors
    /// [`Invalid`](ErrorKind::Invalid) with nothing applied, in a child that was forked after the store was opened.
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
