use std::time::Duration;

use throughline::{
    Effect, ErrorKind, NewMessage, Persistence, Result, Site, TenantId,
    messages::{Add, Added, Batch, PageFrom},
};
use tokio::task::JoinHandle;

use super::{ATTEMPT, Stacks, slow::Slow};
use crate::kit::{BlockingLayer, checks, settle};

checks! {
    Stacks;
    "writes-run-in-arrival-order" => writes_run_in_arrival_order;
    "threads-run-concurrently" => threads_run_concurrently;
    "tenants-run-concurrently" => tenants_run_concurrently;
    "reads-do-not-wait" => reads_do_not_wait;
    "a-batch-waits-for-all-its-threads" => a_batch_waits_for_all_its_threads;
    "writes-wait-for-a-batch" => writes_wait_for_a_batch;
    "crossed-batches-do-not-deadlock" => crossed_batches_do_not_deadlock;
    "a-dropped-running-write-blocks-the-next" => a_dropped_running_write_blocks_the_next;
    "a-timed-out-running-write-blocks-the-next" => a_timed_out_running_write_blocks_the_next;
    "a-dropped-waiting-write-leaves-the-queue" => a_dropped_waiting_write_leaves_the_queue;
    "a-waiting-write-times-out" => a_waiting_write_times_out;
}

fn message(id: &str) -> NewMessage {
    NewMessage::user("x").with_id(id.parse().unwrap())
}

/// Starts an add that arrives after all earlier ones.
async fn add(db: &Persistence, thread: &str, id: &str) -> JoinHandle<Result<Added>> {
    let adding = tokio::spawn(db.thread(thread).add(message(id)).into_future());
    settle().await;
    adding
}

async fn writes_run_in_arrival_order(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.memory)(&blocking_layer);
    let ids = ["0", "1", "2", "3", "4", "5", "6", "7"];
    for id in ids {
        add(&db, "t", id).await;
    }
    for passed in 1..=ids.len() {
        assert_eq!(blocking_layer.received(), ids[..passed]);
        blocking_layer.release(1);
        settle().await;
    }
    let page = db.thread("t").page(PageFrom::Start, 10).await.unwrap();
    assert_eq!(page.messages.iter().map(|message| message.id.as_str()).collect::<Vec<_>>(), ids);
}

async fn threads_run_concurrently(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.memory)(&blocking_layer);
    for thread in ["a", "b", "c"] {
        add(&db, thread, thread).await;
    }
    assert_eq!(blocking_layer.received(), ["a", "b", "c"]);
}

async fn tenants_run_concurrently(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.memory)(&blocking_layer);
    add(&db, "t", "one").await;
    add(&db.for_tenant(TenantId::new("other").unwrap()), "t", "two").await;
    assert_eq!(blocking_layer.received(), ["one", "two"]);
}

async fn reads_do_not_wait(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.memory)(&blocking_layer);
    let adding = add(&db, "t", "m").await;
    assert!(db.thread("t").get("m".parse().unwrap()).await.unwrap().is_none());
    assert!(!adding.is_finished());
}

fn batch(adds: &[(&str, &str)]) -> Batch {
    adds.iter()
        .fold(Batch::new(), |batch, (thread, id)| batch.with(Add::new(thread.parse().unwrap(), message(id))))
}

async fn a_batch_waits_for_all_its_threads(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.memory)(&blocking_layer);
    add(&db, "a", "a1").await;
    add(&db, "b", "b1").await;
    let both = tokio::spawn(db.batch(batch(&[("a", "a2"), ("b", "b2"), ("a", "a3")])).into_future());
    settle().await;
    assert_eq!(blocking_layer.received(), ["a1", "b1"]);
    blocking_layer.release(1);
    settle().await;
    assert_eq!(blocking_layer.received(), ["a1", "b1"], "one of its threads still has a running write");
    blocking_layer.release(2);
    both.await.unwrap().unwrap();
    assert_eq!(blocking_layer.received(), ["a1", "b1", "batch"]);
}

async fn writes_wait_for_a_batch(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.memory)(&blocking_layer);
    let both = tokio::spawn(db.batch(batch(&[("b", "b1"), ("a", "a1")])).into_future());
    settle().await;
    add(&db, "a", "a2").await;
    add(&db, "b", "b2").await;
    assert_eq!(blocking_layer.received(), ["batch"]);
    blocking_layer.release(1);
    both.await.unwrap().unwrap();
    settle().await;
    let mut others = blocking_layer.received().split_off(1);
    others.sort_unstable();
    assert_eq!(others, ["a2", "b2"]);
}

async fn crossed_batches_do_not_deadlock(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.memory)(&blocking_layer);
    let mut calls = Vec::new();
    for n in 0..60 {
        let [one, two] = [["a", "b"], ["b", "c"], ["c", "a"]][n % 3];
        let (first, second) = (format!("{n}-1"), format!("{n}-2"));
        let both = batch(&[(one, &first), (two, &second)]);
        calls.push(tokio::spawn(db.batch(both).into_future()));
        settle().await;
    }
    blocking_layer.release(calls.len());
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

async fn a_dropped_running_write_blocks_the_next(stacks: Stacks) {
    let blocking_layer = BlockingLayer::answers();
    let db = (stacks.memory)(&blocking_layer);
    let first = add(&db, "t", "first").await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let second = add(&db, "t", "second").await;
    assert_eq!(blocking_layer.received(), ["first"], "the first write continues without its caller");
    blocking_layer.release(2);
    second.await.unwrap().unwrap();
}

async fn a_timed_out_running_write_blocks_the_next(stacks: Stacks) {
    let store = Slow::new();
    let db = (stacks.slow)(store.clone());
    let timed_out = db.thread("t").add(message("first")).await.unwrap_err();
    assert_eq!((timed_out.kind(), timed_out.effect()), (ErrorKind::Timeout, Effect::Unknown));
    let second = add(&db, "t", "second").await;
    tokio::time::sleep(2 * ATTEMPT).await;
    assert_eq!(store.received(), 1, "the first write is still in the store");
    assert!(!second.is_finished(), "the second write must wait");
    store.answer();
    settle().await;
    assert_eq!(store.received(), 2);
    store.answer();
    assert_eq!(second.await.unwrap().unwrap_err().kind(), ErrorKind::Denied);
}

async fn a_dropped_waiting_write_leaves_the_queue(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.memory)(&blocking_layer);
    let first = add(&db, "t", "first").await;
    let second = add(&db, "t", "second").await;
    let third = add(&db, "t", "third").await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    assert_eq!(blocking_layer.received(), ["first"]);
    blocking_layer.release(2);
    first.await.unwrap().unwrap();
    third.await.unwrap().unwrap();
    assert_eq!(blocking_layer.received(), ["first", "third"]);
}

async fn a_waiting_write_times_out(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.memory)(&blocking_layer);
    let first = add(&db, "t", "first").await;
    let waits = db.thread("t").add(message("second")).deadline(Duration::from_secs(1));
    let error = waits.await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied));
    assert_eq!(error.site(), Some(&Site::Layer("serialize".into())));
    blocking_layer.release(1);
    first.await.unwrap().unwrap();
    settle().await;
    assert_eq!(blocking_layer.received(), ["first"]);
}
