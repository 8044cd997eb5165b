//! The guarantees of the edge on any executor, with layers that panic late, and after the end of the runtime.

use std::{
    future::{IntoFuture as _, poll_fn},
    panic::{set_hook, take_hook},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use throughline::{
    Content, Effect, ErrorKind, NewMessage, NewReservation, OpKind, PersistArgs, PersistError,
    PersistRequest, PersistResult, Persistence, Phase, ReadArgs, Result, Role,
    layers::retry::RetryLayer,
    memory::MemoryBackend,
    messages::{Add, Batch, ContentChange, PageFrom, Reserve, UpdateContent, UpdateMode},
    plugin::{NextRequest, from_fn, respond},
};
use tower::{Layer, Service};

use crate::{blocked::BlockedStore, kind_effect_site};

/// Runs a future on this thread, without a runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

#[test]
fn layers_have_timers_on_any_executor() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let refuses = respond("busy", |_, context| {
        let busy = PersistError::new(ErrorKind::Busy, "not yet").with_effect(Effect::NotApplied);
        (context.attempt() < 3).then_some(Err(busy))
    });
    let db = runtime
        .block_on(async {
            let retry = RetryLayer::new().backoff(Duration::from_millis(1), Duration::from_millis(1));
            Persistence::builder().layer(retry).plugin(refuses).backend(MemoryBackend::new()).build()
        })
        .unwrap();
    let added = block_on(db.thread("t").add(NewMessage::user("x")).into_future()).unwrap();
    assert_eq!(added.message.seq.get(), 1);
}

#[test]
fn a_draft_with_a_deadline_is_written_on_any_executor() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let db = runtime
        .block_on(async {
            let deadline = Duration::from_secs(60);
            Persistence::builder().deadline(deadline).backend(MemoryBackend::new()).build()
        })
        .unwrap();
    let text = block_on(async {
        let mut draft = db.thread("t").reserve(Role::Assistant).await.unwrap();
        draft.append("Hel").await.unwrap();
        draft.flush().await.unwrap();
        draft.append("lo!").await.unwrap();
        draft.finish().await.unwrap();
        db.thread("t").get(draft.id().clone()).await.unwrap().unwrap().content
    });
    assert_eq!(text, Content::text("Hello!"));
}

#[test]
fn a_draft_returns_cancelled_after_its_runtime_ended() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut draft = runtime.block_on(async {
        let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
        db.with_deadline(Duration::from_secs(60)).thread("t").reserve(Role::Assistant).await.unwrap()
    });
    drop(runtime);
    let error = block_on(draft.flush()).unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Cancelled, Effect::Unknown));
    let error = block_on(draft.append("x")).unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Cancelled, Effect::Unknown));
}

#[test]
fn a_call_on_an_ended_runtime_returns_cancelled_without_a_panic() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (blocked, _barriers) = BlockedStore::new(0, 0);
    let db = runtime.block_on(async { Persistence::builder().backend(blocked).build() }).unwrap();
    drop(runtime);
    let panics = Arc::new(AtomicU32::new(0));
    let (counter, this_thread) = (Arc::clone(&panics), thread::current().id());
    let hook = take_hook();
    set_hook(Box::new(move |panic| {
        if thread::current().id() == this_thread {
            counter.fetch_add(1, Ordering::SeqCst);
        }
        hook(panic);
    }));
    for _ in 0..3 {
        let call = db.thread("t").add(NewMessage::user("x")).deadline(Duration::from_secs(60)).into_future();
        let error = block_on(call).unwrap_err();
        assert_eq!(kind_effect_site(&error), (ErrorKind::Cancelled, Effect::Unknown, "blocked"));
    }
    assert_eq!(panics.load(Ordering::SeqCst), 0, "a call on an ended runtime printed a panic");
}

#[test]
fn build_on_a_runtime_without_a_timer_is_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let built =
        runtime.block_on(async { Persistence::builder().backend(MemoryBackend::new()).build().map(drop) });
    let error = built.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Invalid, Effect::NotApplied));
    assert_eq!(
        error.detail(),
        "the tokio runtime has no timer: call `enable_time` or `enable_all` on its builder"
    );
}

/// A layer whose future panics when it is dropped.
#[derive(Clone)]
struct PanicsOnDrop<S>(S);

struct PanicsOnDropFuture<F>(Pin<Box<F>>);

impl<S: Service<PersistRequest>> Service<PersistRequest> for PanicsOnDrop<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = PanicsOnDropFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> Self::Future {
        PanicsOnDropFuture(Box::pin(self.0.call(request)))
    }
}

impl<F: Future> Future for PanicsOnDropFuture<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<F> Drop for PanicsOnDropFuture<F> {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

struct PanicsOnDropLayer;

impl<S> Layer<S> for PanicsOnDropLayer {
    type Service = PanicsOnDrop<S>;

    fn layer(&self, inner: S) -> PanicsOnDrop<S> {
        PanicsOnDrop(inner)
    }
}

#[tokio::test]
async fn a_panic_in_the_drop_of_a_future_does_not_replace_the_answer() {
    let db = Persistence::builder()
        .layer_as("panics-on-drop", Phase::Route, PanicsOnDropLayer)
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let added = db.thread("t").add(NewMessage::user("x")).await.unwrap();
    assert_eq!(added.message.seq.get(), 1);
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_panic_in_the_drop_of_a_cancelled_call_does_not_reach_the_caller() {
    let hangs = from_fn("hangs", Phase::Route, |_, _| std::future::pending());
    let db = Persistence::builder()
        .layer_as("panics-on-drop", Phase::Route, PanicsOnDropLayer)
        .layer(hangs)
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let mut call = Box::pin(db.thread("t").add(NewMessage::user("x")).into_future());
    poll_fn(|cx| {
        assert!(call.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    drop(call);
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_read_with_an_idempotency_key_is_refused() {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let read = ReadArgs::Get(throughline::messages::GetMessage {
        thread: "t".parse().unwrap(),
        id: "m".parse().unwrap(),
    });
    let error = db.run(read).key("k").await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Invalid, Effect::NotApplied, "edge"));
    assert_eq!(error.detail(), "a read takes no idempotency key");
}

#[tokio::test]
async fn untyped_arguments_take_a_key_and_a_deadline() {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let add = || PersistArgs::Add(Add::new("t".parse().unwrap(), NewMessage::user("once")));
    let first = db.run_args(add()).key("k").await.unwrap();
    let again = db.run_args(add()).key("k").await.unwrap();
    let (PersistResult::Add(first), PersistResult::Add(again)) = (first.result, again.result) else {
        panic!("answers to Add")
    };
    assert!(!first.deduplicated && again.deduplicated);
    assert_eq!(again.message.id, first.message.id);

    let invalid = (ErrorKind::Invalid, Effect::NotApplied, "edge");
    let read = PersistArgs::Read(ReadArgs::Get(throughline::messages::GetMessage {
        thread: "t".parse().unwrap(),
        id: "m".parse().unwrap(),
    }));
    let error = db.run_args(read).key("k").await.unwrap_err();
    assert_eq!((kind_effect_site(&error), error.detail()), (invalid, "a read takes no idempotency key"));
    let error = db.run_args(add()).key("").await.unwrap_err();
    assert_eq!((error.operation(), kind_effect_site(&error)), (Some(OpKind::Add), invalid));
    assert_eq!(db.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);

    let waits = from_fn("waits", Phase::Route, |_, _| std::future::pending());
    let db = Persistence::builder().layer(waits).backend(MemoryBackend::new()).build().unwrap();
    let error = db.run_args(add()).deadline(Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Timeout, Effect::NotApplied, "waits"));
}

#[tokio::test]
async fn an_empty_batch_is_refused_at_the_edge() {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let error = db.batch(Batch::new()).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Invalid, Effect::NotApplied, "edge"));
    assert_eq!(error.operation(), Some(OpKind::Batch));
}

/// Returns a batch of a question and its answer, with new generated ids each time.
fn turn() -> Batch {
    let question = Add::new("t".parse().unwrap(), NewMessage::user("why?"));
    let answer = Reserve::new("t".parse().unwrap(), NewReservation::new(Role::Assistant));
    let change = ContentChange::Replace(Content::text("because"));
    let end = UpdateContent::new("t".parse().unwrap(), answer.id.clone(), change, UpdateMode::Final);
    Batch::new().with(question).with(answer).with(end)
}

#[tokio::test]
async fn a_batch_that_refers_to_its_generated_ids_can_be_repeated_with_its_key() {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let first = db.batch(turn()).key("k").await.unwrap();
    let again = db.batch(turn()).key("k").await.unwrap();
    assert!(again.deduplicated && !first.deduplicated);
    let ids = |outputs: &[PersistResult]| -> Vec<_> {
        outputs
            .iter()
            .map(|output| throughline::operations::Addressed::message(output).cloned().unwrap())
            .collect()
    };
    assert_eq!(ids(&again.outputs), ids(&first.outputs));
    assert_eq!(ids(&first.outputs)[1], ids(&first.outputs)[2]);
    // The same batch with another reference between the ids is another call.
    let mut other = turn();
    let question = match &other.items[0] {
        PersistArgs::Add(add) => add.id.clone(),
        _ => unreachable!("a turn begins with an add"),
    };
    if let PersistArgs::UpdateContent(update) = &mut other.items[2] {
        update.id = question;
    }
    let error = db.batch(other).key("k").await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::NotApplied));
}

#[tokio::test(start_paused = true)]
async fn a_call_answered_as_not_applied_is_not_applied_later() {
    // A layer that stops waiting, while the rest of the stack runs in a spawned task.
    let impatient = from_fn("impatient", Phase::Observe, |request, next: NextRequest| async move {
        match tokio::time::timeout(Duration::from_millis(10), tokio::spawn(next.run(request))).await {
            Ok(answer) => answer.expect("the rest does not panic"),
            Err(_) => Err(PersistError::new(ErrorKind::Timeout, "it took too long")),
        }
    });
    let slow = from_fn("slow", Phase::Route, |request: PersistRequest, next: NextRequest| async move {
        if request.kind().is_write() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        next.run(request).await
    });
    let db =
        Persistence::builder().layer(impatient).layer(slow).backend(MemoryBackend::new()).build().unwrap();
    let thread = db.thread("t");
    let error = thread.add(NewMessage::user("x")).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Timeout, Effect::NotApplied, "impatient"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(thread.page(PageFrom::Start, 10).await.unwrap().messages, []);
}

#[tokio::test]
async fn a_lease_is_rounded_up_to_whole_milliseconds() {
    let lease = |asked| {
        let row = NewReservation::new(Role::Assistant).with_lease(asked);
        Reserve::new("t".parse().unwrap(), row).lease
    };
    let micros = Duration::from_micros;
    for (asked, kept) in [(1_000, 1_000), (1_001, 2_000), (1_999, 2_000), (60_000_999, 60_001_000)] {
        assert_eq!(lease(micros(asked)), micros(kept));
    }
    // A lease that is set without the builder is refused, not rounded.
    let mut reserve = Reserve::new("t".parse().unwrap(), NewReservation::new(Role::Assistant));
    reserve.lease = micros(1_500);
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let error = db.run(reserve).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Invalid, Effect::NotApplied, "edge"));
    assert_eq!(error.detail(), "a lease of 1.5ms is not whole milliseconds");
}
