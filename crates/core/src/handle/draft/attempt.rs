//! Reply attempts: one reply for a request that may be delivered several times, and whose writers may die.
//!
//! ```no_run
//! use throughline_core::{Persistence, Role, messages::ReplyAttempt};
//!
//! # async fn example(db: Persistence) -> throughline_core::Result<()> {
//! match db.thread("telegram:42").reserve(Role::Assistant).key("reply-to-1007").next_attempt().await? {
//!     ReplyAttempt::Begun { mut draft, .. } => {
//!         draft.append("Hello!").await?;
//!         draft.finish().await?;
//!     }
//!     ReplyAttempt::Finished(reply) => println!("deliver {} again", reply.id),
//!     ReplyAttempt::Open(reply) => println!("another writer is writing {}: ask again later", reply.id),
//! }
//! # Ok(())
//! # }
//! ```

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    time::Instant,
};

use super::{Coalesce, Draft, writer};
use crate::{
    Effect, ErrorKind, IdempotencyKey, Message, MessageId, MessageState, NewReservation, OpKind,
    PersistError, Persistence, ReadArgs, ReadResult, Result, ThreadId,
    backend::rules,
    handle::Request,
    operation::{ContentChange, GetMessage, Reserve, UpdateContent, UpdateMode},
};

/// The result of a request for the next attempt of a reply.
#[derive(Debug)]
pub enum ReplyAttempt {
    /// A new message was reserved for this attempt.
    Begun {
        /// The writer of the message.
        draft: Draft,
        /// The number of the attempt, from 1. A request whose attempts keep failing may be the cause of the failures:
        /// limit the number of attempts.
        number: u32,
    },
    /// An earlier attempt is open, and its writer may be alive: a draft of this pipeline writes it, or its lease has
    /// not expired. Ask again after the expiry of the lease.
    Open(Message),
    /// An earlier attempt is final: this message is the reply.
    Finished(Message),
}

/// A request for the next attempt, which runs when it is awaited: see
/// [`DraftRequest::next_attempt`](super::DraftRequest::next_attempt).
#[must_use = "nothing happens before it is awaited"]
pub struct ReplyAttemptRequest {
    pub(super) db: Persistence,
    pub(super) reserve: Result<(ThreadId, NewReservation)>,
    pub(super) key: Result<Option<IdempotencyKey>>,
    pub(super) until: Option<Instant>,
    pub(super) coalesce: Coalesce,
}

/// The reason with which an expired attempt is abandoned.
const REASON: &str = "its writer is gone, and the next attempt began";

impl ReplyAttemptRequest {
    async fn run(self) -> Result<ReplyAttempt> {
        let (thread, reservation, key) = match self.checked() {
            Ok(checked) => checked,
            // Refused as a call, so that an audit log records it.
            Err(error) => {
                Request::<Reserve>::new(self.db.clone(), Err(error)).await?;
                unreachable!("a refused call answers an error")
            }
        };
        let mut number = 1;
        loop {
            let reserve = Reserve::new(thread.clone(), reservation.clone());
            let key = key_of(&key, number)?;
            let reply = self.db.run(reserve).key(key).until(self.until).reply().await?;
            if !reply.output.deduplicated {
                let limit = reply.extensions.get().copied();
                let draft = writer::spawn(&self.db, reply.output, limit, self.coalesce);
                return Ok(ReplyAttempt::Begun { draft, number });
            }
            let Message { id, seq, .. } = reply.output.message;
            // With another sequence number it is a later message of the id.
            match self.read_message(&thread, &id).await?.filter(|message| message.seq == seq) {
                None => {
                    let gone = PersistError::new(ErrorKind::Gone, "the reply was deleted");
                    let gone = gone.with_effect(Effect::NotApplied).at_the_edge(OpKind::Reserve);
                    return Err(gone.about(&thread, &id));
                }
                Some(message) => match message.state {
                    MessageState::Final => return Ok(ReplyAttempt::Finished(message)),
                    MessageState::Abandoned => number += 1,
                    MessageState::Reserved | MessageState::Streaming => {
                        let is_live = self.db.live_drafts().holds(&message);
                        if is_live || !rules::is_expired(&message, self.db.now()) {
                            return Ok(ReplyAttempt::Open(message));
                        }
                        self.abandon(message).await?;
                    }
                },
            }
        }
    }

    /// Returns the reservation and its key, if they allow attempts.
    fn checked(&self) -> Result<(ThreadId, NewReservation, IdempotencyKey)> {
        let invalid = |detail| Err(PersistError::new(ErrorKind::Invalid, detail));
        let (thread, reservation) = self.reserve.clone()?;
        let Some(key) = self.key.clone()? else {
            return invalid("attempts of a reply need an idempotency key");
        };
        if reservation.id.is_some() {
            return invalid("each attempt of a reply has a message of its own: name no id");
        }
        // A key without space for the number would fail at the second attempt, after a crash.
        if key_of(&key, u32::MAX).is_err() {
            return invalid("the idempotency key leaves no space for the number of an attempt");
        }
        Ok((thread, reservation, key))
    }

    async fn read_message(&self, thread: &ThreadId, id: &MessageId) -> Result<Option<Message>> {
        let get = GetMessage { thread: thread.clone(), id: id.clone() };
        match self.db.run(ReadArgs::from(get)).until(self.until).await? {
            ReadResult::Get(message) => Ok(message),
            _ => Ok(None),
        }
    }

    /// Abandons a message whose lease has expired, like the recovery of expired drafts. If another caller was faster,
    /// the loop reads the message again.
    async fn abandon(&self, message: Message) -> Result<()> {
        let mode = UpdateMode::Abandon { reason: Some(REASON.to_owned()) };
        let abandon = UpdateContent::new(message.thread, message.id, ContentChange::none(), mode)
            .expecting(message.revision)
            .only_if_expired();
        match self.db.run(abandon).until(self.until).await {
            Err(error)
                if !matches!(error.kind(), ErrorKind::Stale | ErrorKind::Conflict | ErrorKind::NotFound) =>
            {
                Err(error)
            }
            _ => Ok(()),
        }
    }
}

/// Returns the key of an attempt. The first attempt has the key of the reply.
fn key_of(key: &IdempotencyKey, number: u32) -> Result<IdempotencyKey> {
    match number {
        1 => Ok(key.clone()),
        _ => Ok(format!("{key} (attempt {number})").parse()?),
    }
}

impl fmt::Debug for ReplyAttemptRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyAttemptRequest").field("reserve", &self.reserve).finish_non_exhaustive()
    }
}

impl IntoFuture for ReplyAttemptRequest {
    type Output = Result<ReplyAttempt>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<ReplyAttempt>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
