//! `Reserve`.

use std::time::Duration;

use throughline_core::{
    ErrorKind, Lease, Message, MessageState, NewReservation, Revision, Role,
    messages::{ContentChange, Reserve, UpdateMode},
};

use crate::{
    check::checks,
    clock::ManualClock,
    rig::Rig,
    shorthand::{everything, facts, id, ids, json, refused, replace, said, the},
};

checks! {
    Core "drafts.reservation_is_a_row_with_a_lease" ("VL-S2") [Reserve Read] "a reservation is a row with its id, empty content, its metadata, a lease and state reserved" => row;
    Core "drafts.reservation_takes_a_seq" ("VL-S2") [Add Reserve UpdateContent Read] "a reservation takes its sequence number before it has content" => location;
    Core "drafts.replace_finishes_a_reservation_exactly" ("VL-S3") [Reserve UpdateContent Read] "a final replace finishes a reservation with exactly the given bytes" => finish;
    Core "drafts.reserve_of_an_existing_id_is_refused" [Add Reserve Read] "a reservation of an existing id is refused, in any state" => existing_id;
    Core "drafts.id_reserved_in_another_thread_is_free" [Reserve Read] "an id that another thread has reserved can be reserved" => other_thread;
    Core "drafts.given_created_at_does_not_shift_the_lease" [Reserve Read] "a reservation keeps its given `created_at`, and its lease begins now" => created_at;
    Core "drafts.lease_counts_whole_milliseconds" [Reserve Read] "the store and its answer hold a lease in whole milliseconds" => lease;
}

fn reservation(name: &str) -> NewReservation {
    NewReservation::new(Role::Assistant).with_id(id(name))
}

fn reserve(name: &str) -> Reserve {
    Reserve::new("t".parse().unwrap(), reservation(name))
}

async fn row(rig: Rig) {
    let db = rig.db().await;
    let reservation = reservation("m")
        .with_metadata(facts(r#"{"turn":7}"#))
        .with_attachments(["a".parse().unwrap()])
        .with_lease(Duration::from_millis(1500));
    let reserved = db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    assert!(!reserved.deduplicated);
    let expected = Message {
        tenant: db.tenant().clone(),
        thread: "t".parse().unwrap(),
        id: id("m"),
        seq: reserved.message.seq,
        role: Role::Assistant,
        state: MessageState::Reserved,
        revision: Revision::FIRST,
        content: json("[]"),
        metadata: facts(r#"{"turn":7}"#),
        attachments: vec!["a".parse().unwrap()],
        abandon_reason: None,
        lease: Some(Lease {
            duration: Duration::from_millis(1500),
            expires_at: ManualClock::START.plus(Duration::from_millis(1500)),
        }),
        created_at: ManualClock::START,
        updated_at: ManualClock::START,
    };
    assert_eq!(reserved.message, expected);
    assert_eq!(the(&db.thread("t"), "m").await, expected);
}

async fn location(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("question", "?")).await.unwrap();
    let reserved = db.run(reserve("answer")).await.unwrap().message;
    let later = thread.add(said("later", "!")).await.unwrap().message;
    assert!(reserved.seq < later.seq);
    assert_eq!(ids(&everything(&thread).await), ["question", "answer", "later"]);
    thread.update_content(id("answer"), replace("."), UpdateMode::Final).await.unwrap();
    assert_eq!(ids(&everything(&thread).await), ["question", "answer", "later"]);
}

async fn finish(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let reserved = db.run(reserve("m")).await.unwrap().message;
    let content = r#"[{"type":"text","text":"é\u00e9\ud800"},  1.10 , {"a":1,"a":2}]"#;
    let change = ContentChange::Replace(json(content));
    let updated = thread.update_content(id("m"), change, UpdateMode::Final).await.unwrap();
    assert_eq!((updated.state, updated.revision), (MessageState::Final, Revision::new(2)));
    assert!(!updated.deduplicated);
    let expected = Message {
        state: MessageState::Final,
        revision: Revision::new(2),
        content: json(content),
        lease: None,
        ..reserved
    };
    assert_eq!(the(&thread, "m").await, expected);
    assert_eq!(everything(&thread).await, [expected]);
}

async fn existing_id(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("final", "x")).await.unwrap();
    db.run(reserve("open")).await.unwrap();
    let before = everything(&thread).await;
    for name in ["final", "open"] {
        refused(db.run(reserve(name)).await, ErrorKind::AlreadyExists);
    }
    assert_eq!(everything(&thread).await, before);
    db.run(reserve("free")).await.expect("another id is free");
}

async fn other_thread(rig: Rig) {
    let db = rig.db().await;
    for thread in ["a", "b"] {
        db.run(Reserve::new(thread.parse().unwrap(), reservation("m"))).await.expect("free in each thread");
    }
    assert_eq!(ids(&everything(&db.thread("a")).await), ["m"]);
    assert_eq!(ids(&everything(&db.thread("b")).await), ["m"]);
}

async fn created_at(rig: Rig) {
    let db = rig.db().await;
    let old = throughline_core::Timestamp::from_micros(77);
    let reservation = reservation("m").created_at(old).with_lease(Duration::from_secs(5));
    let reserved = db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap().message;
    assert_eq!(reserved.created_at, old);
    let ends = reserved.lease.map(|lease| lease.expires_at);
    assert_eq!(ends, Some(ManualClock::START.plus(Duration::from_secs(5))));
    assert_eq!(the(&db.thread("t"), "m").await, reserved);
}

async fn lease(rig: Rig) {
    let db = rig.db().await;
    for (name, asked) in [("a", 1_999), ("b", 1_000), ("c", 60_000_999)] {
        let reservation = reservation(name).with_lease(Duration::from_micros(asked));
        let reserve = Reserve::new("t".parse().unwrap(), reservation);
        // As the operation says it: which way a part of a millisecond is rounded is not the store's to decide.
        let duration = Duration::from_millis(u64::try_from(reserve.lease.as_millis()).unwrap());
        let reserved = db.run(reserve).await.unwrap().message;
        let expires_at = ManualClock::START.plus(duration);
        assert_eq!(reserved.lease, Some(Lease { duration, expires_at }), "{name}");
        assert_eq!(the(&db.thread("t"), name).await, reserved);
    }
}
