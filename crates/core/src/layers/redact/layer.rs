use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tower_layer::Layer;

use super::{InvalidRule, RedactService, Redactions, Redactor, Rules, open::Open};
use crate::{
    Context, PersistError,
    pipeline::{CallerFilter, Described, PersistService, Phase, SiteSpec},
};

/// What is told of each write that something was hidden of.
type Hook = Arc<dyn Fn(&Context, &Redactions) + Send + Sync>;

/// Keeps secrets out of the stored copy. See the [module](super).
///
/// A clone shares the counts, and not what is known of open messages: a layer stands in one pipeline.
#[derive(Clone)]
pub struct RedactLayer {
    redactor: Redactor,
    hook: Option<Hook>,
    counts: Arc<Mutex<Redactions>>,
    open_messages: usize,
    idle: Duration,
}

/// What all clones of the service share.
pub(super) struct Shared {
    pub(super) redactor: Redactor,
    pub(super) open: Open,
    hook: Option<Hook>,
    counts: Arc<Mutex<Redactions>>,
}

impl Shared {
    /// Counts what was hidden of a write that was made, and tells the host.
    pub(super) fn hidden(&self, context: &Context, found: &Redactions) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).add(found);
        if let Some(hook) = &self.hook {
            // The write stands, whatever becomes of the hook.
            let told = std::panic::AssertUnwindSafe(|| hook(context, found));
            drop(std::panic::catch_unwind(told));
        }
    }
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
        Self {
            redactor,
            hook: None,
            counts: Arc::default(),
            open_messages: 4096,
            idle: Duration::from_secs(3600),
        }
    }

    /// Calls `hook` after each write that something was hidden of. It runs in place and must not wait; a panic of it is
    /// contained.
    #[must_use]
    pub fn on_redaction(mut self, hook: impl Fn(&Context, &Redactions) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
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
        &self.redactor
    }

    /// What was hidden so far, by this layer and its clones.
    #[must_use]
    pub fn counts(&self) -> Redactions {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for RedactLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactLayer").field("redactor", &self.redactor).finish_non_exhaustive()
    }
}

impl Described for RedactLayer {
    fn site(&self) -> SiteSpec {
        let redactor = self.redactor.clone();
        let hides = move |said: &str| redactor.redact(said).map(|(said, _)| said);
        SiteSpec::new("redact", Phase::Transform).with_rank(10).with_caller_filter(CallerFilter::new(hides))
    }
}

impl<S: PersistService<Error = PersistError>> Layer<S> for RedactLayer {
    type Service = RedactService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RedactService::new(
            inner,
            Arc::new(Shared {
                redactor: self.redactor.clone(),
                open: Open::new(self.open_messages, self.idle),
                hook: self.hook.clone(),
                counts: Arc::clone(&self.counts),
            }),
        )
    }
}
