//! REL-17: a layer that panics at random, wherever it can.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use throughline::{
    Effect, ErrorKind, PersistRequest, PersistResponse, Persistence, Phase, Result, pipeline::Admission,
};
use tower::{Layer, Service};

use crate::store::{Store, message};

/// Where a layer panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Ready,
    Call,
    Poll,
    /// In the poll that has the answer.
    Answer,
    Drop,
}

/// Panics one time in a hundred, always at the same times for one seed.
#[derive(Clone)]
struct Panics {
    at: At,
    chance: Arc<Mutex<(fastrand::Rng, u64)>>,
}

impl Panics {
    fn new(at: At) -> Self {
        Self { at, chance: Arc::new(Mutex::new((fastrand::Rng::with_seed(17), 0))) }
    }

    fn perhaps(&self, at: At) {
        if self.at != at {
            return;
        }
        let mut chance = self.chance.lock().unwrap();
        let panics = chance.0.u32(0..100) == 0;
        chance.1 += u64::from(panics);
        // Not under the lock, which would be poisoned.
        drop(chance);
        assert!(!panics, "on purpose");
    }

    fn fired(&self) -> u64 {
        self.chance.lock().unwrap().1
    }
}

impl<S> Layer<S> for Panics {
    type Service = PanicsService<S>;

    fn layer(&self, inner: S) -> PanicsService<S> {
        PanicsService { inner, panics: self.clone() }
    }
}

#[derive(Clone)]
struct PanicsService<S> {
    inner: S,
    panics: Panics,
}

impl<S: Service<PersistRequest>> Service<PersistRequest> for PanicsService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = PanicsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<std::result::Result<(), S::Error>> {
        self.panics.perhaps(At::Ready);
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        self.panics.perhaps(At::Call);
        PanicsFuture { inner: Box::pin(self.inner.call(request)), panics: self.panics.clone(), polled: false }
    }
}

struct PanicsFuture<F> {
    inner: Pin<Box<F>>,
    panics: Panics,
    polled: bool,
}

impl<F: Future> Future for PanicsFuture<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !std::mem::replace(&mut self.polled, true) {
            self.panics.perhaps(At::Poll);
        }
        let answer = ready!(self.inner.as_mut().poll(cx));
        self.panics.perhaps(At::Answer);
        Poll::Ready(answer)
    }
}

impl<F> Drop for PanicsFuture<F> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.panics.perhaps(At::Drop);
        }
    }
}

const TASKS: usize = 8;
const EACH: usize = 50;

/// Writes through a pipeline with the layer in it. How many calls failed, and how often it panicked.
async fn writes_go_on(at: At) -> (u64, u64) {
    let mut store = Store::fresh();
    let panics = Panics::new(at);
    let db = Persistence::builder()
        .layer_as("panics", Phase::Route, panics.clone())
        .backend(store.open().await)
        // One place: the first that is not given back holds up everything.
        .admission(Admission { writes: 1, reads: 1, waiting: 10_000 })
        .build()
        .unwrap();
    let tasks = (0..TASKS).map(|task| {
        let thread = db.thread("t");
        tokio::spawn(async move {
            let mut told: Vec<(String, Result<PersistResponse>)> = Vec::new();
            for number in 0..EACH {
                let id = format!("{task}-{number}");
                told.push((id.clone(), thread.add(message(&id)).reply().await.map(Into::into)));
            }
            told
        })
    });
    let mut failed = 0;
    for task in tasks.collect::<Vec<_>>() {
        for (id, answer) in task.await.expect("no panic reaches a caller") {
            store.told(&id, &answer);
            let Err(error) = answer else { continue };
            failed += 1;
            assert_eq!((error.kind(), error.site().unwrap().name()), (ErrorKind::Panicked, "panics"));
            let effect = if at == At::Answer { Effect::Applied } else { Effect::NotApplied };
            assert_eq!(error.effect(), effect, "{error}");
        }
    }
    db.close().await.unwrap();
    store.keeps_its_word(&["t"]).await;
    assert!(panics.fired() > 0, "nothing was tested");
    (failed, panics.fired())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_17_a_panic_while_it_is_made_ready_fails_its_own_call_alone() {
    let (failed, fired) = writes_go_on(At::Ready).await;
    assert_eq!(failed, fired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_17_a_panic_when_it_is_called_fails_its_own_call_alone() {
    let (failed, fired) = writes_go_on(At::Call).await;
    assert_eq!(failed, fired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_17_a_panic_before_the_write_fails_its_own_call_alone() {
    let (failed, fired) = writes_go_on(At::Poll).await;
    assert_eq!(failed, fired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_17_a_panic_over_the_answer_leaves_the_write_and_says_so() {
    let (failed, fired) = writes_go_on(At::Answer).await;
    assert_eq!(failed, fired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_17_a_panic_in_a_drop_fails_nothing() {
    let (failed, _) = writes_go_on(At::Drop).await;
    assert_eq!(failed, 0);
}
