//! A backend with scripted answers: for the unit tests of a layer, without a store.
//!
//! ```
//! use throughline_conformance::FakeBackend;
//! use throughline_core::{
//!     Call, ErrorKind, NewMessage, PersistError, Persistence, Position, Reply, Seq, Timestamp,
//!     messages::{Add, Added, Delete},
//! };
//! use throughline_layers::limits::LimitsLayer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let fake = FakeBackend::new();
//! fake.answer_with(|call: Call<Add>| {
//!     let tenant = call.context.tenant();
//!     let message = call.op.to_message(tenant, Seq::FIRST, Timestamp::from_micros(0));
//!     Ok(Reply::at(Added { message, deduplicated: false }, Position::new(1)))
//! });
//! fake.fail::<Delete>(PersistError::new(ErrorKind::Busy, "locked"));
//!
//! let db = Persistence::builder().layer(LimitsLayer::new()).backend(fake.backend()).build()?;
//! let thread = db.thread("t");
//! let added = thread.add(NewMessage::user("hello")).await?;
//! assert_eq!(thread.delete(added.message.id).await.unwrap_err().kind(), ErrorKind::Busy);
//! assert_eq!(fake.calls_of::<Add>()[0].op.content.byte_len(), 32);
//! # Ok(())
//! # }
//! ```

use std::{
    collections::VecDeque,
    fmt,
    future::pending,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context as TaskContext, Poll},
    thread,
};

use throughline_core::{
    Call, Capabilities, Durability, Effect, ErrorKind, OpKind, Operation, PersistError, PersistRequest,
    PersistResponse, Reply, Result, pipeline::ServiceBackend,
};
use tower_service::Service;

/// A script of answers, with a record of the calls. Its terminal is [`backend`](Self::backend).
///
/// The script is one sequence over all operations. Each answer names its operation, and the next call must be of that operation.
/// Any other call fails with an [`Internal`](ErrorKind::Internal) error that says so. It also fails the test when
/// this is dropped, even if a layer has swallowed the error.
///
/// # Panics
/// Panics on drop if answers are left in the script, or after an unexpected call; unless the
/// test already panics.
#[must_use = "dropped, it looks whether its script was played"]
pub struct FakeBackend(Arc<Mutex<Play>>);

/// The remaining script, and the calls so far.
#[derive(Default)]
struct Play {
    script: VecDeque<Entry>,
    calls: Vec<PersistRequest>,
    /// The calls that the script did not expect.
    unexpected: Vec<String>,
}

struct Entry {
    kind: OpKind,
    answer: Answer,
}

enum Answer {
    With(Box<dyn FnOnce(PersistRequest) -> Result<PersistResponse> + Send>),
    Never,
}

impl FakeBackend {
    /// Creates a backend with an empty script.
    pub fn new() -> Self {
        Self(Arc::default())
    }

    fn play(&self) -> MutexGuard<'_, Play> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn script<O: Operation>(&self, answer: Answer) {
        self.play().script.push_back(Entry { kind: O::KIND, answer });
    }

    /// The next call is an `O` and is answered with this output, without a position.
    pub fn answer<O: Operation>(&self, output: O::Output) {
        self.answer_with(move |_: Call<O>| Ok(Reply::new(output)));
    }

    /// The next call is an `O` and is answered with the result of this function.
    pub fn answer_with<O: Operation>(
        &self,
        answer: impl FnOnce(Call<O>) -> Result<Reply<O>> + Send + 'static,
    ) {
        let answer = |request: PersistRequest| {
            let PersistRequest { args, context } = request;
            let kind = args.kind();
            match O::try_from(args) {
                Ok(op) => answer(Call { op, context }).map(Into::into),
                // The call was compared with the script before.
                Err(_) => unreachable!("the script is for `{}`, and the call is `{kind}`", O::KIND),
            }
        };
        self.script::<O>(Answer::With(Box::new(answer)));
    }

    /// The next call is an `O` and fails with this error. Without an effect in the error, the pipeline decides it as for a
    /// backend.
    pub fn fail<O: Operation>(&self, error: PersistError) {
        self.script::<O>(Answer::With(Box::new(move |_| Err(error))));
    }

    /// The next call is an `O` and is never answered.
    pub fn hang<O: Operation>(&self) {
        self.script::<O>(Answer::Never);
    }

    /// The calls so far, in order, including the unexpected ones.
    #[must_use]
    pub fn calls(&self) -> Vec<PersistRequest> {
        self.play().calls.clone()
    }

    /// The calls of one operation so far, in order.
    #[must_use]
    pub fn calls_of<O: Operation>(&self) -> Vec<Call<O>> {
        let calls = self.calls().into_iter();
        calls
            .filter_map(|call| O::try_from(call.args).ok().map(|op| Call { op, context: call.context }))
            .collect()
    }

    /// The terminal that plays the script: named `fake`, volatile, with every capability.
    #[must_use]
    pub fn backend(&self) -> ServiceBackend<FakeService> {
        self.backend_with(Capabilities::full(Durability::Volatile))
    }

    /// The same terminal with these claims.
    #[must_use]
    pub fn backend_with(&self, capabilities: Capabilities) -> ServiceBackend<FakeService> {
        ServiceBackend::new("fake", capabilities, FakeService(Arc::clone(&self.0)))
    }
}

impl Default for FakeBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FakeBackend {
    fn drop(&mut self) {
        if thread::panicking() {
            return;
        }
        let play = self.play();
        let left: Vec<&str> = play.script.iter().map(|entry| entry.kind.as_str()).collect();
        assert!(
            play.unexpected.is_empty(),
            "the fake backend was asked what it has no answer for: {:?}",
            play.unexpected
        );
        assert!(left.is_empty(), "the fake backend was never asked for the rest of its script: {left:?}");
    }
}

impl fmt::Debug for FakeBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let play = self.play();
        f.debug_struct("FakeBackend")
            .field("script", &play.script.len())
            .field("calls", &play.calls.len())
            .finish()
    }
}

/// The service behind [`FakeBackend::backend`].
#[derive(Clone)]
pub struct FakeService(Arc<Mutex<Play>>);

impl fmt::Debug for FakeService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeService")
    }
}

impl Service<PersistRequest> for FakeService {
    type Response = PersistResponse;
    type Error = PersistError;
    type Future = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        let mut play = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        play.calls.push(request.clone());
        let (asked, number) = (request.kind(), play.calls.len());
        let due = play.script.front().map(|entry| entry.kind);
        if due != Some(asked) {
            let due = due.map_or_else(|| "nothing more".to_owned(), |kind| format!("`{kind}`"));
            let case = format!("call {number} is `{asked}`, and the script has {due} next");
            play.unexpected.push(case.clone());
            drop(play);
            let error = PersistError::new(ErrorKind::Internal, case).with_effect(Effect::NotApplied);
            return Box::pin(async { Err(error) });
        }
        let entry = play.script.pop_front();
        // The answer runs a function of the test, so the lock is released first.
        drop(play);
        match entry.map(|entry| entry.answer) {
            Some(Answer::With(answer)) => Box::pin(async move { answer(request) }),
            Some(Answer::Never) | None => Box::pin(pending()),
        }
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::{
        NewMessage, Persistence, ReadArgs, ReadResult,
        messages::{Add, Delete},
    };

    use super::*;

    fn db(fake: &FakeBackend) -> Persistence {
        Persistence::builder().backend(fake.backend()).build().unwrap()
    }

    #[tokio::test]
    async fn answers_are_in_order_and_calls_are_recorded() {
        let fake = FakeBackend::new();
        fake.answer::<ReadArgs>(ReadResult::Get(None));
        fake.fail::<Add>(PersistError::new(ErrorKind::Busy, "locked"));
        let thread = db(&fake).thread("t");
        assert_eq!(thread.get("m".parse().unwrap()).await.unwrap(), None);
        let error = thread.add(NewMessage::user("x")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Busy, Effect::NotApplied));
        assert_eq!(error.site().unwrap().name(), "fake");
        let kinds: Vec<_> = fake.calls().iter().map(PersistRequest::kind).collect();
        assert_eq!(kinds, [OpKind::Read, OpKind::Add]);
        assert_eq!(fake.calls_of::<Add>()[0].op.thread.as_str(), "t");
    }

    #[tokio::test]
    #[should_panic(expected = "the rest of its script: [\"delete\"]")]
    async fn unfinished_script_fails_the_test() {
        let fake = FakeBackend::new();
        fake.hang::<Delete>();
    }

    #[tokio::test]
    #[should_panic(expected = "call 1 is `add`, and the script has `delete` next")]
    async fn unexpected_call_fails_the_test_even_when_a_layer_swallows_the_error() {
        let fake = FakeBackend::new();
        fake.hang::<Delete>();
        let error = db(&fake).thread("t").add(NewMessage::user("x")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Internal, Effect::NotApplied));
    }

    #[tokio::test(start_paused = true)]
    async fn call_without_an_answer_ends_at_its_deadline() {
        let fake = FakeBackend::new();
        fake.hang::<Add>();
        let add = db(&fake).thread("t").add(NewMessage::user("x"));
        let error = add.deadline(std::time::Duration::from_secs(1)).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    }
}
