use std::{
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tower_layer::Layer;

use super::{InvalidRule, RedactService, Redactions, Redactor, Rules, redaction::Redaction};
use crate::transform::TransformLayer;
use throughline_core::{
    Context, PersistError,
    pipeline::{Described, PersistService, Phase, SiteSpec},
};

/// Removes secrets from the stored copy. See the [module](super).
///
/// A clone shares the counts, but not the state of open messages: a layer belongs to one pipeline.
#[derive(Clone)]
pub struct RedactLayer(TransformLayer<Redaction>);

impl RedactLayer {
    /// Creates the layer with every rule of [`Rules::secrets`].
    #[must_use]
    pub fn secrets() -> Self {
        Self::new(Redactor::secrets())
    }

    /// Creates the layer with these rules.
    ///
    /// # Errors
    /// [`InvalidRule`] as for [`Rules::compile`].
    pub fn with_rules(rules: Rules) -> Result<Self, InvalidRule> {
        Ok(Self::new(rules.compile()?))
    }

    /// Creates the layer with these compiled rules.
    #[must_use]
    pub fn new(redactor: Redactor) -> Self {
        Self(TransformLayer::new(Redaction::new(redactor)))
    }

    /// Calls `hook` after each write with redactions. It runs in place and must not wait; the layer contains its
    /// panics.
    #[must_use]
    pub fn on_redaction(mut self, hook: impl Fn(&Context, &Redactions) + Send + Sync + 'static) -> Self {
        self.0.transform_mut().hook = Some(Arc::new(hook));
        self
    }

    /// Sets the most messages that are open at one time, at least 1. The default is 4,096:
    /// see [`TransformLayer::open_messages`].
    #[must_use]
    pub fn open_messages(self, most: usize) -> Self {
        Self(self.0.open_messages(most))
    }

    /// Sets the idle time of open messages. The default is an hour: see [`TransformLayer::idle`].
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Self(self.0.idle(idle))
    }

    /// Returns the compiled rules.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        &self.0.transform().redactor
    }

    /// Returns the counts of the redactions by this layer and its clones.
    #[must_use]
    pub fn counts(&self) -> Redactions {
        self.0.transform().counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for RedactLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactLayer").field("redactor", self.redactor()).finish_non_exhaustive()
    }
}

impl Described for RedactLayer {
    fn site(&self) -> SiteSpec {
        let redactor = self.redactor().clone();
        let hides = move |said: &str| redactor.redact(said).map(|(said, _)| said);
        SiteSpec::new("redact", Phase::Transform).with_rank(10).with_caller_filter(hides)
    }
}

impl<S: PersistService<Error = PersistError>> Layer<S> for RedactLayer {
    type Service = RedactService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RedactService(self.0.layer(inner))
    }
}
