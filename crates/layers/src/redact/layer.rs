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

/// Keeps secrets out of the stored copy. See the [module](super).
///
/// A clone shares the counts, and not what is known of open messages: a layer belongs to one pipeline.
#[derive(Clone)]
pub struct RedactLayer {
    redaction: Redaction,
    open_messages: usize,
    idle: Duration,
}

impl RedactLayer {
    /// With every rule of [`Rules::secrets`].
    #[must_use]
    pub fn secrets() -> Self {
        Self::new(Redactor::secrets())
    }

    /// With rules of the host's own choice.
    ///
    /// # Errors
    /// [`InvalidRule`] as [`Rules::compile`] says.
    pub fn with_rules(rules: Rules) -> Result<Self, InvalidRule> {
        Ok(Self::new(rules.compile()?))
    }

    /// With these rules.
    #[must_use]
    pub fn new(redactor: Redactor) -> Self {
        Self { redaction: Redaction::new(redactor), open_messages: 4096, idle: Duration::from_secs(3600) }
    }

    /// Calls `hook` after each write that something was hidden of. It runs in place and must not wait; a panic of it is
    /// contained.
    #[must_use]
    pub fn on_redaction(mut self, hook: impl Fn(&Context, &Redactions) + Send + Sync + 'static) -> Self {
        self.redaction.hook = Some(Arc::new(hook));
        self
    }

    /// So many messages may be being written at one time, at least 1: where there are more, what was held back of the one that
    /// was continued longest ago is lost. 4 096 unless said otherwise.
    #[must_use]
    pub const fn open_messages(mut self, most: usize) -> Self {
        self.open_messages = most;
        self
    }

    /// Once there are as many open messages as may be, those go first that nothing was added to for so long. An hour unless said
    /// otherwise.
    #[must_use]
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// The rules.
    #[must_use]
    pub const fn redactor(&self) -> &Redactor {
        &self.redaction.redactor
    }

    /// What was hidden so far, by this layer and its clones.
    #[must_use]
    pub fn counts(&self) -> Redactions {
        self.redaction.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for RedactLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactLayer").field("redactor", &self.redaction.redactor).finish_non_exhaustive()
    }
}

impl Described for RedactLayer {
    fn site(&self) -> SiteSpec {
        let redactor = self.redaction.redactor.clone();
        let hides = move |said: &str| redactor.redact(said).map(|(said, _)| said);
        SiteSpec::new("redact", Phase::Transform).with_rank(10).with_caller_filter(hides)
    }
}

impl<S: PersistService<Error = PersistError>> Layer<S> for RedactLayer {
    type Service = RedactService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        let layer = TransformLayer::new(self.redaction.clone()).open_messages(self.open_messages);
        RedactService(layer.idle(self.idle).layer(inner))
    }
}
