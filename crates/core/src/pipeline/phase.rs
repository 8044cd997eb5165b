use std::{borrow::Cow, fmt, sync::Arc};

use crate::audit::Sealing;

/// The part of the order that a layer belongs to, from the caller to the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Limits and quotas: sees what the caller sent, before anything costs.
    Admit,
    /// Permission and scope: may refuse.
    Guard,
    /// What was asked and answered: tracing, metrics, audit.
    Observe,
    /// Changes content: redaction, encryption. The last to touch it.
    Transform,
    /// Where it goes and how often: retry, attempt timeout, redirect.
    Route,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What the builder has to know of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteSpec {
    pub(crate) name: Cow<'static, str>,
    pub(crate) phase: Phase,
    pub(crate) rank: Option<u16>,
    pub(crate) note: Option<Cow<'static, str>>,
    /// Of the layer that keeps the log of who did what.
    pub(crate) sealing: Option<Sealing>,
    /// Of a layer that hides secrets.
    pub(crate) caller_filter: Option<CallerFilter>,
}

/// Rewrites the actor and the call site that a handle is given, before any layer sees them: nothing where they stay.
#[derive(Clone)]
pub(crate) struct CallerFilter(Arc<Filter>);

type Filter = dyn Fn(&str) -> Option<String> + Send + Sync;

impl CallerFilter {
    #[cfg(feature = "redact")]
    pub(crate) fn new(filter: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(filter))
    }

    pub(crate) fn filter(&self, text: &str) -> Option<String> {
        (self.0)(text)
    }
}

impl PartialEq for CallerFilter {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for CallerFilter {}

impl fmt::Debug for CallerFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerFilter(..)")
    }
}

impl SiteSpec {
    /// A layer of this name and phase, anywhere inside it.
    pub fn new(name: impl Into<Cow<'static, str>>, phase: Phase) -> Self {
        Self { name: name.into(), phase, rank: None, note: None, sealing: None, caller_filter: None }
    }

    /// Its place inside the phase: among ranked layers of one phase, a lower rank stands further out.
    #[must_use]
    pub const fn with_rank(mut self, rank: u16) -> Self {
        self.rank = Some(rank);
        self
    }

    /// Has the pipeline rewrite the actor and the call site of its handles.
    #[cfg(feature = "redact")]
    pub(crate) fn with_caller_filter(mut self, filter: CallerFilter) -> Self {
        self.caller_filter = Some(filter);
        self
    }

    /// Has the pipeline keep a log of who did what, which its backend has to be able to.
    #[cfg(feature = "audit")]
    pub(crate) fn with_sealing(mut self, sealing: Sealing) -> Self {
        self.sealing = Some(sealing);
        self
    }

    /// What whoever reads the description of the pipeline has to know of the layer, in a few words.
    #[must_use]
    pub fn with_note(mut self, note: impl Into<Cow<'static, str>>) -> Self {
        self.note = Some(note.into());
        self
    }
}

/// A layer that knows its name and phase. A layer that does not is added with
/// [`Builder::layer_as`](crate::pipeline::Builder::layer_as).
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say its name and phase",
    label = "a layer of a pipeline needs a name and a phase",
    note = "use `.plugin(…)` for a `Plugin`",
    note = "add a foreign layer with `.layer_as(name, phase, layer)`, or implement `Described` for your own"
)]
pub trait Described {
    /// Its name, phase and rank.
    fn site(&self) -> SiteSpec;
}
