//! The error type of the pipeline: its kind, its site and its effect.
//!
//! ```
//! use throughline_core::{Effect, ErrorKind, PersistError};
//!
//! let error = PersistError::new(ErrorKind::Busy, "another process holds the write lock");
//! assert_eq!(error.kind().code(), "busy");
//! assert!(error.with_effect(Effect::NotApplied).is_transient());
//! ```
//!
//! `docs/errors.md` lists the kinds, their codes and the action for a caller. A test compares that table with the code.

mod kind;
mod site;
mod wire;

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc, time::Duration};

pub use self::{
    kind::{Effect, ErrorKind},
    site::{Site, SiteName},
};
use crate::{
    CallId, IdempotencyKey, InvalidId, MessageId, OpKind, Revision, ThreadId,
    message::{InvalidContent, InvalidCursor, InvalidMetadata},
};

/// The error type of foreign layers and of error sources.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// The result of a call through the pipeline.
pub type Result<T, E = PersistError> = std::result::Result<T, E>;

/// Why an operation failed: one opaque value of the size of a pointer.
///
/// [`kind`](Self::kind) classifies the failure, [`site`](Self::site) names the layer or backend that returned it, and
/// [`effect`](Self::effect) states what the store has now. [`context`](Self::context) adds text and keeps all three. An error
/// never contains content or metadata.
///
/// An error serializes with its facts and the texts of its sources, for a log and for a caller in another process. A deserialized
/// error has the same facts; `docs/errors.md` describes the fields.
///
/// ```
/// use throughline_core::{Effect, ErrorKind, PersistError};
///
/// let error = PersistError::new(ErrorKind::Busy, "locked").with_effect(Effect::NotApplied);
/// let json = serde_json::to_string(&error)?;
/// assert_eq!(json, r#"{"code":"busy","effect":"notApplied","attempts":1,"detail":"locked"}"#);
/// assert_eq!(serde_json::from_str::<PersistError>(&json)?.kind(), ErrorKind::Busy);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone)]
pub struct PersistError(Box<Repr>);

#[derive(Clone)]
struct Repr {
    kind: ErrorKind,
    /// The call of the error, after a pipeline has stamped it.
    call: Option<CallId>,
    /// The index of the layer that was not ready, before there was a call.
    unready: Option<u8>,
    effect: Option<Effect>,
    site: Option<Site>,
    operation: Option<OpKind>,
    thread: Option<ThreadId>,
    message: Option<MessageId>,
    key: Option<IdempotencyKey>,
    batch_index: Option<usize>,
    attempts: u32,
    retry_after: Option<Duration>,
    revision: Option<Revision>,
    detail: Cow<'static, str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl PersistError {
    /// Returns an error of this kind. `detail` is for people and must not contain content.
    ///
    /// The pipeline sets the site. It also sets the effect, unless [`with_effect`](Self::with_effect) sets it first.
    pub fn new(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Repr {
            kind,
            call: None,
            unready: None,
            effect: None,
            site: None,
            operation: None,
            thread: None,
            message: None,
            key: None,
            batch_index: None,
            attempts: 1,
            retry_after: None,
            revision: None,
            detail: detail.into(),
            source: None,
        }))
    }

    /// Returns a `NotFound` for the message `id` in `thread`, with the effect `NotApplied`.
    #[must_use]
    pub fn not_found(thread: &ThreadId, id: &MessageId) -> Self {
        Self::new(ErrorKind::NotFound, "there is no such message")
            .with_effect(Effect::NotApplied)
            .about(thread, id)
    }

    /// Returns an `Unsupported` for `feature`, with the effect `NotApplied`.
    #[must_use]
    pub fn unsupported(feature: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unsupported, format!("{feature} is not supported"))
            .with_effect(Effect::NotApplied)
    }

    /// Sets what the store has of the operation.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.0.effect = Some(effect);
        self
    }

    /// Sets the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into().into());
        self
    }

    /// Sets the time after which another attempt may succeed.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Sets the revision that the message has, or that a new message would get, where the call requires another one.
    #[must_use]
    pub fn with_revision(mut self, revision: Revision) -> Self {
        self.0.revision = Some(revision);
        self
    }

    /// Sets the number of attempts. A retry layer does not repeat a call that another retry layer has already repeated.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// Sets the index of the failed item of a batch, from 0.
    #[must_use]
    pub fn with_batch_index(mut self, index: usize) -> Self {
        self.0.batch_index = Some(index);
        self
    }

    /// Sets the thread of the error.
    #[must_use]
    pub fn about_thread(mut self, thread: &ThreadId) -> Self {
        self.0.thread = Some(thread.clone());
        self
    }

    /// Sets the thread and the message of the error.
    #[must_use]
    pub fn about(mut self, thread: &ThreadId, message: &MessageId) -> Self {
        self.0.thread = Some(thread.clone());
        self.0.message = Some(message.clone());
        self
    }

    /// Puts `prefix` before the detail, and keeps the kind, the site and the effect.
    #[must_use]
    pub fn context(mut self, prefix: impl fmt::Display) -> Self {
        self.0.detail = format!("{prefix}: {}", self.0.detail).into();
        self
    }

    /// The classification of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable code of the kind, for logs, metrics and the API of a host.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.kind.code()
    }

    /// The layer or backend that failed, panicked or did not answer in time. `None` only for an error that no pipeline has seen.
    #[must_use]
    pub fn site(&self) -> Option<&Site> {
        self.0.site.as_ref()
    }

    /// The part of the operation that the store has now.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.0.effect.unwrap_or(Effect::Unknown)
    }

    /// The operation that failed.
    #[must_use]
    pub fn operation(&self) -> Option<OpKind> {
        self.0.operation
    }

    /// The thread of the operation.
    #[must_use]
    pub fn thread(&self) -> Option<&ThreadId> {
        self.0.thread.as_ref()
    }

    /// The message of the operation. Read it to find out an unknown effect.
    #[must_use]
    pub fn message(&self) -> Option<&MessageId> {
        self.0.message.as_ref()
    }

    /// The idempotency key of the operation. Repeat the call with it to find out an unknown effect.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        self.0.key.as_ref()
    }

    /// The index of the item that failed a batch, from 0.
    #[must_use]
    pub fn batch_index(&self) -> Option<usize> {
        self.0.batch_index
    }

    /// The number of attempts.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The time after which another attempt may succeed, if it is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The revision that the message has, or that a new message would get, where the call required another one.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        self.0.revision
    }

    /// Whether the same call can be repeated safely and may succeed. That needs a kind that passes with time, and either no
    /// effect or an idempotency key.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind().passes_with_time()
            && match self.effect() {
                Effect::NotApplied => true,
                Effect::Unknown => self.0.key.is_some(),
                Effect::Applied => false,
            }
    }

    /// The detail, without the site and the ids.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Sets the operation, and the edge of the pipeline as the site. A handle uses it for an error that it returns before it makes
    /// a call, so that the error reads like one of the pipeline.
    #[must_use]
    pub fn at_the_edge(mut self, operation: OpKind) -> Self {
        self.0.site = Some(Site::Edge);
        self.0.operation = Some(operation);
        self
    }

    /// Returns the site; sets `otherwise` first if there is none.
    pub(crate) fn or_at(mut self, otherwise: Option<&Site>) -> Self {
        self.0.site = self.0.site.or_else(|| otherwise.cloned());
        self
    }

    /// Returns the effect; sets `otherwise` first if there is none.
    pub(crate) fn effect_or(&mut self, otherwise: Effect) -> Effect {
        *self.0.effect.get_or_insert(otherwise)
    }

    /// Records the index of the layer that was not ready. The code that stamps the error resolves the index to a name.
    #[cold]
    pub(crate) fn unready(mut self, site: u8) -> Self {
        self.0.unready.get_or_insert(site);
        self
    }

    /// Returns the error for the answer of another operation.
    #[cold]
    pub(crate) fn wrong_answer(asked: &str, answered: &str) -> Self {
        Self::new(
            ErrorKind::ContractViolation,
            format!("the call is `{asked}`, and its answer is to `{answered}`"),
        )
    }

    /// Adds what the pipeline knows of the call and the error does not state. An error of another call, which a layer returned,
    /// becomes the source of a new error of this call.
    #[cold]
    pub(crate) fn stamped(self, stamp: &Stamp<'_>) -> Self {
        let mut error = match self.0.call {
            Some(other) if other != stamp.call => Self::new(self.kind(), self.to_string()).with_source(self),
            _ => self,
        };
        let repr = &mut *error.0;
        repr.call = Some(stamp.call);
        repr.site.get_or_insert_with(|| (stamp.site)(repr.unready));
        repr.effect = Some(match repr.effect {
            // A read applies nothing, even when it fails.
            _ if !stamp.operation.is_write() => Effect::NotApplied,
            // This attempt applied nothing; the effect of the earlier attempts remains.
            None | Some(Effect::NotApplied) => stamp.effect,
            Some(said) => said,
        });
        repr.operation.get_or_insert(stamp.operation);
        if repr.thread.is_none() {
            repr.thread = stamp.thread.cloned();
        }
        if repr.message.is_none() {
            repr.message = stamp.message.cloned();
        }
        if repr.key.is_none() {
            repr.key = stamp.key.cloned();
        }
        error
    }
}

/// The facts of a call that the pipeline adds to its errors.
pub(crate) struct Stamp<'a> {
    pub(crate) call: CallId,
    /// Returns the site of an error without one. The argument is the index of the layer that was not ready.
    pub(crate) site: &'a dyn Fn(Option<u8>) -> Site,
    pub(crate) effect: Effect,
    pub(crate) operation: OpKind,
    pub(crate) thread: Option<&'a ThreadId>,
    pub(crate) message: Option<&'a MessageId>,
    pub(crate) key: Option<&'a IdempotencyKey>,
}

impl fmt::Display for PersistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repr = &*self.0;
        if let Some(operation) = repr.operation {
            write!(f, "{operation} failed")?;
            if let Some(site) = &repr.site {
                write!(f, " in {site}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{} ({}", repr.detail, repr.kind.code())?;
        if let Some(effect) = repr.effect {
            write!(f, ", {effect}")?;
        }
        f.write_str(")")?;
        if let Some(message) = &repr.message {
            write!(f, ", message `{message}`")?;
        }
        if let Some(thread) = &repr.thread {
            write!(f, ", thread `{thread}`")?;
        }
        if let Some(index) = repr.batch_index {
            write!(f, ", item {index} of the batch")?;
        }
        if repr.attempts > 1 {
            write!(f, ", after {} attempts", repr.attempts)?;
        }
        Ok(())
    }
}

impl fmt::Debug for PersistError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repr = &*self.0;
        f.debug_struct("PersistError")
            .field("kind", &repr.kind)
            .field("site", &repr.site)
            .field("effect", &repr.effect)
            .field("operation", &repr.operation)
            .field("detail", &repr.detail)
            .field("thread", &repr.thread)
            .field("message", &repr.message)
            .field("key", &repr.key)
            .field("batch_index", &repr.batch_index)
            .field("attempts", &repr.attempts)
            .field("retry_after", &repr.retry_after)
            .field("revision", &repr.revision)
            .field("source", &repr.source)
            .finish()
    }
}

impl StdError for PersistError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// Converts the error of a foreign layer. A [`PersistError`] inside keeps its kind, site and effect.
impl From<BoxError> for PersistError {
    fn from(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => *ours,
            Err(foreign) => {
                let detail = foreign.to_string();
                Self::new(ErrorKind::Internal, detail).with_source(foreign)
            }
        }
    }
}

impl From<std::convert::Infallible> for PersistError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

macro_rules! from_invalid {
    ($($name:ty),+) => {$(
        impl From<$name> for PersistError {
            fn from(error: $name) -> Self {
                Self::new(ErrorKind::Invalid, error.to_string())
                    .with_effect(Effect::NotApplied)
                    .with_source(error)
            }
        }
    )+};
}
from_invalid!(InvalidId, InvalidContent, InvalidCursor, InvalidMetadata);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_pointer() {
        assert_eq!(size_of::<PersistError>(), 8);
    }

    #[test]
    fn a_foreign_wrapper_keeps_kind_and_effect() {
        let ours = PersistError::new(ErrorKind::Busy, "locked").with_effect(Effect::NotApplied);
        let back = PersistError::from(BoxError::from(ours)).context("while saving");
        assert_eq!(back.kind(), ErrorKind::Busy);
        assert_eq!(back.effect(), Effect::NotApplied);
        assert_eq!(back.to_string(), "while saving: locked (busy, nothing was applied)");
        let foreign = PersistError::from(BoxError::from("boom"));
        assert_eq!(foreign.kind(), ErrorKind::Internal);
        assert_eq!(foreign.source().unwrap().to_string(), "boom");
    }
}
