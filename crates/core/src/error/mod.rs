//! The one error of the pipeline: what kind, where, with what effect.
//!
//! ```
//! use throughline_core::{Effect, ErrorKind, PersistError};
//!
//! let error = PersistError::new(ErrorKind::Busy, "another process holds the write lock");
//! assert_eq!(error.kind().code(), "busy");
//! assert!(error.with_effect(Effect::NotApplied).is_transient());
//! ```
//!
//! The kinds, their codes and what a caller can do about each are a table in `docs/errors.md`, which a test
//! compares with the code.

mod kind;
mod site;

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc, time::Duration};

pub use self::{
    kind::{Effect, ErrorKind},
    site::{Site, SiteName},
};
use crate::{
    CallId, IdempotencyKey, InvalidId, MessageId, OpKind, ThreadId,
    message::{InvalidContent, InvalidMetadata},
};

/// An error that a foreign layer or a backend works with.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// The result of anything that goes through the pipeline.
pub type Result<T, E = PersistError> = std::result::Result<T, E>;

/// Why an operation did not answer: one opaque value of the size of a pointer.
///
/// [`kind`](Self::kind) says what happened, [`site`](Self::site) which layer or backend said so,
/// [`effect`](Self::effect) what the store may contain now. Wrapping it with [`context`](Self::context) keeps
/// all three. Content and metadata never stand in an error.
#[derive(Clone)]
pub struct PersistError(Box<Repr>);

#[derive(Clone)]
struct Repr {
    kind: ErrorKind,
    /// Whose error it is, once a pipeline has seen it.
    call: Option<CallId>,
    /// The layer that could not be made ready, before there was a call.
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
    detail: Cow<'static, str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl PersistError {
    /// An error of this kind; `detail` is for people and must not hold content.
    ///
    /// Its site and, unless [`with_effect`](Self::with_effect) says it, its effect are stamped by the pipeline.
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
            detail: detail.into(),
            source: None,
        }))
    }

    /// There is no message `id` in `thread`, and nothing was applied.
    #[must_use]
    pub fn not_found(thread: &ThreadId, id: &MessageId) -> Self {
        Self::new(ErrorKind::NotFound, "there is no such message")
            .with_effect(Effect::NotApplied)
            .about(thread, id)
    }

    /// `what` is not done by this backend.
    #[must_use]
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Unsupported, format!("{what} is not supported")).with_effect(Effect::NotApplied)
    }

    /// Says what the store may contain now.
    #[must_use]
    pub fn with_effect(mut self, effect: Effect) -> Self {
        self.0.effect = Some(effect);
        self
    }

    /// Keeps the error that caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into().into());
        self
    }

    /// Says when another attempt may succeed.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Says how many attempts were made; a retry layer does not repeat what another one gave up.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// Says which item of a batch failed.
    #[must_use]
    pub fn with_batch_index(mut self, index: usize) -> Self {
        self.0.batch_index = Some(index);
        self
    }

    /// Says which thread it is about.
    #[must_use]
    pub fn about_thread(mut self, thread: &ThreadId) -> Self {
        self.0.thread = Some(thread.clone());
        self
    }

    /// Says which message it is about.
    #[must_use]
    pub fn about(mut self, thread: &ThreadId, message: &MessageId) -> Self {
        self.0.thread = Some(thread.clone());
        self.0.message = Some(message.clone());
        self
    }

    /// Puts `note` before the detail; kind, site and effect stay.
    #[must_use]
    pub fn context(mut self, note: impl fmt::Display) -> Self {
        self.0.detail = format!("{note}: {}", self.0.detail).into();
        self
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The stable text of the kind, for logs, metrics and the surface of a host.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.0.kind.code()
    }

    /// Which layer or backend answered, panicked or was being waited for. Nothing only for an error that has
    /// not been through a pipeline.
    #[must_use]
    pub fn site(&self) -> Option<&Site> {
        self.0.site.as_ref()
    }

    /// What the store may contain now.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.0.effect.unwrap_or(Effect::Unknown)
    }

    /// Which operation failed.
    #[must_use]
    pub fn operation(&self) -> Option<OpKind> {
        self.0.operation
    }

    /// The thread of the operation.
    #[must_use]
    pub fn thread(&self) -> Option<&ThreadId> {
        self.0.thread.as_ref()
    }

    /// The message of the operation: with it, an unknown outcome can be learnt by a read.
    #[must_use]
    pub fn message(&self) -> Option<&MessageId> {
        self.0.message.as_ref()
    }

    /// The idempotency key of the operation: with it, an unknown outcome can be learnt by a repeated call.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        self.0.key.as_ref()
    }

    /// The index of the item that failed a batch, from 0.
    #[must_use]
    pub fn batch_index(&self) -> Option<usize> {
        self.0.batch_index
    }

    /// How many attempts were made.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// When another attempt may succeed, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the same call can be made again and may succeed: the kind passes with time, and either nothing
    /// was applied or the idempotency key makes a second application impossible.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.kind().passes_with_time()
            && match self.effect() {
                Effect::NotApplied => true,
                Effect::Unknown => self.0.key.is_some(),
                Effect::Applied => false,
            }
    }

    /// The detail alone, without the site and the ids.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Says that a handle has made it, and not a call: one that was refused before there was one, say.
    pub(crate) fn at_the_edge(mut self, operation: OpKind) -> Self {
        self.0.site = Some(Site::Edge);
        self.0.operation = Some(operation);
        self
    }

    /// The site that the error says, or from now on `otherwise`.
    pub(crate) fn or_at(mut self, otherwise: Option<&Site>) -> Self {
        self.0.site = self.0.site.or_else(|| otherwise.cloned());
        self
    }

    /// The effect that the error says, or from now on `otherwise`.
    pub(crate) fn effect_or(&mut self, otherwise: Effect) -> Effect {
        *self.0.effect.get_or_insert(otherwise)
    }

    /// Says which layer could not be made ready; whoever sees the error with its call names it.
    #[cold]
    pub(crate) fn unready(mut self, site: u8) -> Self {
        self.0.unready.get_or_insert(site);
        self
    }

    /// An answer to one operation where one to another was due.
    #[cold]
    pub(crate) fn wrong_answer(asked: &str, answered: &str) -> Self {
        Self::new(
            ErrorKind::ContractViolation,
            format!("an answer to `{answered}` where one to `{asked}` was due"),
        )
    }

    /// Fills in what the pipeline knows of the call and the error does not say. An error of another call, which a layer let out,
    /// becomes the source of one of this call.
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
            // A read applies nothing, whatever became of it.
            _ if !stamp.operation.is_write() => Effect::NotApplied,
            // Nothing was applied by this attempt: what is known of the others stands.
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

/// What a pipeline knows of the call that an error is of.
pub(crate) struct Stamp<'a> {
    pub(crate) call: CallId,
    /// The site of the error, where it has none: it is given the index of the layer that could not be made ready.
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
            .field("source", &repr.source)
            .finish()
    }
}

impl StdError for PersistError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// What a foreign layer answers. An error of ours inside comes out as it was, with its kind, site and effect.
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
from_invalid!(InvalidId, InvalidContent, InvalidMetadata);

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
