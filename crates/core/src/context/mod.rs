//! What a call carries beside the operation: immutable facts, shared and cheap to clone, and a typed map.
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
mod extensions;
mod lingering;
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
pub(crate) use self::lingering::Lingers;
pub(crate) use self::shape::Shape;
pub use self::{
    clock::{Clock, SystemClock},
    extensions::Extensions,
};
use self::{lingering::Lingering, progress::Progress};
use crate::{
    CallId, Effect, IdempotencyKey, MessageId, OpKind, PersistError, Site, TenantId, ThreadId, error::Stamp,
    operation::Fingerprint,
};

/// The idempotency key of a call, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key, scoped to tenant and thread.
    pub key: IdempotencyKey,
    /// The keyed hash of what the caller sent.
    pub fingerprint: Fingerprint,
}

/// The facts of a call. They never change on the way; the attempt and the extensions belong to this copy.
#[derive(Clone)]
pub struct Context {
    call: Arc<CallState>,
    attempt: u32,
    extensions: Extensions,
}

pub(crate) struct CallState {
    pub(crate) id: CallId,
    pub(crate) facts: Facts,
    pub(crate) shape: Shape,
    /// The sites of the pipeline that runs the call; the last one is the backend.
    pub(crate) sites: Arc<[Site]>,
    /// Which site is at work: an index into `sites`, or [`CallState::EDGE`].
    cursor: AtomicU8,
    progress: Progress,
    lingering: Lingering,
    /// What the log of who did what is to say of it, where one is kept. Set once.
    audit: OnceLock<Arc<AuditDraft>>,
    /// Whether a guard has accepted its credential.
    credential_accepted: AtomicBool,
    parent: Option<Arc<Self>>,
}

impl fmt::Debug for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.shape.kind(), self.id)
    }
}

/// What the caller says about the call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) tenant: TenantId,
    pub(crate) actor: Option<Arc<str>>,
    pub(crate) call_site: Option<Arc<str>>,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) credential: Option<Credential>,
}

impl CallState {
    pub(crate) const EDGE: u8 = u8::MAX;

    /// The site that stands just outside this one, and so passes on what comes to it. The cursor does not say: another
    /// call of a layer may be at work further in.
    pub(crate) const fn outside(index: u8) -> u8 {
        if index == 0 { Self::EDGE } else { index - 1 }
    }

    pub(crate) fn cursor(&self) -> &AtomicU8 {
        &self.cursor
    }

    /// This call and the ones that it is made on behalf of, from the inside out.
    fn lineage(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |call| call.parent.as_deref())
    }

    /// Whether its sites are those of the call that a caller made, and not of a pipeline inside of a layer.
    #[inline]
    pub(crate) fn is_of_the_outermost_pipeline(&self) -> bool {
        self.parent.is_none() || Arc::ptr_eq(&self.sites, &self.outermost().sites)
    }

    /// The call that a caller made, of the lineage.
    fn outermost(&self) -> &Self {
        self.lineage().last().unwrap_or(self)
    }

    /// Whether the call has a credential that no guard has accepted, neither for it nor for a call that it is made on behalf of.
    pub(crate) fn is_unguarded(&self) -> bool {
        self.facts.credential.is_some() && !self.lineage().any(|call| call.credential_accepted.load(Relaxed))
    }

    /// What the log is to say of it.
    pub(crate) fn audit(&self) -> Option<&Arc<AuditDraft>> {
        self.audit.get()
    }

    /// A write goes on that nobody waits for any more.
    pub(crate) fn linger(self: &Arc<Self>) -> Lingers {
        Lingers::new(self)
    }

    /// Drops what the call holds as soon as no write of it runs.
    pub(crate) fn release_after_writes(&self, held: impl Send + 'static) {
        self.outermost().lingering.leave(held);
    }

    /// Something is handed to a backend: for this call, and so for those around it. `false` when the call was given up
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

    /// What became of it.
    pub(crate) fn settle(&self, effect: Effect) {
        self.lineage().for_each(|call| call.progress.settle(effect));
    }

    /// Forgets what was applied: a layer has taken it back.
    pub(crate) fn take_back(&self) {
        self.progress.take_back();
    }

    /// Gives the call up, unless something was handed over: answers whether it did.
    pub(crate) fn cancel(&self) -> bool {
        self.progress.cancel()
    }

    /// What the store may contain of this call, as far as the pipeline has seen.
    pub(crate) fn effect(&self) -> Effect {
        self.progress.effect()
    }

    /// The error with what is known of this call. Its site is the one of this index, unless it has one.
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
                lingering: Lingering::default(),
                audit: OnceLock::new(),
                credential_accepted: AtomicBool::new(false),
                parent: None,
            }),
            attempt: 1,
            extensions: Extensions::new(),
        }
    }

    /// The same facts for another call made on behalf of this one, in a pipeline with these sites.
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
                lingering: Lingering::default(),
                audit: OnceLock::new(),
                credential_accepted: AtomicBool::new(false),
                parent: Some(Arc::clone(&self.call)),
            }),
            attempt: self.attempt,
            extensions: self.extensions.clone(),
        }
    }

    /// Lets a child say to the log what this call would have said: it is made where the call itself is to be written down.
    pub(crate) fn hand_on_audit(&self, child: &Self) {
        if let Some(draft) = self.call.audit.get() {
            // It was just made: nothing stands there.
            drop(child.call.audit.set(Arc::clone(draft)));
        }
    }

    pub(crate) fn call(&self) -> &Arc<CallState> {
        &self.call
    }

    /// Names this call in logs; the same for every attempt and for calls made on its behalf.
    #[must_use]
    pub fn call_id(&self) -> CallId {
        self.call.id
    }

    /// Which operation it is.
    #[must_use]
    pub fn kind(&self) -> OpKind {
        self.call.shape.kind()
    }

    /// The thread it speaks of, where it is exactly one.
    #[must_use]
    pub fn thread(&self) -> Option<&ThreadId> {
        self.call.shape.thread()
    }

    /// The message it speaks of, where it is exactly one.
    #[must_use]
    pub fn message(&self) -> Option<&MessageId> {
        self.call.shape.message()
    }

    /// Whose call it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.call.facts.tenant
    }

    /// On whose behalf the host acts, as the handle was told.
    #[must_use]
    pub fn actor(&self) -> Option<&str> {
        self.call.facts.actor.as_deref()
    }

    /// From which part of the host the call comes, as the handle was told.
    #[must_use]
    pub fn call_site(&self) -> Option<&str> {
        self.call.facts.call_site.as_deref()
    }

    /// The idempotency key and what it stands for.
    #[must_use]
    pub fn idempotency(&self) -> Option<&Idempotency> {
        self.call.facts.idempotency.as_ref()
    }

    /// The credential of the handle that made the call, where it has one of this type. See
    /// [`Persistence::with_credential`](crate::Persistence::with_credential).
    #[must_use]
    pub fn credential<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.call.facts.credential.as_ref()?.get()
    }

    /// Records that a guard has checked the credential against this call and permits it. The terminal refuses a call as
    /// [`Denied`](crate::ErrorKind::Denied) whose credential no layer has accepted, so a pipeline without the guard fails closed.
    pub fn accept_credential(&self) {
        self.call.credential_accepted.store(true, Relaxed);
    }

    /// Records what the audit log says of this write. The first draft stays: a layer further in cannot replace it, and `draft`
    /// is not called then. A pipeline without [`SiteSpec::with_audit`](crate::pipeline::SiteSpec::with_audit) ignores it.
    pub fn set_audit(&self, draft: impl FnOnce() -> AuditDraft) {
        self.call.audit.get_or_init(|| Arc::new(draft()));
    }

    /// Drops `held` as soon as no write of this call runs any more: at once, or when the last write has ended that a layer
    /// or the caller stopped waiting for. A layer gives back a permit this way, so that it is not free while a write that it
    /// was taken for still runs.
    pub fn release_after_writes(&self, held: impl Send + 'static) {
        self.call.release_after_writes(held);
    }

    /// The layer or backend that is at work on the call, [`Site::Edge`] before the first one. A layer that measures
    /// asks when a poll of the inner future has answered `Pending`: the site is the one that waits.
    #[must_use]
    pub fn active_site(&self) -> Site {
        self.call.site(self.call.cursor().load(Relaxed))
    }

    /// When the caller stops waiting.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.call.facts.deadline
    }

    /// Which attempt this is, from 1; a retry layer counts it up.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// This context for another attempt.
    #[must_use]
    pub const fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// What layers further out left for layers further in.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Leaves something for layers further in.
    pub const fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }

    /// What the store may contain at this moment, as far as the pipeline has seen.
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
