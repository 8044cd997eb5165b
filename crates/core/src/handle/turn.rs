//! A turn: a prompt and the messages that answer it.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    time::Duration,
};

use super::{Request, Thread};
use crate::PersistError;
use crate::{
    IdempotencyKey, InvalidId, Message, NewMessage, PersistResult, Result, Seq,
    operation::{Add, Batch},
};

/// A new turn: a prompt, and its answers if they are known.
///
/// ```
/// use throughline_core::{NewMessage, NewTurn};
///
/// let turn = NewTurn::new(NewMessage::user("Where is Lisbon?")).answered(NewMessage::assistant("In Portugal."));
/// # let _ = turn;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NewTurn {
    prompt: NewMessage,
    answers: Vec<NewMessage>,
    after: Option<Seq>,
}

impl NewTurn {
    /// Returns a turn with a prompt and no answer.
    #[must_use]
    pub const fn new(prompt: NewMessage) -> Self {
        Self { prompt, answers: Vec::new(), after: None }
    }

    /// Adds a message after the earlier answers: a text of the assistant, a tool call, or a tool result.
    #[must_use]
    pub fn answered(mut self, answer: NewMessage) -> Self {
        self.answers.push(answer);
        self
    }

    /// Sets the last sequence number that the caller has seen in the thread. If the thread has a later message, the turn fails as
    /// [`Stale`](crate::ErrorKind::Stale).
    #[must_use]
    pub const fn after(mut self, seq: Seq) -> Self {
        self.after = Some(seq);
        self
    }
}

/// A stored turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// The prompt.
    pub prompt: Message,
    /// The answers, in order.
    pub answers: Vec<Message>,
    /// Whether an earlier call with the same idempotency key added the turn.
    pub deduplicated: bool,
}

/// A request that adds a turn when it is awaited. The store adds all messages in one commit, or none.
///
/// # Cancel safety
/// As for a [`Request`].
#[must_use = "nothing happens before it is awaited"]
pub struct TurnRequest(Request<Batch>);

impl TurnRequest {
    /// Sets the idempotency key of the call: see [`IdempotencyKey`]. An invalid key fails the call as `Invalid`.
    pub fn key<K>(self, key: K) -> Self
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<InvalidId>,
    {
        Self(self.0.key(key))
    }

    /// Sets the longest time that the caller waits: see [`Request::deadline`].
    pub fn deadline(self, after: Duration) -> Self {
        Self(self.0.deadline(after))
    }
}

impl IntoFuture for TurnRequest {
    type Output = Result<Turn>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let batched = self.0.await?;
            let mut messages = Vec::with_capacity(batched.outputs.len());
            for output in batched.outputs {
                match output {
                    PersistResult::Add(added) => messages.push(added.message),
                    other => return Err(PersistError::wrong_answer("add", other.kind().as_str())),
                }
            }
            let mut messages = messages.into_iter();
            let prompt = messages.next().ok_or_else(|| PersistError::wrong_answer("add", "nothing"))?;
            Ok(Turn { prompt, answers: messages.collect(), deduplicated: batched.deduplicated })
        })
    }
}

impl fmt::Debug for TurnRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TurnRequest").field(&self.0).finish()
    }
}

impl Thread {
    /// Adds a turn: a prompt, and its answers if they are known. With an idempotency key, a repeated call returns the stored
    /// turn, so that the host does not ask the model twice.
    ///
    /// ```no_run
    /// use throughline_core::{NewMessage, NewTurn, Persistence};
    ///
    /// # async fn example(db: Persistence) -> throughline_core::Result<()> {
    /// let turn = NewTurn::new(NewMessage::user("Where is Lisbon?")).answered(NewMessage::assistant("In Portugal."));
    /// let turn = db.thread("telegram:42").append_turn(turn).key("update-1007").await?;
    /// assert_eq!(turn.answers[0].seq, turn.prompt.seq.next());
    /// # Ok(())
    /// # }
    /// ```
    pub fn append_turn(&self, turn: NewTurn) -> TurnRequest {
        let NewTurn { prompt, answers, after } = turn;
        let prompt = match after {
            Some(seq) => prompt.after(seq),
            None => prompt,
        };
        TurnRequest(Request::new(
            self.persistence().clone(),
            self.with_id(|thread| {
                let adds = std::iter::once(prompt).chain(answers);
                Batch::of(adds.map(|message| Add::new(thread.clone(), message).into()).collect())
            }),
        ))
    }
}
