//! A replica refuses numbers that it cannot count on from, and goes on.

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

/// The images of a store with something of everything in it.
async fn images() -> Images {
    let db = memory("source");
    let begun = db.on_replica(BeginCapture::WHOLE).await.unwrap();
    let thread = db.thread("t");
    let named = |name: &str| vec![name.parse::<AttachmentKey>().unwrap()];
    thread.add(NewMessage::user("hello").with_attachments(named("a"))).key("k").await.unwrap();
    let dead = thread.add(NewMessage::user("dead")).await.unwrap().message.id;
    thread.delete(dead).await.unwrap();
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
    let place = db.agent("agent").on("t");
    let run = place.begin(place.run(claimer()).unwrap()).await.unwrap();
    place.confirm(run.attempt, RunReport::of("s".parse().unwrap())).await.unwrap();
    db.agent("agent").reset_all().await.unwrap();
    let cleared = db.thread("cleared");
    cleared.add(NewMessage::user("gone").with_attachments(named("b"))).await.unwrap();
    cleared.clear().await.unwrap();
    db.read(ReadImages::new(begun.cursor, 1000)).await.unwrap()
}

/// The paths of the numbers in a value.
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

/// What a follower of the source takes, with one number replaced. None where there is no such number.
fn with(page: &Images, at: usize, path: &str, number: Value) -> Option<Vec<Image>> {
    let mut value = serde_json::to_value(&page.images[at]).unwrap();
    *value.pointer_mut(path).unwrap() = number;
    let mut images = page.images.clone();
    images[at] = serde_json::from_value(value).ok()?;
    Some(images)
}

/// Brings a store the images, and makes it take writes. What the images were answered.
async fn lead(db: &Persistence, page: &Images, images: Vec<Image>) -> Option<ErrorKind> {
    let leading = db.read(GetReplicationStatus {}).await.unwrap().replication_state;
    if leading.is_primary() {
        db.on_replica(SetReplicationState::new(leading, leading.as_replica())).await.unwrap();
    }
    let following = leading.as_replica();
    let apply = ApplyImages {
        epoch: following.epoch,
        from: None,
        to: page.cursor,
        images,
        position: page.position,
        kept_after: page.kept_after,
    };
    match db.on_replica(apply).await {
        Ok(_) => {
            db.on_replica(SetReplicationState::new(following, following.promoted())).await.unwrap();
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

/// Both tenants are served.
async fn serves(db: &Persistence, what: &str) {
    for tenant in ["default", "other"] {
        let db = db.for_tenant(tenant.parse().unwrap());
        db.thread("new").add(NewMessage::user("new")).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
    // Each of these may be refused, and none stops the store.
    let place = db.agent("agent").on("t");
    let answers = [
        db.thread("t").add(NewMessage::user("new")).await.err(),
        db.thread("t").page(PageFrom::End, 10).await.err(),
        db.thread("t").clear().await.err(),
        place.begin(place.run(claimer()).unwrap()).await.err(),
        db.thread("cleared").clear().await.err(),
    ];
    for error in answers.into_iter().flatten() {
        let stops =
            matches!(error.kind(), ErrorKind::Panicked | ErrorKind::Internal | ErrorKind::Unavailable);
        assert!(!stops, "{what}: {error}");
    }
    db.thread("last").add(NewMessage::user("new")).await.unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// The largest number that is taken, as `mirror` documents it.
const LARGEST: u64 = 1 << 60;

/// Puts numbers into every field of every image: what cannot be counted on from is refused by a store that goes on, and whatever is taken
/// leaves one that serves. `taken` are what is put into counters of fresh stores, and `moments` into timestamps.
async fn each_number(open: impl AsyncFn() -> Persistence, taken: &[u64], moments: &[i64]) {
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
                    let answer = lead(&refusing, &page, with(number.into()).unwrap()).await;
                    assert_eq!(answer, Some(ErrorKind::Invalid), "{path} = {number}");
                }
                fresh.extend(taken.iter().map(|number| Value::from(*number)));
            } else {
                timestamps += 1;
                fresh.extend(moments.iter().map(|moment| Value::from(*moment)));
            }
            for number in fresh {
                let what = format!("{path} = {number}");
                let Some(images) = with(number) else { continue };
                let db = open().await;
                if let Some(kind) = lead(&db, &page, images).await {
                    assert_ne!(kind, ErrorKind::Panicked, "{what}");
                    assert_eq!(lead(&db, &page, page.images.clone()).await, None, "{what}");
                }
                serves(&db, &what).await;
                db.close().await.unwrap();
            }
        }
    }
    assert!(counters > 20 && timestamps > 5, "{counters} counters and {timestamps} timestamps");
    assert_eq!(lead(&refusing, &page, page.images.clone()).await, None);
    serves(&refusing, "after every refusal").await;
}

#[tokio::test]
async fn a_memory_store_refuses_numbers_that_it_cannot_count_on_from() {
    each_number(async || memory("replica"), &[0, LARGEST], &[i64::MIN, i64::MAX]).await;
}

#[tokio::test]
async fn a_sqlite_store_refuses_numbers_that_it_cannot_count_on_from() {
    let open = async || {
        let backend = SqliteBackend::builder().temporary().await.unwrap();
        Persistence::builder().backend(backend).build().unwrap()
    };
    each_number(open, &[LARGEST], &[i64::MAX]).await;
}
