//! A replica refuses row images with numbers that would overflow its counters, and continues to work.

use serde_json::Value;
use throughline::{
    ErrorKind, NewMessage, NewReservation, Persistence, Position, Role,
    changes::QuarantineChange,
    ids::AttachmentKey,
    messages::{Origin, PageFrom, Reserve},
    replication::{
        ApplyImages, BeginCapture, GetReplicationStatus, Image, Images, ReadImages, SetReplicationState,
    },
    sessions::{Claimer, RunReport, Runtime},
    sqlite::SqliteBackend,
};

use super::support::memory;

fn claimer() -> Claimer {
    Claimer::new("p".parse().unwrap(), Runtime::new("r".parse().unwrap(), "root".parse().unwrap()))
}

/// Returns the row images of a store with every kind of row.
async fn images() -> Images {
    let db = memory("source");
    let begun = db.on_replica(BeginCapture::WHOLE).await.unwrap();
    let thread = db.thread("t");
    let attachment = |name: &str| vec![name.parse::<AttachmentKey>().unwrap()];
    thread.add(NewMessage::user("hello").with_attachments(attachment("a"))).key("k").await.unwrap();
    let deleted = thread.add(NewMessage::user("dead")).await.unwrap().message.id;
    thread.delete(deleted).await.unwrap();
    db.run(Reserve::new("t".parse().unwrap(), NewReservation::new(Role::Assistant))).await.unwrap();
    let origin = Origin::new().in_turn("turn".parse().unwrap()).item("item".parse().unwrap());
    thread.resolve_id(origin).await.unwrap();
    let quarantine = QuarantineChange {
        consumer: "index".parse().unwrap(),
        position: Position::new(1),
        thread: "t".parse().unwrap(),
        why: "why".to_owned(),
    };
    db.on_consumer(quarantine).await.unwrap();
    let agent_thread = db.agent("agent").on("t");
    let run = agent_thread.begin(agent_thread.run(claimer()).unwrap()).await.unwrap();
    agent_thread.confirm(run.attempt, RunReport::of("s".parse().unwrap())).await.unwrap();
    db.agent("agent").reset_all().await.unwrap();
    let cleared = db.thread("cleared");
    cleared.add(NewMessage::user("gone").with_attachments(attachment("b"))).await.unwrap();
    cleared.clear().await.unwrap();
    db.read(ReadImages::new(begun.cursor, 1000)).await.unwrap()
}

/// Collects the paths of all numbers in a value.
fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| numbers(value, &format!("{path}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| numbers(item, &format!("{path}/{n}"), found));
        }
        Value::Number(_) => found.push(path.to_owned()),
        _ => {}
    }
}

/// Returns the row images with one number replaced, or `None` if the type does not allow the number.
fn with(page: &Images, at: usize, path: &str, number: Value) -> Option<Vec<Image>> {
    let mut value = serde_json::to_value(&page.images[at]).unwrap();
    *value.pointer_mut(path).unwrap() = number;
    let mut images = page.images.clone();
    images[at] = serde_json::from_value(value).ok()?;
    Some(images)
}

/// Applies the row images to a replica, and promotes it. Returns the error kind if the store refuses them.
async fn apply_and_promote(db: &Persistence, page: &Images, images: Vec<Image>) -> Option<ErrorKind> {
    let status = db.read(GetReplicationStatus {}).await.unwrap().replication_state;
    if status.is_primary() {
        db.on_replica(SetReplicationState::new(status, status.as_replica())).await.unwrap();
    }
    let replica = status.as_replica();
    let apply = ApplyImages {
        epoch: replica.epoch,
        from: None,
        to: page.cursor,
        images,
        position: page.position,
        kept_after: page.kept_after,
    };
    match db.on_replica(apply).await {
        Ok(_) => {
            db.on_replica(SetReplicationState::new(replica, replica.promoted())).await.unwrap();
            None
        }
        Err(error) => {
            if error.kind() == ErrorKind::Invalid {
                assert!(error.detail().starts_with("the images are not applied: `images.part."), "{error}");
            }
            Some(error.kind())
        }
    }
}

/// Checks that both tenants can use the store.
async fn assert_serves(db: &Persistence, case: &str) {
    for tenant in ["default", "other"] {
        let db = db.for_tenant(tenant.parse().unwrap());
        db.thread("new").add(NewMessage::user("new")).await.unwrap_or_else(|error| panic!("{case}: {error}"));
    }
    // Each of these calls may be refused, but none may break the store.
    let agent_thread = db.agent("agent").on("t");
    let answers = [
        db.thread("t").add(NewMessage::user("new")).await.err(),
        db.thread("t").page(PageFrom::End, 10).await.err(),
        db.thread("t").clear().await.err(),
        agent_thread.begin(agent_thread.run(claimer()).unwrap()).await.err(),
        db.thread("cleared").clear().await.err(),
    ];
    for error in answers.into_iter().flatten() {
        let stops =
            matches!(error.kind(), ErrorKind::Panicked | ErrorKind::Internal | ErrorKind::Unavailable);
        assert!(!stops, "{case}: {error}");
    }
    db.thread("last").add(NewMessage::user("new")).await.unwrap_or_else(|error| panic!("{case}: {error}"));
}

/// The largest accepted number, as the crate `mirror` documents it.
const LARGEST: u64 = 1 << 60;

/// Puts numbers into every field of every row image. The store must refuse numbers that would overflow, and must work
/// after every accepted number. `accepted` are the numbers for counters of new stores, and `moments` those for timestamps.
async fn assert_every_number_is_safe(open: impl AsyncFn() -> Persistence, accepted: &[u64], moments: &[i64]) {
    let page = images().await;
    let refusing = open().await;
    let (mut counters, mut timestamps) = (0, 0);
    for (at, image) in page.images.iter().enumerate() {
        let mut found = Vec::new();
        numbers(&serde_json::to_value(image).unwrap(), "", &mut found);
        for path in found {
            let with = |number: Value| with(&page, at, &path, number);
            let mut fresh: Vec<Value> = Vec::new();
            if with(u64::MAX.into()).is_some() {
                counters += 1;
                for number in [LARGEST + 1, i64::MAX as u64, u64::MAX] {
                    let answer = apply_and_promote(&refusing, &page, with(number.into()).unwrap()).await;
                    assert_eq!(answer, Some(ErrorKind::Invalid), "{path} = {number}");
                }
                fresh.extend(accepted.iter().map(|number| Value::from(*number)));
            } else {
                timestamps += 1;
                fresh.extend(moments.iter().map(|moment| Value::from(*moment)));
            }
            for number in fresh {
                let case = format!("{path} = {number}");
                let Some(images) = with(number) else { continue };
                let db = open().await;
                if let Some(kind) = apply_and_promote(&db, &page, images).await {
                    assert_ne!(kind, ErrorKind::Panicked, "{case}");
                    assert_eq!(apply_and_promote(&db, &page, page.images.clone()).await, None, "{case}");
                }
                assert_serves(&db, &case).await;
                db.close().await.unwrap();
            }
        }
    }
    assert!(counters > 20 && timestamps > 5, "{counters} counters and {timestamps} timestamps");
    assert_eq!(apply_and_promote(&refusing, &page, page.images.clone()).await, None);
    assert_serves(&refusing, "after every refusal").await;
}

#[tokio::test]
async fn a_memory_replica_refuses_numbers_that_would_overflow() {
    assert_every_number_is_safe(async || memory("replica"), &[0, LARGEST], &[i64::MIN, i64::MAX]).await;
}

#[tokio::test]
async fn a_sqlite_replica_refuses_numbers_that_would_overflow() {
    let open = async || {
        let backend = SqliteBackend::builder().temporary().await.unwrap();
        Persistence::builder().backend(backend).build().unwrap()
    };
    assert_every_number_is_safe(open, &[LARGEST], &[i64::MAX]).await;
}
