use std::{borrow::Cow, fmt, sync::Arc};

use crate::{
    context::AuditSealer,
    pipeline::{RejectedCallBudget, Sealing},
};

/// The part of the stack that a layer belongs to, from the caller to the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Limits and quotas. They see the arguments of the caller before any expensive work.
    Admit,
    /// Permission and scope. They can refuse a call.
    Guard,
    /// Tracing, metrics and audit. They see the requests and the answers.
    Observe,
    /// Changes of content: redaction and encryption. No later layer changes content.
    Transform,
    /// The destination and the number of attempts: retry, attempt timeout and redirect.
    Route,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The description of a layer for the builder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteSpec {
    pub(crate) name: Cow<'static, str>,
    pub(crate) phase: Phase,
    pub(crate) rank: Option<u16>,
    pub(crate) remark: Option<Cow<'static, str>>,
    /// The audit log of an audit layer.
    pub(crate) sealing: Option<Sealing>,
    /// The caller filter of a layer that hides secrets.
    pub(crate) caller_filter: Option<CallerFilter>,
}

/// A function that rewrites the actor and the call site of a handle before any layer sees them. `None` keeps the text.
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
    /// Returns the description of a layer with this name and phase, without a rank.
    pub fn new(name: impl Into<Cow<'static, str>>, phase: Phase) -> Self {
        Self { name: name.into(), phase, rank: None, remark: None, sealing: None, caller_filter: None }
    }

    /// Sets the rank. Of the ranked layers in one phase, a layer with a lower rank is further out.
    #[must_use]
    pub const fn with_rank(mut self, rank: u16) -> Self {
        self.rank = Some(rank);
        self
    }

    /// Sets a filter that rewrites the actor and the call site of handles before any layer sees them. The filter returns the new
    /// text, or `None` to keep it. It runs once for each new handle, and must not block.
    ///
    /// A layer that hides secrets sets a filter, because a layer sees only content, and a name can contain a secret too.
    #[must_use]
    pub fn with_caller_filter(
        mut self,
        filter: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.caller_filter = Some(CallerFilter::new(filter));
        self
    }

    /// Makes the pipeline keep an audit log. The backend writes an entry in the transaction of each write whose call has an
    /// [`AuditDraft`](crate::audit::AuditDraft). The pipeline writes records of rejected calls within `budget`.
    ///
    /// [`Builder::build`](crate::Builder::build) refuses it if the backend does not claim
    /// [`Capabilities::audit`](crate::Capabilities::audit).
    #[must_use]
    pub fn with_audit(mut self, sealer: Arc<dyn AuditSealer>, budget: RejectedCallBudget) -> Self {
        self.sealing = Some(Sealing { sealer, budget });
        self
    }

    /// Sets a short remark, which the description of the pipeline shows.
    #[must_use]
    pub fn with_remark(mut self, remark: impl Into<Cow<'static, str>>) -> Self {
        self.remark = Some(remark.into());
        self
    }
}

/// A layer with a name and a phase. Add a layer without them with [`Builder::layer_as`](crate::Builder::layer_as).
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say its name and phase",
    label = "a layer of a pipeline needs a name and a phase",
    note = "use `.plugin(…)` for a `Plugin`",
    note = "add a foreign layer with `.layer_as(name, phase, layer)`, or implement `Described` for your own"
)]
pub trait Described {
    /// Returns the name, the phase and the rank.
    fn site(&self) -> SiteSpec;
}
