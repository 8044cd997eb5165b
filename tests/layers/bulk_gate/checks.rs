use std::time::Duration;

use throughline::{
    Content, Effect, ErrorKind, NewMessage, Persistence, Result, Role, Site, Timestamp,
    messages::{Add, Added, Batch, Import, ImportRow, Imported},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{ITEMS, LONGEST, QUIET, Stacks};
use crate::kit::{BlockingLayer, checks, settle};

checks! {
    Stacks;
    "live-writes-never-wait" => live_writes_never_wait;
    "bulk-waits-for-live-writes" => bulk_waits_for_live_writes;
    "bulk-waits-for-a-quiet-period" => bulk_waits_for_a_quiet_period;
    "bulk-runs-after-the-longest-wait" => bulk_runs_after_the_longest_wait;
    "bulk-concurrency-is-limited" => bulk_concurrency_is_limited;
    "bulk-permits-go-to-the-tenants-in-rotation" => bulk_permits_go_to_the_tenants_in_rotation;
    "a-dropped-running-bulk-call-holds-its-permit" => a_dropped_running_bulk_call_holds_its_permit;
    "the-bulk-queue-is-limited" => the_bulk_queue_is_limited;
    "a-waiting-bulk-call-times-out" => a_waiting_bulk_call_times_out;
    "a-large-batch-counts-as-bulk" => a_large_batch_counts_as_bulk;
}

/// Starts bulk work.
async fn import(db: &Persistence) -> JoinHandle<Result<Imported>> {
    let row = ImportRow::new("i".parse().unwrap(), Role::User, Content::text("x"), Timestamp::from_micros(1));
    let importing = tokio::spawn(db.run(Import::new("old".parse().unwrap(), vec![row])).into_future());
    settle().await;
    importing
}

/// Starts a live write.
async fn live(db: &Persistence) -> JoinHandle<Result<Added>> {
    let adding =
        tokio::spawn(db.thread("t").add(NewMessage::user("x").with_id("m".parse().unwrap())).into_future());
    settle().await;
    adding
}

async fn live_writes_never_wait(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.stack)(&blocking_layer);
    import(&db).await;
    live(&db).await;
    db.thread("t").summary().await.unwrap();
    assert_eq!(blocking_layer.received(), ["import", "m", "read"]);
}

async fn bulk_waits_for_live_writes(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.stack)(&blocking_layer);
    let adding = live(&db).await;
    let importing = import(&db).await;
    sleep(LONGEST / 2).await;
    assert_eq!(blocking_layer.received(), ["m"]);
    blocking_layer.release(2);
    adding.await.unwrap().unwrap();
    importing.await.unwrap().unwrap();
}

async fn bulk_waits_for_a_quiet_period(stacks: Stacks) {
    let blocking_layer = BlockingLayer::open();
    let db = (stacks.stack)(&blocking_layer);
    live(&db).await.await.unwrap().unwrap();
    let begun = Instant::now();
    import(&db).await.await.unwrap().unwrap();
    assert_eq!(begun.elapsed().as_millis(), QUIET.as_millis());
    // A handle for a part of the host that the host marked as bulk.
    live(&db).await.await.unwrap().unwrap_err();
    let begun = Instant::now();
    db.with_call_site("export").thread("t").summary().await.unwrap();
    assert_eq!(begun.elapsed().as_millis(), QUIET.as_millis());
    let begun = Instant::now();
    import(&db).await.await.unwrap().unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO, "no live write is running");
}

async fn bulk_runs_after_the_longest_wait(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.stack)(&blocking_layer);
    live(&db).await;
    import(&db).await;
    sleep(LONGEST - Duration::from_millis(1)).await;
    assert_eq!(blocking_layer.received(), ["m"]);
    sleep(Duration::from_millis(2)).await;
    settle().await;
    assert_eq!(blocking_layer.received(), ["m", "import"]);
}

async fn bulk_concurrency_is_limited(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.stack)(&blocking_layer);
    let imports = [import(&db).await, import(&db).await, import(&db).await, import(&db).await];
    assert_eq!(blocking_layer.received().len(), 2);
    sleep(2 * LONGEST).await;
    assert_eq!(blocking_layer.received().len(), 2, "the longest wait grants no additional permits");
    blocking_layer.release(1);
    settle().await;
    assert_eq!(blocking_layer.received().len(), 3);
    blocking_layer.release(3);
    for import in imports {
        import.await.unwrap().unwrap();
    }
}

async fn bulk_permits_go_to_the_tenants_in_rotation(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.stack)(&blocking_layer);
    let other = db.for_tenant("other".parse().unwrap());
    let mut imports = Vec::new();
    for _ in 0..4 {
        imports.push(import(&db).await);
    }
    let others = import(&other).await;
    // Two calls run, and one of each tenant is next.
    blocking_layer.release(4);
    settle().await;
    assert!(others.is_finished(), "the tenant with one call waits for the calls of the other one");
    assert_eq!(imports.iter().filter(|import| import.is_finished()).count(), 3);
    blocking_layer.release(1);
    for import in imports {
        import.await.unwrap().unwrap();
    }
}

async fn a_dropped_running_bulk_call_holds_its_permit(stacks: Stacks) {
    let blocking_layer = BlockingLayer::answers();
    let db = (stacks.stack)(&blocking_layer);
    for importing in [import(&db).await, import(&db).await] {
        importing.abort();
        assert!(importing.await.unwrap_err().is_cancelled());
    }
    let third = import(&db).await;
    assert_eq!(blocking_layer.received().len(), 2);
    blocking_layer.release(3);
    third.await.unwrap().unwrap();
}

async fn the_bulk_queue_is_limited(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.stack)(&blocking_layer);
    let mut imports = Vec::new();
    for _ in 0..2 + 8 {
        imports.push(import(&db).await);
    }
    let error = import(&db).await.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::NotApplied));
    assert!(error.retry_after().is_some());
    // Dropped calls return their permits.
    imports.pop().unwrap().abort();
    settle().await;
    let last = import(&db).await;
    assert!(!last.is_finished());
    blocking_layer.release(10);
    last.await.unwrap().unwrap();
}

async fn a_waiting_bulk_call_times_out(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.stack)(&blocking_layer);
    live(&db).await;
    let late = import(&db.with_deadline(Duration::from_secs(1))).await;
    let error = late.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied));
    assert_eq!(error.site(), Some(&Site::Layer("bulk-gate".into())));
    assert_eq!(blocking_layer.received(), ["m"]);
}

async fn a_large_batch_counts_as_bulk(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.stack)(&blocking_layer);
    let batch = |items: usize| {
        let add = || Add::new("b".parse().unwrap(), NewMessage::user("x"));
        (0..items).fold(Batch::new(), |batch, _| batch.with(add()))
    };
    live(&db).await;
    let large = tokio::spawn(db.batch(batch(ITEMS + 1)).into_future());
    settle().await;
    assert_eq!(blocking_layer.received(), ["m"]);
    let small = tokio::spawn(db.batch(batch(ITEMS)).into_future());
    settle().await;
    assert_eq!(blocking_layer.received(), ["m", "batch"]);
    blocking_layer.release(3);
    small.await.unwrap().unwrap();
    large.await.unwrap().unwrap();
}
