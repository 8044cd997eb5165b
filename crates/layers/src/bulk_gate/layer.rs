use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{
    BulkGateService,
    gate::{Gate, Terms},
};
use throughline_core::{
    PersistRequest,
    pipeline::{Described, Phase, SiteSpec},
};

type Also = Arc<dyn Fn(&PersistRequest) -> bool + Send + Sync>;

/// Lets live turns go before bulk work. See the [module](super).
#[derive(Clone)]
pub struct BulkGateLayer {
    terms: Terms,
    pub(super) batch_items: usize,
    pub(super) also: Option<Also>,
}

impl BulkGateLayer {
    /// One bulk call at once, none beside a live write or within 100 ms of one, each after 10 s at the latest, 256 waiting; a
    /// batch of more than 64 items is bulk.
    #[must_use]
    pub const fn new() -> Self {
        let terms = Terms {
            at_once: 1,
            beside: 0,
            quiet: Duration::from_millis(100),
            longest: Duration::from_secs(10),
            waiting: 256,
        };
        Self { terms, batch_items: 64, also: None }
    }

    /// How many bulk calls go on at once; at least 1.
    #[must_use]
    pub const fn at_once(mut self, calls: usize) -> Self {
        self.terms.at_once = calls;
        self
    }

    /// Beside how many live writes under way bulk work may begin.
    #[must_use]
    pub const fn beside(mut self, writes: usize) -> Self {
        self.terms.beside = writes;
        self
    }

    /// How long no live write may have ended before bulk work begins.
    #[must_use]
    pub const fn quiet(mut self, quiet: Duration) -> Self {
        self.terms.quiet = quiet;
        self
    }

    /// After how long live writes do not hold a bulk call up any more.
    #[must_use]
    pub const fn longest(mut self, longest: Duration) -> Self {
        self.terms.longest = longest;
        self
    }

    /// How many bulk calls may wait.
    #[must_use]
    pub const fn waiting(mut self, calls: usize) -> Self {
        self.terms.waiting = calls;
        self
    }

    /// The most items of a batch that is live.
    #[must_use]
    pub const fn batch_items(mut self, items: usize) -> Self {
        self.batch_items = items;
        self
    }

    /// Further calls that are bulk, such as those of a handle [for one part](throughline_core::Persistence::with_call_site) of the host.
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
        f.debug_struct("BulkGateLayer").field("terms", &self.terms).finish_non_exhaustive()
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
        BulkGateService::new(inner, self.clone(), Gate::new(self.terms))
    }
}
