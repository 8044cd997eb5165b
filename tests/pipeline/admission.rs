//! Backpressure at the edge: limits on running and on waiting calls, separate for reads and writes.

use std::{
    future::{IntoFuture as _, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use throughline::{
    Effect, ErrorKind, NewMessage, Persistence,
    layers::timeout::TimeoutLayer,
    messages::{Add, PageFrom},
    pipeline::Admission,
    requests::RequestFuture,
};

use tokio::task::JoinSet;

use crate::{
    blocked::{BlockedStore, OPEN},
    kind_effect_site,
};

fn tight() -> Admission {
    Admission { writes: 1, reads: 1, waiting: 1 }
}

macro_rules! begin {
    ($request:expr) => {{
        let mut call = Box::pin($request.into_future());
        poll_fn(|cx| {
            assert!(call.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        call
    }};
}

#[tokio::test]
async fn a_call_beyond_the_running_and_the_waiting_limit_is_overloaded() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let db = Persistence::builder().admission(tight()).backend(blocked).build().unwrap();
    let thread = db.thread("t");
    let running = begin!(thread.add(NewMessage::user("1")));
    let waiting = begin!(thread.add(NewMessage::user("2")));
    let refused = thread.add(NewMessage::user("3")).await.unwrap_err();
    assert_eq!(kind_effect_site(&refused), (ErrorKind::Overloaded, Effect::NotApplied, "edge"));
    assert!(refused.is_transient());
    assert_eq!(refused.retry_after(), Some(Duration::from_millis(50)));
    // A read does not wait for a write.
    assert!(thread.page(PageFrom::Start, 10).await.unwrap().messages.is_empty());
    barriers.before.add_permits(OPEN);
    let first = running.await.unwrap();
    let second = waiting.await.unwrap();
    assert_eq!((first.message.seq.get(), second.message.seq.get()), (1, 2));
    // All permits are free again.
    thread.add(NewMessage::user("4")).await.unwrap();
}

#[tokio::test]
async fn a_tenant_with_many_calls_does_not_block_other_tenants() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let admission = Admission { writes: 1, reads: 1, waiting: 16 };
    let db = Persistence::builder().admission(admission).backend(blocked).build().unwrap();
    let of = |tenant: &str| db.for_tenant(tenant.parse().unwrap()).thread("t");
    let (busy, other) = (of("busy"), of("other"));
    let mut calls = vec![begin!(busy.add(NewMessage::user("0")))];
    for n in 1..=16 {
        calls.push(begin!(busy.add(NewMessage::user(&n.to_string()))));
    }
    // The queue is full for this tenant, but other tenants can still use an eighth of it.
    let refused = busy.add(NewMessage::user("17")).await.unwrap_err();
    assert_eq!(kind_effect_site(&refused), (ErrorKind::Overloaded, Effect::NotApplied, "edge"));
    let mut running = JoinSet::new();
    let mut run = |call: Pin<Box<RequestFuture<Add>>>, tenant: &'static str| {
        running.spawn(async move {
            let added = call.await.unwrap();
            (tenant, added.message.seq.get())
        });
    };
    let others = [begin!(other.add(NewMessage::user("x"))), begin!(other.add(NewMessage::user("y")))];
    let refused = other.add(NewMessage::user("z")).await.unwrap_err();
    assert_eq!(kind_effect_site(&refused), (ErrorKind::Overloaded, Effect::NotApplied, "edge"));
    calls.into_iter().for_each(|call| run(call, "busy"));
    others.into_iter().for_each(|call| run(call, "other"));
    barriers.before.add_permits(OPEN);
    let mut order = Vec::new();
    while let Some(done) = running.join_next().await {
        order.push(done.unwrap());
    }
    assert_eq!(order[..5], [("busy", 1), ("busy", 2), ("other", 1), ("busy", 3), ("other", 2)]);
    assert_eq!(order.len(), 19);
}

#[tokio::test]
async fn a_dropped_waiting_call_returns_its_permit() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let db = Persistence::builder().admission(tight()).backend(blocked).build().unwrap();
    let thread = db.thread("t");
    let running = begin!(thread.add(NewMessage::user("1")));
    let waiting = begin!(thread.add(NewMessage::user("2")));
    drop(waiting);
    let waiting = begin!(thread.add(NewMessage::user("3")));
    barriers.before.add_permits(OPEN);
    running.await.unwrap();
    waiting.await.unwrap();
    let texts: Vec<_> = thread.page(PageFrom::Start, 10).await.unwrap().messages;
    assert_eq!(texts.len(), 2, "the dropped call was never written");
}

#[tokio::test]
async fn a_detached_write_holds_its_permit_until_it_ends() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let db = Persistence::builder().admission(tight()).backend(blocked).build().unwrap();
    let thread = db.thread("t");
    drop(begin!(thread.add(NewMessage::user("1"))));
    let waiting = begin!(thread.add(NewMessage::user("2")));
    barriers.before.add_permits(OPEN);
    assert_eq!(waiting.await.unwrap().message.seq.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_deadline_passes_in_the_queue_runs_nothing() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let db = Persistence::builder().admission(tight()).backend(blocked).build().unwrap();
    let thread = db.thread("t");
    let running = begin!(thread.add(NewMessage::user("1")));
    let late = thread.add(NewMessage::user("2")).deadline(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(kind_effect_site(&late), (ErrorKind::Timeout, Effect::NotApplied, "edge"));
    barriers.before.add_permits(OPEN);
    running.await.unwrap();
    assert_eq!(thread.page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_write_left_behind_by_a_timed_out_attempt_holds_the_permit_of_its_call() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let db = Persistence::builder()
        .admission(tight())
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .backend(blocked)
        .build()
        .unwrap();
    let thread = db.thread("t");
    let late = thread.add(NewMessage::user("1")).await.unwrap_err();
    assert_eq!(kind_effect_site(&late), (ErrorKind::Timeout, Effect::Unknown, "timeout"));
    // The store still runs the write, so no other call is admitted.
    let mut waiting = begin!(thread.add(NewMessage::user("2")));
    let refused = thread.add(NewMessage::user("3")).await.unwrap_err();
    assert_eq!(kind_effect_site(&refused), (ErrorKind::Overloaded, Effect::NotApplied, "edge"));
    barriers.before.add_permits(OPEN);
    assert_eq!(waiting.as_mut().await.unwrap().message.seq.get(), 2);
}
