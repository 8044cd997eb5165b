//! Turns: a prompt and its answer.

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

/// A turn to be added: what was asked, and what was answered if that is known.
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
    /// A prompt without an answer.
    #[must_use]
    pub const fn new(prompt: NewMessage) -> Self {
        Self { prompt, answers: Vec::new(), after: None }
    }

    /// Adds an answer behind the ones before: what an assistant said, a call of a tool, its result.
    #[must_use]
    pub fn answered(mut self, answer: NewMessage) -> Self {
        self.answers.push(answer);
        self
    }

    /// Names the last place that the caller saw in the thread; when the thread has given another one since, the turn is refused
    /// as [`Stale`](crate::ErrorKind::Stale).
    #[must_use]
    pub const fn after(mut self, seq: Seq) -> Self {
        self.after = Some(seq);
        self
    }
}

/// A turn as it was added.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// What was asked.
    pub prompt: Message,
    /// What was answered, in order.
    pub answers: Vec<Message>,
    /// Whether an earlier call with the same idempotency key had added it.
    pub deduplicated: bool,
}

/// A turn that is added when it is awaited: all of it or nothing, in one commit.
///
/// # Cancel safety
/// As for a [`Request`].
#[must_use = "nothing happens before it is awaited"]
pub struct TurnRequest(Request<Batch>);

impl TurnRequest {
    /// Gives the call an idempotency key: see [`IdempotencyKey`]. An unusable key is answered as `Invalid`.
    pub fn key<K>(self, key: K) -> Self
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<InvalidId>,
    {
        Self(self.0.key(key))
    }

    /// How long the caller waits. When it is over, the answer is `Timeout`, with the effect known at that moment; a
    /// write that was handed over goes on.
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
    /// Adds a turn: a prompt, and its answer where that is known. With an idempotency key a repeated call answers the turn
    /// that is there, so that nobody pays for an answer twice.
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
