//! The context of a call: immutable facts, which are shared and cheap to clone, and a typed map of extensions.
//!
//! ```
//! use throughline_core::pipeline::Extensions;
//!
//! #[derive(Debug, PartialEq)]
//! struct Route(&'static str);
//!
//! let mut extensions = Extensions::new();
//! extensions.insert(Route("archive"));
//! assert_eq!(extensions.get::<Route>(), Some(&Route("archive")));
//! ```

mod at_work;
mod audit_draft;
mod clock;
mod credential;
mod detached_writes;
mod extensions;
mod feed_scopes;
mod progress;
mod shape;

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    },
    time::Instant,
};

pub(crate) use self::at_work::AtWork;
pub use self::audit_draft::{AuditDraft, AuditSealer};
pub(crate) use self::credential::Credential;
pub(crate) use self::detached_writes::DetachedWrite;
pub(crate) use self::feed_scopes::FeedScopes;
pub(crate) use self::shape::Shape;
pub use self::{
    clock::{Clock, SystemClock},
    extensions::Extensions,
};
use self::{detached_writes::DetachedWrites, progress::Progress};
use crate::{
    CallId, Effect, IdempotencyKey, MessageId, OpKind, PersistError, Site, TenantId, ThreadId, error::Stamp,
    operation::Fingerprint,
};

/// The idempotency key of a call, with the fingerprint of its operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key. It is unique within a tenant and a thread.
    pub key: IdempotencyKey,
    /// The keyed hash of the operation as the caller sent it.
    pub fingerprint: Fingerprint,
}

/// The facts of a call. They are immutable on the way through the layers. Each clone has its own attempt number and its own
/// extensions.
#[derive(Clone)]
pub struct Context {
    call: Arc<CallState>,
    attempt: u32,
    extensions: Extensions,
}

/// The state of a call, which its context shares.
pub struct CallState {
    pub(crate) id: CallId,
    pub(crate) facts: Facts,
    pub(crate) shape: Shape,
    /// The sites of the pipeline that runs the call. The last one is the backend.
    pub(crate) sites: Arc<[Site]>,
    /// The site that is at work: an index into `sites`, or [`CallState::EDGE`].
    cursor: AtomicU8,
    progress: Progress,
    detached_writes: DetachedWrites,
    /// The draft of the audit entry, if there is an audit log. Set once.
    audit: OnceLock<Arc<AuditDraft>>,
    /// Whether a guard has accepted the credential of the call.
    credential_accepted: AtomicBool,
    parent: Option<Arc<Self>>,
}

impl fmt::Debug for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.shape.kind(), self.id)
    }
}

/// The arguments that the caller sets for a call, apart from the operation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) tenant: TenantId,
    pub(crate) actor: Option<Arc<str>>,
    pub(crate) call_site: Option<Arc<str>>,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) credential: Option<Credential>,
    /// Where the store records which changes it reads for the call.
    pub(crate) feed_scopes: Option<Arc<FeedScopes>>,
}

impl CallState {
    pub(crate) const EDGE: u8 = u8::MAX;

    /// Returns the site just outside of this one, which forwards calls to it. The cursor cannot answer that, because another call
    /// of the same layer may be at work further in.
    pub(crate) const fn outside(index: u8) -> u8 {
        if index == 0 { Self::EDGE } else { index - 1 }
    }

    pub(crate) fn cursor(&self) -> &AtomicU8 {
        &self.cursor
    }

    /// Iterates over this call and its parents, from the innermost call to the outermost one.
    fn lineage(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |call| call.parent.as_deref())
    }

    /// Whether the sites belong to the pipeline that the caller called, and not to a pipeline inside a layer.
    #[inline]
    #[cfg(feature = "tracing")]
    pub(crate) fn is_of_the_outermost_pipeline(&self) -> bool {
        self.parent.is_none() || Arc::ptr_eq(&self.sites, &self.outermost().sites)
    }

    /// Returns the call that the caller made.
    fn outermost(&self) -> &Self {
        self.lineage().last().unwrap_or(self)
    }

    /// Whether the call has a credential that no guard has accepted, for this call or for one of its parents.
    pub(crate) fn is_unguarded(&self) -> bool {
        self.facts.credential.is_some() && !self.lineage().any(|call| call.credential_accepted.load(Relaxed))
    }

    /// The draft of the audit entry.
    pub(crate) fn audit(&self) -> Option<&Arc<AuditDraft>> {
        self.audit.get()
    }

    /// Registers a detached write: no caller waits for it any longer.
    pub(crate) fn detach_write(self: &Arc<Self>) -> DetachedWrite {
        DetachedWrite::new(self)
    }

    /// Drops `held` when no write of the call runs.
    pub(crate) fn release_after_writes(&self, held: impl Send + 'static) {
        self.outermost().detached_writes.leave(held);
    }

    /// Records that a backend receives an attempt of this call and of its parents. Returns `false` if the call was cancelled
    /// before.
    pub(crate) fn hand_over(&self) -> bool {
        for (depth, call) in self.lineage().enumerate() {
            if !call.progress.hand_over() {
                self.lineage().take(depth).for_each(|call| call.progress.settle(Effect::NotApplied));
                return false;
            }
        }
        true
    }

    /// Records the effect of an attempt.
    pub(crate) fn settle(&self, effect: Effect) {
        self.lineage().for_each(|call| call.progress.settle(effect));
    }

    /// Forgets an applied effect, because a layer has reversed the write.
    pub(crate) fn take_back(&self) {
        self.progress.take_back();
    }

    /// Cancels the call unless a backend has received it. Returns whether it was cancelled.
    pub(crate) fn cancel(&self) -> bool {
        self.progress.cancel()
    }

    /// The part of this call that the store has, as far as the pipeline knows.
    pub(crate) fn effect(&self) -> Effect {
        self.progress.effect()
    }

    /// Adds the facts of this call to the error. The error gets the site with this index unless it has one.
    #[cold]
    pub(crate) fn stamp(&self, error: PersistError, site: u8) -> PersistError {
        error.stamped(&Stamp {
            call: self.id,
            site: &|unready| self.site(unready.unwrap_or(site)),
            effect: self.effect(),
            operation: self.shape.kind(),
            thread: self.shape.thread(),
            message: self.shape.message(),
            key: self.facts.idempotency.as_ref().map(|idempotency| &idempotency.key),
        })
    }

    pub(crate) fn site(&self, index: u8) -> Site {
        self.sites.get(usize::from(index)).cloned().unwrap_or(Site::Edge)
    }
}

impl Context {
    pub(crate) fn new(facts: Facts, shape: Shape, sites: Arc<[Site]>) -> Self {
        Self {
            call: Arc::new(CallState {
                id: CallId::next(),
                facts,
                shape,
                sites,
                cursor: AtomicU8::new(CallState::EDGE),
                progress: Progress::default(),
                detached_writes: DetachedWrites::default(),
                audit: OnceLock::new(),
                credential_accepted: AtomicBool::new(false),
                parent: None,
            }),
            attempt: 1,
            extensions: Extensions::new(),
        }
    }

    /// Returns the facts for a child call, in a pipeline with these sites.
    pub(crate) fn child(&self, shape: Shape, sites: Arc<[Site]>, keep_key: bool) -> Self {
        let mut facts = self.call.facts.clone();
        if !keep_key {
            facts.idempotency = None;
        }
        Self {
            call: Arc::new(CallState {
                id: self.call.id,
                facts,
                shape,
                sites,
                cursor: AtomicU8::new(CallState::EDGE),
                progress: Progress::default(),
                detached_writes: DetachedWrites::default(),
                audit: OnceLock::new(),
                credential_accepted: AtomicBool::new(false),
                parent: Some(Arc::clone(&self.call)),
            }),
            attempt: self.attempt,
            extensions: self.extensions.clone(),
        }
    }

    /// Copies the audit draft to a child. The backend of the child's pipeline writes the entry.
    pub(crate) fn hand_on_audit(&self, child: &Self) {
        if let Some(draft) = self.call.audit.get() {
            // The child is new: it has no draft yet.
            drop(child.call.audit.set(Arc::clone(draft)));
        }
    }

    pub(crate) fn call(&self) -> &Arc<CallState> {
        &self.call
    }

    /// The id of the call, for logs. All attempts and all child calls have the same id.
    #[must_use]
    pub fn call_id(&self) -> CallId {
        self.call.id
    }

    /// The kind of the operation.
    #[must_use]
    pub fn kind(&self) -> OpKind {
        self.call.shape.kind()
    }

    /// The thread of the operation. `None` if it addresses no thread, or more than one.
    #[must_use]
    pub fn thread(&self) -> Option<&ThreadId> {
        self.call.shape.thread()
    }

    /// The message of the operation. `None` if it addresses no message, or more than one.
    #[must_use]
    pub fn message(&self) -> Option<&MessageId> {
        self.call.shape.message()
    }

    /// The tenant of the call.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.call.facts.tenant
    }

    /// The actor: the person or program on whose behalf the host makes the call, as set on the handle.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.call.facts.actor.as_deref()
    }

    /// The part of the host that makes the call, as set on the handle.
    #[must_use]
    pub fn call_site(&self) -> Option<&str> {
        self.call.facts.call_site.as_deref()
    }

    /// The idempotency key of the call, with its fingerprint.
    #[must_use]
    pub fn idempotency(&self) -> Option<&Idempotency> {
        self.call.facts.idempotency.as_ref()
    }

    /// Returns the credential of the handle that made the call, if it has this type. See
    /// [`Persistence::with_credential`](crate::Persistence::with_credential).
    #[must_use]
    pub fn credential<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.call.facts.credential.as_ref()?.get()
    }

    /// Records that a guard has checked the credential and permits this call. The pipeline refuses a call with a credential that
    /// no layer has accepted, as [`Denied`](crate::ErrorKind::Denied). A pipeline without a guard therefore fails closed.
    pub fn accept_credential(&self) {
        self.call.credential_accepted.store(true, Relaxed);
    }

    /// Records the audit draft of this write. Only the first draft counts: an inner layer cannot replace it, and the pipeline
    /// then does not call `draft`. Without [`SiteSpec::with_audit`](crate::pipeline::SiteSpec::with_audit), the pipeline ignores
    /// it.
    pub fn set_audit(&self, draft: impl FnOnce() -> AuditDraft) {
        self.call.audit.get_or_init(|| Arc::new(draft()));
    }

    /// Drops `held` when no write of this call runs. That is at once, or when the last detached write has ended. A layer releases
    /// a permit this way, so that the permit is not free while its write still runs.
    pub fn release_after_writes(&self, held: impl Send + 'static) {
        self.call.release_after_writes(held);
    }

    /// The layer or backend that is at work on the call. [`Site::Edge`] before the first layer. When a poll of the inner future
    /// returns `Pending`, this is the site that waits.
    #[must_use]
    pub fn active_site(&self) -> Site {
        self.call.site(self.call.cursor().load(Relaxed))
    }

    /// The instant at which the caller stops waiting.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.call.facts.deadline
    }

    /// The number of this attempt, from 1. A retry layer increases it.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns this context for another attempt.
    #[must_use]
    pub const fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The values that outer layers pass to inner layers.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The values that outer layers pass to inner layers, for a change.
    pub const fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// The part of the operation that the store has at this moment, as far as the pipeline knows.
    #[must_use]
    pub fn effect_so_far(&self) -> Effect {
        self.call.effect()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("call_id", &self.call_id())
            .field("kind", &self.kind())
            .field("tenant", self.tenant())
            .field("thread", &self.thread())
            .field("message", &self.message())
            .field("idempotency", &self.idempotency())
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
