//! `CreateThread`.

use std::time::Duration;

use throughline_core::{
    ErrorKind, Labels, NewThread, Seq, Timestamp,
    backend::ThreadStats,
    threads::{CreateThread, ForkPoint, Generation, ThreadSummary},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{entry, facts, id, new_thread, refused, said, thread_id, title},
};

checks! {
    Extended "threads.created_thread_is_read_by_id" [Thread Read] "a created thread has the given fields and can be read by its id" => created;
    Extended "threads.default_thread_is_untitled_and_unowned" [Thread Read] "a thread that is created without fields is untitled, has no owner, and starts now" => plain;
    Extended "threads.minted_ids_are_unique" [Thread Read] "threads that are created without an id get unique ids" => minted;
    Extended "threads.existing_thread_cannot_be_created" [Add Thread Read] "creating a thread that was created or written to is refused and changes nothing" => exists;
    Extended "threads.deleted_thread_cannot_be_created" [Thread Read] "creating a deleted thread is refused, but another tenant can create that id" => gone;
    Extended "threads.operation_with_repeated_key_is_applied_once" [Thread Read; keys] "an operation on a thread that is repeated with its key is applied once" => key;
}

async fn created(rig: Rig) {
    let db = rig.db().await;
    let began = Timestamp::from_micros(-7);
    let labels = Labels::new().with("project", "atlas").unwrap().with("Channel é", "web").unwrap();
    let recorded = facts(r#"{"n":1.10,"big":18446744073709551615,"deep":{"b":[ 1 ],"a":"\u0000 é"}}"#);
    let point = ForkPoint { thread: thread_id("elsewhere"), message: id("m") };
    let new = new_thread("t")
        .with_title(title("Trip to \u{0} Lisbon é"))
        .with_owner("o".parse().unwrap())
        .with_labels(labels.clone())
        .with_metadata(recorded.clone())
        .created_at(began)
        .forked_from(point.clone());
    let answer = db.create_thread(new).await.unwrap();
    let expected = ThreadSummary {
        tenant: db.tenant().clone(),
        thread: thread_id("t"),
        title: title("Trip to \u{0} Lisbon é"),
        owner: Some("o".parse().unwrap()),
        labels,
        metadata: recorded,
        archived: false,
        listed: false,
        reuses_ids: false,
        generation: Generation::FIRST,
        last_seq: Seq::ZERO,
        forked_from: Some(Box::new(point)),
        preview: None,
        messages: 0,
        turns: 0,
        bytes: 0,
        created_at: began,
        active_at: began,
        updated_at: began,
    };
    assert_eq!((&answer.summary, answer.deduplicated), (&expected, false));
    assert_eq!(entry(&db, "t").await, expected);
}

async fn plain(rig: Rig) {
    let db = rig.db().await;
    let now = rig.clock.advance(Duration::from_secs(1));
    let create = CreateThread::new(new_thread("t"));
    let answer = db.on_thread(create.clone()).await.unwrap();
    assert_eq!(
        answer.summary,
        ThreadStats::created(&create, now).entry(db.tenant(), &create.thread, Generation::FIRST, Seq::ZERO)
    );
    assert!(answer.summary.title.is_untitled());
    rig.clock.advance(Duration::from_secs(1));
    assert_eq!(entry(&db, "t").await, answer.summary);
    assert_eq!(db.thread("u").summary().await.unwrap(), None);
}

async fn minted(rig: Rig) {
    let db = rig.db().await;
    let create = |name: &str| db.create_thread(NewThread::new().with_title(title(name)));
    let (a, b) = (create("a").await.unwrap().summary, create("b").await.unwrap().summary);
    assert_ne!(a.thread, b.thread);
    for entry in [a, b] {
        assert_eq!(db.thread(entry.thread.clone()).summary().await.unwrap(), Some(entry));
    }
}

async fn exists(rig: Rig) {
    let db = rig.db().await;
    db.create_thread(new_thread("created").with_title(title("first"))).await.unwrap();
    db.thread("written").add(said("m", "x")).await.unwrap();
    rig.clock.advance(Duration::from_secs(1));
    for name in ["created", "written"] {
        let before = entry(&db, name).await;
        let again = db.create_thread(new_thread(name).with_title(title("second"))).await;
        refused(again, ErrorKind::AlreadyExists);
        assert_eq!(entry(&db, name).await, before);
    }
    // The neighbours: another id, and another tenant.
    db.create_thread(new_thread("Created")).await.expect("another id is free");
    let other = db.for_tenant("other".parse().unwrap());
    other.create_thread(new_thread("created")).await.expect("another tenant's");
}

async fn gone(rig: Rig) {
    let db = rig.db().await;
    for name in ["t", "u"] {
        db.create_thread(new_thread(name)).await.unwrap();
    }
    db.thread("t").delete_thread().await.unwrap();
    refused(db.create_thread(new_thread("t")).await, ErrorKind::Gone);
    assert_eq!(db.thread("t").summary().await.unwrap(), None);
    let other = db.for_tenant("other".parse().unwrap());
    other.create_thread(new_thread("t")).await.expect("dead for one tenant only");
    assert!(db.thread("u").summary().await.unwrap().is_some());
}

async fn key(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let create = |name: &str| db.create_thread(new_thread("t").with_title(title(name))).key("create");
    let first = create("a").await.unwrap();
    thread.rename(title("b")).key("rename").await.unwrap();
    let again = create("a").await.unwrap();
    // A replay answers the current state of the thread.
    assert!(!first.deduplicated && again.deduplicated);
    assert_eq!(again.summary, entry(&db, "t").await);
    assert_eq!(again.summary.title, title("b"));
    refused(create("c").await, ErrorKind::Conflict);
    let clear = || thread.clear().key("clear");
    let (first, again) = (clear().await.unwrap(), clear().await.unwrap());
    let second = Generation::FIRST.next();
    assert_eq!((first.summary.generation, again.summary.generation), (second, second));
    assert!(!first.deduplicated && again.deduplicated);
    let delete = || thread.delete_thread().key("delete");
    let (first, again) = (delete().await.unwrap(), delete().await.unwrap());
    assert!(!first.deduplicated && again.deduplicated);
    assert_eq!((first.already, again.already), (false, false));
    // A key keeps nothing alive: the thread is gone for what was done to it before, too.
    refused(create("a").await, ErrorKind::Gone);
}
