//! The watch without the feature `tracing`: no operation has an effect.
//!
//! Its values implement `Drop`, because the pipeline ends them with `drop`, as it does with those of the watch.

use std::sync::Arc;

use crate::{Site, context::CallState};

pub(super) struct Polling;

impl Polling {
    #[inline]
    pub(super) const fn on(_: &Watched, _: &CallState) -> Self {
        Self
    }
}

impl Drop for Polling {
    #[inline]
    fn drop(&mut self) {}
}

pub(crate) struct AtSite;

impl AtSite {
    #[inline]
    pub(crate) const fn new(_: &CallState, _: u8) -> Self {
        Self
    }
}

impl Drop for AtSite {
    #[inline]
    fn drop(&mut self) {}
}

#[derive(Debug)]
pub(super) struct Watched;

impl Watched {
    pub(super) const fn new(_: &Arc<[Site]>) -> Self {
        Self
    }
}
