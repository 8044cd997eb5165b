//! The watch without the feature `tracing`: no operation has an effect.

use std::sync::Arc;

use crate::{Site, context::CallState};

pub(super) struct Polling;

impl Polling {
    #[inline]
    pub(super) const fn on(_: &Watched, _: &CallState) -> Self {
        Self
    }
}

pub(crate) struct AtSite;

impl AtSite {
    #[inline]
    pub(crate) const fn new(_: &CallState, _: u8) -> Self {
        Self
    }
}

#[derive(Debug)]
pub(super) struct Watched;

impl Watched {
    pub(super) const fn new(_: &Arc<[Site]>) -> Self {
        Self
    }
}
