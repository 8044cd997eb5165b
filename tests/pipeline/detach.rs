//! Law 5: a call that reached the backend completes, even if its caller drops it.

use std::{
    future::{Future, IntoFuture as _, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};

use throughline::{
    Effect, ErrorKind, MessageId, NewMessage, PersistRequest, Persistence, Phase,
    layers::timeout::TimeoutLayer,
    memory::MemoryBackend,
    plugin::{NextRequest, from_fn},
};
use tokio::task::yield_now;

use crate::{
    blocked::{BlockedStore, OPEN},
    kind_effect_site,
};

/// Polls a future up to `polls` times and drops it. Returns whether it was ready.
async fn poll_then_drop<F: Future>(future: F, polls: u32) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        let ready = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if ready {
            return true;
        }
    }
    false
}

/// Builds a stack with many awaits: two before the backend, two inside it, and two after it.
fn many_awaits(begun: Arc<AtomicU32>, ended: Arc<AtomicU32>) -> Persistence {
    let many_awaits =
        from_fn("many-awaits", Phase::Observe, move |request: PersistRequest, next: NextRequest| {
            let (begun, ended) = (Arc::clone(&begun), Arc::clone(&ended));
            async move {
                if !request.kind().is_write() {
                    return next.run(request).await;
                }
                yield_now().await;
                yield_now().await;
                begun.fetch_add(1, Ordering::SeqCst);
                let response = next.run(request).await;
                yield_now().await;
                yield_now().await;
                ended.fetch_add(1, Ordering::SeqCst);
                response
            }
        });
    Persistence::builder().layer(many_awaits).backend(Slow(MemoryBackend::new())).build().unwrap()
}

/// A memory store with an await before and after each add.
struct Slow(MemoryBackend);

impl throughline::Backend for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn capabilities(&self) -> throughline::Capabilities {
        self.0.capabilities()
    }

    async fn add(
        &self,
        call: throughline::Admitted<'_, throughline::messages::Add>,
    ) -> throughline::Result<throughline::Reply<throughline::messages::Add>> {
        yield_now().await;
        let reply = self.0.add(call).await;
        yield_now().await;
        reply
    }

    async fn read(
        &self,
        call: throughline::Admitted<'_, throughline::ReadArgs>,
    ) -> throughline::Result<throughline::Reply<throughline::ReadArgs>> {
        self.0.read(call).await
    }
}

#[tokio::test]
async fn a_call_dropped_at_any_await_either_completes_or_never_starts() {
    let mut outcomes = Vec::new();
    for polls in 0..10 {
        let (begun, ended) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let db = many_awaits(Arc::clone(&begun), Arc::clone(&ended));
        let id: MessageId = "m".parse().unwrap();
        let add = db.thread("t").add(NewMessage::user("hello").with_id(id.clone()));
        poll_then_drop(add.into_future(), polls).await;
        // `close` would wait for detached calls, so the test looks before it closes the pipeline.
        let begun_when_dropped = begun.load(Ordering::SeqCst);
        while ended.load(Ordering::SeqCst) < begun_when_dropped {
            yield_now().await;
        }
        let stored = db.thread("t").get(id).await.unwrap().is_some();
        assert_eq!(
            (begun.load(Ordering::SeqCst), ended.load(Ordering::SeqCst), stored),
            (begun_when_dropped, begun_when_dropped, begun_when_dropped == 1),
            "after {polls} polls: a call that began must complete through all layers"
        );
        db.close().await.unwrap();
        outcomes.push(stored);
    }
    // If the test did not see both outcomes, its drop points are wrong.
    assert_eq!(outcomes.first(), Some(&false));
    assert_eq!(outcomes.last(), Some(&true));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_during_the_commit_is_unknown_and_a_retry_with_the_key_adds_no_second_message() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let db = Persistence::builder().backend(blocked).build().unwrap();
    let thread = db.thread("t");
    let add = || thread.add(NewMessage::user("hello")).key("k").deadline(Duration::from_secs(1));
    let error = add().await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Timeout, Effect::Unknown, "blocked"));
    assert_eq!(error.idempotency_key().map(AsRef::as_ref), Some("k"));
    assert!(error.is_transient());
    let first = error.message().cloned();
    // The store completes the write, although no caller waits.
    barriers.before.add_permits(1);
    while thread.page(throughline::messages::PageFrom::Start, 10).await.unwrap().messages.is_empty() {
        yield_now().await;
    }
    barriers.before.add_permits(OPEN);
    let again = add().await.unwrap();
    assert!(again.deduplicated);
    assert_eq!(Some(again.message.id), first);
    assert_eq!(thread.page(throughline::messages::PageFrom::Start, 10).await.unwrap().messages.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_after_the_commit_reports_the_write_as_applied() {
    let hang = from_fn("hang", Phase::Observe, |request, next: NextRequest| async move {
        next.run(request).await?;
        std::future::pending().await
    });
    let db = Persistence::builder()
        .deadline(Duration::from_secs(1))
        .layer(hang)
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Timeout, Effect::Applied, "hang"));
    assert!(!error.is_transient());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_layer_does_not_cancel_a_write_that_reached_the_store() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let db = Persistence::builder()
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .backend(blocked)
        .build()
        .unwrap();
    let thread = db.thread("t");
    let id: MessageId = "m".parse().unwrap();
    let error = thread.add(NewMessage::user("hello").with_id(id.clone())).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Timeout, Effect::Unknown, "timeout"));
    assert_eq!(thread.get(id.clone()).await.unwrap(), None);
    barriers.before.add_permits(OPEN);
    while thread.get(id.clone()).await.unwrap().is_none() {
        yield_now().await;
    }
}

#[tokio::test]
async fn a_call_dropped_on_a_thread_without_a_runtime_completes() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let db = Persistence::builder().backend(blocked).build().unwrap();
    let mut add = Box::pin(db.thread("t").add(NewMessage::user("hello")).into_future());
    poll_fn(|cx| {
        assert!(add.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
    barriers.arrival().await;
    std::thread::spawn(move || drop(add)).join().unwrap();
    barriers.before.add_permits(OPEN);
    // The write completes without a caller, which the next read shows.
    let page = loop {
        let page = db.thread("t").page(throughline::messages::PageFrom::Start, 10).await.unwrap();
        if !page.messages.is_empty() {
            break page;
        }
        yield_now().await;
    };
    assert_eq!(page.messages.len(), 1);
}

#[tokio::test]
async fn close_waits_for_detached_writes_and_refuses_later_calls() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let db = Persistence::builder().backend(blocked).build().unwrap();
    let mut add = Box::pin(db.thread("t").add(NewMessage::user("hello")).into_future());
    poll_fn(|cx| Poll::Ready(add.as_mut().poll(cx).is_ready())).await;
    drop(add);
    let mut closing: Pin<Box<_>> = Box::pin(db.close());
    for _ in 0..100 {
        assert!(poll_fn(|cx| Poll::Ready(closing.as_mut().poll(cx).is_pending())).await);
        yield_now().await;
    }
    let error = db.thread("t").add(NewMessage::user("late")).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Unavailable, Effect::NotApplied, "edge"));
    barriers.before.add_permits(OPEN);
    closing.await.unwrap();
    db.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_with_an_expired_deadline_runs_nothing() {
    let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let error = db.thread("t").add(NewMessage::user("hello")).deadline(Duration::ZERO).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Timeout, Effect::NotApplied, "edge"));
    assert!(
        db.thread("t").page(throughline::messages::PageFrom::Start, 1).await.unwrap().messages.is_empty()
    );
}
