use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use throughline_core::{OpKind, Result};

use super::Tap;

/// Counts the calls that reach a backend.
#[derive(Debug, Default)]
pub(crate) struct Counts(AtomicUsize);

impl Counts {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn asked(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Tap for Counts {
    async fn before(&self, _: OpKind) -> Result<()> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn after(&self, _: OpKind) -> Result<()> {
        Ok(())
    }
}
