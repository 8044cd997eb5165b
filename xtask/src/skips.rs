//! The checks that were skipped. The closing table shows them, so that no reader takes a skip for a pass.

use std::fmt;

/// One thing that was not checked.
#[derive(Debug)]
pub(crate) struct Skip {
    check: String,
    reason: String,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SKIPPED: {} ({})", self.check, self.reason)
    }
}

/// All that was skipped in a run, in order.
#[derive(Debug, Default)]
pub(crate) struct Skips(Vec<Skip>);

impl Skips {
    /// Says at once that something is not checked, and keeps it for the closing table.
    pub(crate) fn add(&mut self, check: impl Into<String>, reason: impl Into<String>) {
        let skip = Skip { check: check.into(), reason: reason.into() };
        println!("{skip}");
        self.0.push(skip);
    }

    /// The skips so far.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Skip> {
        self.0.iter()
    }
}
