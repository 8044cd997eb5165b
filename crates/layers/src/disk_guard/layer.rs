use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{DiskChange, DiskGuardService, FreeSpace, watch::Watch};
use throughline_core::pipeline::{Described, Phase, SiteSpec};

/// Refuses writes that grow the store while free space is low. See the [module](super).
///
/// Each pipeline with the layer watches the disk by itself.
#[derive(Clone)]
pub struct DiskGuardLayer {
    space: Arc<dyn FreeSpace>,
    low: u64,
    high: u64,
    every: Duration,
    hook: Option<Arc<dyn Fn(DiskChange) + Send + Sync>>,
}

impl DiskGuardLayer {
    /// Closes when less than `low` bytes are free, and opens when `high` bytes are free; a `high` below `low` counts as
    /// `low`. It measures at most once a second.
    #[must_use]
    pub fn new(space: impl FreeSpace, low: u64, high: u64) -> Self {
        Self { space: Arc::new(space), low, high: high.max(low), every: Duration::from_secs(1), hook: None }
    }

    /// Sets the greatest age of a measurement; the default is one second.
    #[must_use]
    pub const fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Calls `hook` when the guard closes, opens, or cannot measure the space. The call is part of a write and happens
    /// once for each change, so the hook must be fast. The layer contains its panics.
    #[must_use]
    pub fn on_change(mut self, hook: impl Fn(DiskChange) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }
}

impl fmt::Debug for DiskGuardLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskGuardLayer")
            .field("low", &self.low)
            .field("high", &self.high)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

impl Described for DiskGuardLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("disk-guard", Phase::Admit).with_rank(30)
    }
}

impl<S> Layer<S> for DiskGuardLayer {
    type Service = DiskGuardService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { space, low, high, every, hook } = self.clone();
        let (seen, looking) = Default::default();
        DiskGuardService::new(inner, Arc::new(Watch { space, low, high, every, hook, seen, looking }))
    }
}
