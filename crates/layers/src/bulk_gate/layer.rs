use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{
    BulkGateService,
    queue::{BulkQueue, Settings},
};
use throughline_core::{
    PersistRequest,
    pipeline::{Described, Phase, SiteSpec},
};

type Also = Arc<dyn Fn(&PersistRequest) -> bool + Send + Sync>;

/// Delays bulk work while live writes run. See the [module](super).
#[derive(Clone)]
pub struct BulkGateLayer {
    settings: Settings,
    pub(super) batch_items: usize,
    pub(super) also: Option<Also>,
}

impl BulkGateLayer {
    /// Creates the layer with its defaults: one bulk call at a time, no live write running or ended within the last 100
    /// ms, a start after 10 s at the latest, and 256 waiting calls. A batch of more than 64 items is bulk.
    #[must_use]
    pub const fn new() -> Self {
        let settings = Settings {
            at_once: 1,
            max_live_writes: 0,
            quiet: Duration::from_millis(100),
            longest: Duration::from_secs(10),
            waiting: 256,
        };
        Self { settings, batch_items: 64, also: None }
    }

    /// Sets the number of bulk calls that may run at once; at least 1.
    #[must_use]
    pub const fn at_once(mut self, calls: usize) -> Self {
        self.settings.at_once = calls;
        self
    }

    /// Sets the number of live writes that may run when bulk work starts; the default is none.
    #[must_use]
    pub const fn max_live_writes(mut self, writes: usize) -> Self {
        self.settings.max_live_writes = writes;
        self
    }

    /// Sets the time without the end of a live write before bulk work starts.
    #[must_use]
    pub const fn quiet(mut self, quiet: Duration) -> Self {
        self.settings.quiet = quiet;
        self
    }

    /// Sets the time after which a bulk call no longer waits for live writes.
    #[must_use]
    pub const fn longest(mut self, longest: Duration) -> Self {
        self.settings.longest = longest;
        self
    }

    /// Sets the number of bulk calls that may wait.
    #[must_use]
    pub const fn waiting(mut self, calls: usize) -> Self {
        self.settings.waiting = calls;
        self
    }

    /// Sets the most items of a live batch.
    #[must_use]
    pub const fn batch_items(mut self, items: usize) -> Self {
        self.batch_items = items;
        self
    }

    /// Classifies further calls as bulk, such as those of a handle [for one
    /// part](throughline_core::Persistence::with_call_site) of the host.
    #[must_use]
    pub fn also(mut self, is_bulk: impl Fn(&PersistRequest) -> bool + Send + Sync + 'static) -> Self {
        self.also = Some(Arc::new(is_bulk));
        self
    }
}

impl Default for BulkGateLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for BulkGateLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkGateLayer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Described for BulkGateLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("bulk-gate", Phase::Admit).with_rank(40)
    }
}

impl<S> Layer<S> for BulkGateLayer {
    type Service = BulkGateService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        BulkGateService::new(inner, self.clone(), BulkQueue::new(self.settings))
    }
}
