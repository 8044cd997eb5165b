use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{DiskChange, DiskGuardService, FreeSpace, watch::Watch};
use throughline_core::pipeline::{Described, Phase, SiteSpec};

/// Refuses what grows the store while there is too little free space. See the [module](super).
///
/// Each pipeline that it is added to watches the disk by itself.
#[derive(Clone)]
pub struct DiskGuardLayer {
    space: Arc<dyn FreeSpace>,
    low: u64,
    high: u64,
    every: Duration,
    hook: Option<Arc<dyn Fn(DiskChange) + Send + Sync>>,
}

impl DiskGuardLayer {
    /// Closes when less than `low` bytes are free, and opens when `high` are; a high mark below the low one counts as the low
    /// one. It looks once a second at most.
    #[must_use]
    pub fn new(space: impl FreeSpace, low: u64, high: u64) -> Self {
        Self { space: Arc::new(space), low, high: high.max(low), every: Duration::from_secs(1), hook: None }
    }

    /// How old what it knows of the disk may be.
    #[must_use]
    pub const fn every(mut self, every: Duration) -> Self {
        self.every = every;
        self
    }

    /// Tells `hook` when it closes and opens, and when the space cannot be measured. It is called on the way of a write, once
    /// for each change, and has to be quick; a panic of it is contained.
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
