//! REL-17: a layer that panics at random, at every point at which it can.

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

/// The point at which the layer panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Ready,
    Call,
    Poll,
    /// The poll that returns the answer.
    Answer,
    Drop,
}

/// Panics in one of a hundred cases; the seed makes the cases reproducible.
#[derive(Clone)]
struct Panics {
    point: Point,
    chance: Arc<Mutex<(fastrand::Rng, u64)>>,
}

impl Panics {
    fn new(point: Point) -> Self {
        Self { point, chance: Arc::new(Mutex::new((fastrand::Rng::with_seed(17), 0))) }
    }

    fn maybe_panic(&self, point: Point) {
        if self.point != point {
            return;
        }
        let mut chance = self.chance.lock().unwrap();
        let panics = chance.0.u32(0..100) == 0;
        chance.1 += u64::from(panics);
        // Drop the lock first, so that the panic does not poison it.
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
        self.panics.maybe_panic(Point::Ready);
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        self.panics.maybe_panic(Point::Call);
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
            self.panics.maybe_panic(Point::Poll);
        }
        let answer = ready!(self.inner.as_mut().poll(cx));
        self.panics.maybe_panic(Point::Answer);
        Poll::Ready(answer)
    }
}

impl<F> Drop for PanicsFuture<F> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.panics.maybe_panic(Point::Drop);
        }
    }
}

const TASKS: usize = 8;
const EACH: usize = 50;

/// Writes through a pipeline with the layer. Returns the number of failed calls and of panics.
async fn write_with_panics(point: Point) -> (u64, u64) {
    let mut store = Store::fresh();
    let panics = Panics::new(point);
    let db = Persistence::builder()
        .layer_as("panics", Phase::Route, panics.clone())
        .backend(store.open().await)
        // With one permit, a permit that is not returned blocks every later call.
        .admission(Admission { writes: 1, reads: 1, waiting: 10_000 })
        .build()
        .unwrap();
    let tasks = (0..TASKS).map(|task| {
        let thread = db.thread("t");
        tokio::spawn(async move {
            let mut answers: Vec<(String, Result<PersistResponse>)> = Vec::new();
            for number in 0..EACH {
                let id = format!("{task}-{number}");
                answers.push((id.clone(), thread.add(message(&id)).reply().await.map(Into::into)));
            }
            answers
        })
    });
    let mut failed = 0;
    for task in tasks.collect::<Vec<_>>() {
        for (id, answer) in task.await.expect("no panic reaches a caller") {
            store.record(&id, &answer);
            let Err(error) = answer else { continue };
            failed += 1;
            assert_eq!((error.kind(), error.site().unwrap().name()), (ErrorKind::Panicked, "panics"));
            let effect = if point == Point::Answer { Effect::Applied } else { Effect::NotApplied };
            assert_eq!(error.effect(), effect, "{error}");
        }
    }
    db.close().await.unwrap();
    store.assert_consistent(&["t"]).await;
    assert!(panics.fired() > 0, "the layer never panicked");
    (failed, panics.fired())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_17_a_panic_in_poll_ready_fails_only_its_own_call() {
    let (failed, fired) = write_with_panics(Point::Ready).await;
    assert_eq!(failed, fired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_17_a_panic_in_call_fails_only_its_own_call() {
    let (failed, fired) = write_with_panics(Point::Call).await;
    assert_eq!(failed, fired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_17_a_panic_before_the_write_fails_only_its_own_call() {
    let (failed, fired) = write_with_panics(Point::Poll).await;
    assert_eq!(failed, fired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_17_a_panic_after_the_write_reports_it_as_applied() {
    let (failed, fired) = write_with_panics(Point::Answer).await;
    assert_eq!(failed, fired);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_17_a_panic_in_a_drop_fails_no_call() {
    let (failed, _) = write_with_panics(Point::Drop).await;
    assert_eq!(failed, 0);
}
