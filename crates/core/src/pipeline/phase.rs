use std::{borrow::Cow, fmt, sync::Arc};

use crate::{
    context::AuditSealer,
    pipeline::{RejectedCallBudget, Sealing},
};

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
    /// Of a layer that keeps an audit log.
    pub(crate) sealing: Option<Sealing>,
    /// Of a layer that hides secrets.
    pub(crate) caller_filter: Option<CallerFilter>,
}

/// Rewrites the actor and the call site that a handle is given, before any layer sees them: nothing where they stay.
#[derive(Clone)]
pub(crate) struct CallerFilter(Arc<Filter>);

type Filter = dyn Fn(&str) -> Option<String> + Send + Sync;

impl CallerFilter {
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

    /// Has the pipeline rewrite the actor and the call site of its handles before any layer sees them. The filter answers the
    /// new text, or `None` where the text stays. It runs once for each handle that is made, and must not block.
    ///
    /// A layer that hides secrets sets one: it sees content only, and a secret may be in a name as well.
    #[must_use]
    pub fn with_caller_filter(
        mut self,
        filter: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.caller_filter = Some(CallerFilter::new(filter));
        self
    }

    /// Has the pipeline keep an audit log: the backend writes an entry in the commit of each write whose call has an
    /// [`AuditDraft`](crate::audit::AuditDraft), and the pipeline writes records of rejected calls within `budget`.
    ///
    /// [`Builder::build`](crate::Builder::build) refuses it over a backend that does not claim
    /// [`Capabilities::audit`](crate::Capabilities::audit).
    #[must_use]
    pub fn with_audit(mut self, sealer: Arc<dyn AuditSealer>, budget: RejectedCallBudget) -> Self {
        self.sealing = Some(Sealing { sealer, budget });
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
/// [`Builder::layer_as`](crate::Builder::layer_as).
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
