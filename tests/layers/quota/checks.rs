use std::{
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use throughline::{
    Content, Delta, Effect, ErrorKind, Labels, Metadata, MetadataPatch, NewMessage, NewReservation,
    NewThread, PersistError, Persistence, Position, Role, Site, TenantId,
    changes::QuarantineChange,
    messages::{Add, Batch, ContentChange, Delete, UpdateContent, UpdateMode},
    sessions::DropRuntime,
    threads::LabelPatch,
};
use tokio::time::advance;

use super::{ALLOWED, Count, OPERATIONS, Stacks};
use crate::kit::{BlockingLayer, checks, settle};

checks! {
    Stacks;
    "operations-per-second-are-limited" => operations_per_second_are_limited;
    "bytes-per-second-are-limited" => bytes_per_second_are_limited;
    "batch-items-count" => batch_items_count;
    "reads-count-as-operations" => reads_count_as_operations;
    "tenants-have-separate-limits" => tenants_have_separate_limits;
    "finishes-are-accepted-and-counted" => finishes_are_accepted_and_counted;
    "a-dropped-call-returns-its-share" => a_dropped_call_returns_its_share;
    "stored-bytes-are-limited" => stored_bytes_are_limited;
    "batches-count-as-stored" => batches_count_as_stored;
    "stored-bytes-refuse-no-finish" => stored_bytes_refuse_no_finish;
    "names-and-metadata-count" => names_and_metadata_count;
    "finishes-with-content-count" => finishes_with_content_count;
    "escaped-characters-count" => escaped_characters_count;
    "quarantined-changes-count" => quarantined_changes_count;
    "added-rows-count" => added_rows_count;
}

/// Returns a message of the thread `t` that counts as `bytes` bytes, at least [`LEAST`].
fn of(bytes: usize) -> NewMessage {
    static LAST: AtomicU16 = AtomicU16::new(0);
    let id = format!("{:04x}", LAST.fetch_add(1, Ordering::Relaxed));
    let content = Content::from_json(format!("[\"{}\"]", "x".repeat(bytes - LEAST))).unwrap();
    NewMessage::new(Role::User, content).with_id(id.parse().unwrap())
}

/// The cost of the thread id (one byte), a message id (four), and `[""]`.
const LEAST: usize = 9;

fn open(stacks: Stacks) -> Persistence {
    (stacks.stack)(&BlockingLayer::open(), Count::default())
}

#[track_caller]
fn refused(error: &PersistError, kind: ErrorKind) {
    assert_eq!((error.kind(), error.effect()), (kind, Effect::NotApplied), "{error}");
    assert_eq!(error.site(), Some(&Site::Layer("quota".into())), "{error}");
}

/// Uses all available operations.
async fn spend(db: &Persistence) {
    for _ in 0..OPERATIONS.1 {
        db.thread("t").add(of(LEAST)).await.unwrap();
    }
}

async fn operations_per_second_are_limited(stacks: Stacks) {
    let db = open(stacks);
    spend(&db).await;
    let error = db.thread("t").add(of(LEAST)).await.unwrap_err();
    refused(&error, ErrorKind::Overloaded);
    let after = error.retry_after().unwrap();
    assert_eq!(after, Duration::from_millis(100));
    advance(after).await;
    db.thread("t").add(of(LEAST)).await.unwrap();
    refused(&db.thread("t").add(of(LEAST)).await.unwrap_err(), ErrorKind::Overloaded);
}

async fn bytes_per_second_are_limited(stacks: Stacks) {
    let db = open(stacks);
    db.thread("t").add(of(900)).await.unwrap();
    let error = db.thread("t").add(of(200)).await.unwrap_err();
    refused(&error, ErrorKind::Overloaded);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
    db.thread("t").add(of(100)).await.unwrap();
    let error = db.thread("t").add(of(1001)).await.unwrap_err();
    refused(&error, ErrorKind::TooLarge);
    assert_eq!(error.retry_after(), None, "the call can never succeed");
}

fn batch(messages: usize, bytes: usize) -> Batch {
    (0..messages).fold(Batch::new(), |batch, _| batch.with(Add::new("t".parse().unwrap(), of(bytes))))
}

async fn batch_items_count(stacks: Stacks) {
    let db = open(stacks);
    db.batch(batch(4, LEAST)).await.unwrap();
    refused(&db.batch(batch(2, LEAST)).await.unwrap_err(), ErrorKind::Overloaded);
    refused(&db.batch(batch(6, LEAST)).await.unwrap_err(), ErrorKind::TooLarge);
    db.thread("t").add(of(LEAST)).await.unwrap();
}

async fn reads_count_as_operations(stacks: Stacks) {
    let db = open(stacks);
    for _ in 0..OPERATIONS.1 {
        db.thread("t").summary().await.unwrap();
    }
    refused(&db.thread("t").summary().await.unwrap_err(), ErrorKind::Overloaded);
}

async fn tenants_have_separate_limits(stacks: Stacks) {
    let db = open(stacks);
    spend(&db).await;
    let other = db.for_tenant(TenantId::new("other").unwrap());
    spend(&other).await;
    refused(&db.thread("t").add(of(LEAST)).await.unwrap_err(), ErrorKind::Overloaded);
    refused(&other.thread("t").add(of(LEAST)).await.unwrap_err(), ErrorKind::Overloaded);
}

async fn finishes_are_accepted_and_counted(stacks: Stacks) {
    let db = open(stacks);
    let open = NewReservation::new(Role::Assistant).with_id("m".parse().unwrap());
    let mut draft = db.thread("t").reserve(open).await.unwrap();
    for _ in 1..OPERATIONS.1 {
        db.thread("t").add(of(LEAST)).await.unwrap();
    }
    refused(&db.thread("t").add(of(LEAST)).await.unwrap_err(), ErrorKind::Overloaded);
    draft.finish().await.unwrap();
    let error = db.thread("t").add(of(LEAST)).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_millis(200)), "the finish was counted");
}

async fn a_dropped_call_returns_its_share(stacks: Stacks) {
    let blocking_layer = BlockingLayer::shut();
    let db = (stacks.stack)(&blocking_layer, Count::default());
    for _ in 0..10 * OPERATIONS.1 {
        let adding = tokio::spawn(db.thread("t").add(of(300)).into_future());
        settle().await;
        adding.abort();
        assert!(adding.await.unwrap_err().is_cancelled());
    }
    assert_eq!(blocking_layer.received().len() as u64, 10 * OPERATIONS.1);
    blocking_layer.release(5);
    spend(&db).await;
}

async fn stored_bytes_are_limited(stacks: Stacks) {
    let count = Count::default();
    let db = (stacks.stack)(&BlockingLayer::open(), count.clone());
    count.set(ALLOWED - 10);
    db.thread("t").add(of(10)).await.unwrap();
    let error = db.thread("t").add(of(11)).await.unwrap_err();
    refused(&error, ErrorKind::StorageFull);
    assert_eq!(
        error.detail(),
        "tenant `default` stores 9990 bytes of the 10000 allowed, and asked to add 11"
    );
}

async fn batches_count_as_stored(stacks: Stacks) {
    let count = Count::default();
    let db = (stacks.stack)(&BlockingLayer::open(), count.clone());
    count.set(ALLOWED - 10);
    refused(&db.batch(batch(2, 12)).await.unwrap_err(), ErrorKind::StorageFull);
}

async fn stored_bytes_refuse_no_finish(stacks: Stacks) {
    let count = Count::default();
    let db = (stacks.stack)(&BlockingLayer::open(), count.clone());
    let thread = db.thread("t");
    let added = thread.add(of(LEAST)).await.unwrap();
    let open = NewReservation::new(Role::Assistant).with_id("m".parse().unwrap());
    drop(thread.reserve(open).await.unwrap());
    count.set(2 * ALLOWED);
    let abandon = UpdateMode::Abandon { reason: Some("no space".to_owned()) };
    thread.update_content("m".parse().unwrap(), ContentChange::none(), abandon).await.unwrap();
    thread.get("m".parse().unwrap()).await.unwrap();
    db.run(Delete::new("t".parse().unwrap(), added.message.id)).await.unwrap();
}

/// All written bytes count, not only content.
async fn names_and_metadata_count(stacks: Stacks) {
    let count = Count::default();
    let db = (stacks.stack)(&BlockingLayer::open(), count.clone());
    let thread = db.thread("t");
    count.set(ALLOWED - 200);
    let long = "n".repeat(200);
    let named: Metadata = serde_json::from_str(&format!(r#"{{"{long}":1}}"#)).unwrap();
    let labels = Labels::new().with("project", &long).unwrap();
    let full = |error: PersistError| refused(&error, ErrorKind::StorageFull);
    full(thread.add(of(LEAST)).key(&*long).await.unwrap_err());
    full(thread.add(of(LEAST).with_attachments([long.parse().unwrap()])).await.unwrap_err());
    full(thread.add(of(LEAST).with_id(long.parse().unwrap())).await.unwrap_err());
    full(thread.add(of(LEAST).with_metadata(named)).await.unwrap_err());
    full(db.create_thread(NewThread::new().with_labels(labels)).await.unwrap_err());
    full(db.create_thread(NewThread::new().with_owner(long.parse().unwrap())).await.unwrap_err());
    full(thread.label(LabelPatch::new().set("project", &long).unwrap()).await.unwrap_err());
    full(thread.annotate(MetadataPatch::new().set("fact", &*long).unwrap()).await.unwrap_err());
    thread.add(of(LEAST)).await.unwrap();
}

/// Reserves the message `m` in the thread `t`.
async fn reserve(db: &Persistence) {
    let open = NewReservation::new(Role::Assistant).with_id("m".parse().unwrap());
    drop(db.thread("t").reserve(open).await.unwrap());
}

fn change(change: ContentChange, mode: UpdateMode) -> UpdateContent {
    UpdateContent::new("t".parse().unwrap(), "m".parse().unwrap(), change, mode)
}

async fn finishes_with_content_count(stacks: Stacks) {
    let db = open(stacks);
    reserve(&db).await;
    db.thread("t").add(of(900)).await.unwrap();
    let last = || ContentChange::Append(Delta::text("x".repeat(200)));
    let replaced = || ContentChange::Replace(Content::text(&"x".repeat(200)));
    let finish = || change(last(), UpdateMode::Final);
    refused(&db.run(finish()).await.unwrap_err(), ErrorKind::Overloaded);
    refused(&db.run(change(replaced(), UpdateMode::Final)).await.unwrap_err(), ErrorKind::Overloaded);
    let abandon = UpdateMode::Abandon { reason: None };
    refused(&db.run(change(last(), abandon)).await.unwrap_err(), ErrorKind::Overloaded);
    refused(&db.batch(Batch::new().with(finish())).await.unwrap_err(), ErrorKind::Overloaded);
    let long = UpdateMode::Abandon { reason: Some("x".repeat(5000)) };
    refused(&db.run(change(ContentChange::none(), long)).await.unwrap_err(), ErrorKind::TooLarge);
    db.run(change(ContentChange::none(), UpdateMode::Final)).await.unwrap();
}

async fn escaped_characters_count(stacks: Stacks) {
    let db = open(stacks);
    reserve(&db).await;
    let append =
        |text: &str| change(ContentChange::Append(Delta::text(text.repeat(200))), UpdateMode::Partial);
    // Each of these characters is stored as six bytes.
    refused(&db.run(append("\0")).await.unwrap_err(), ErrorKind::TooLarge);
    db.run(append("x")).await.unwrap();
}

async fn quarantined_changes_count(stacks: Stacks) {
    let db = open(stacks);
    let quarantine = |position: u64| {
        db.on_consumer(QuarantineChange {
            consumer: "index".parse().unwrap(),
            position: Position::new(position),
            thread: "t".parse().unwrap(),
            why: "why".to_owned(),
        })
    };
    for position in 0..OPERATIONS.1 {
        quarantine(position).await.unwrap();
    }
    refused(&quarantine(u64::from(u32::MAX)).await.unwrap_err(), ErrorKind::Overloaded);
}

/// All operations that can add a row count, also rows for idempotency keys.
async fn added_rows_count(stacks: Stacks) {
    let count = Count::default();
    let db = (stacks.stack)(&BlockingLayer::open(), count.clone());
    let added = db.thread("t").add(of(LEAST)).await.unwrap().message.id;
    count.set(2 * ALLOWED);
    let full = |error: PersistError| refused(&error, ErrorKind::StorageFull);
    full(db.agent("agent").on("never").reset().await.unwrap_err());
    full(db.agent("agent").reset_all().await.unwrap_err());
    full(db.on_session(DropRuntime { runtime: "runtime".parse().unwrap() }).await.unwrap_err());
    full(db.thread("t").archive(false).key("k").await.unwrap_err());
    db.thread("t").archive(false).await.unwrap();
    db.run(Delete::new("t".parse().unwrap(), added)).key("d").await.unwrap();
}
