//! Idempotency keys: which calls are the same.

use throughline_core::{
    Content, ErrorKind, MessageId, MetadataPatch, NewMessage, NewReservation, PersistResult, Role, ThreadId,
    messages::{Add, Added, Batch, Delete, Reserve, Reserved, Update, UpdateContent, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, id, ids, refused, replace, said, shown, the},
};

checks! {
    Extended "keys.repeated_call_has_one_effect" ("VL-S17") [Add Reserve UpdateContent Update Delete Read; keys] "the same key with the same content has one effect, in every operation" => once;
    Extended "keys.repeated_batch_has_one_effect" ("VL-S17") [Add UpdateContent Batch Read; keys] "the same key with the same batch has one effect" => batch;
    Extended "keys.other_content_is_a_conflict" ("VL-S17") [Add UpdateContent Delete Read; keys] "the same key with other content or another operation is a conflict and changes nothing" => conflict;
    Extended "keys.scope_is_one_thread" ("VL-S17") [Add Read; keys] "the same key in another thread is a different key" => other_thread;
    Extended "keys.scope_is_one_tenant" ("VL-S17") [Add Read; keys] "the same key in another tenant is a different key" => other_tenant;
    Extended "keys.another_key_is_another_call" ("VL-S17") [Add UpdateContent Read; keys] "the same content with another key or none has a second effect" => other_key;
    Extended "keys.concurrent_reservations_share_one_row" ("VL-S15") [Reserve Read; keys] "two concurrent reservations with the same key create one row, and both callers get it" => one_slot;
    Extended "keys.refused_call_does_not_use_its_key" ("VL-S15") [Add Reserve UpdateContent Read; keys] "a refused call leaves its key free" => failed;
    Extended "keys.minted_id_is_not_part_of_the_call" [Add Reserve Read; keys] "a repeated call with a new minted id is answered with the first id" => minted;
    Extended "keys.minted_ids_are_not_part_of_a_batch" [Add Reserve UpdateContent Update Batch Read; keys] "a repeated batch with new minted ids is answered with the first ids" => batch_minted;
    Extended "keys.scope_of_a_batch_is_its_first_thread" [Add Batch Read; keys] "the key of a batch belongs to the thread of its first item" => batch_scope;
}

fn t() -> ThreadId {
    "t".parse().unwrap()
}

fn reservation(name: &str) -> Reserve {
    Reserve::new(t(), NewReservation::new(Role::Assistant).with_id(id(name)))
}

async fn once(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for again in [false, true] {
        assert_eq!(thread.add(said("m", "x")).key("add").await.unwrap().deduplicated, again);
        assert_eq!(db.run(reservation("r")).key("reserve").await.unwrap().deduplicated, again);
    }
    let before = everything(&thread).await;
    assert_eq!(ids(&before), ["m", "r"]);
    for again in [false, true] {
        let appended = thread.update_content(id("r"), append("a"), UpdateMode::Partial).key("append").await;
        let appended = appended.unwrap();
        assert_eq!((appended.deduplicated, appended.revision.get()), (again, 2));
        let patch = MetadataPatch::new().set("k", &1).unwrap();
        assert_eq!(thread.update(id("r"), patch).key("update").await.unwrap().deduplicated, again);
    }
    let after = the(&thread, "r").await;
    assert_eq!((&after.content, shown(&after.metadata)), (&Content::text("a"), r#"{"k":1}"#.to_owned()));
    for again in [false, true] {
        let finished = thread.update_content(id("r"), append("b"), UpdateMode::Final).key("final").await;
        assert_eq!(finished.unwrap().deduplicated, again);
        assert_eq!(thread.delete(id("m")).key("delete").await.unwrap().deduplicated, again);
    }
    let after = everything(&thread).await;
    assert_eq!((ids(&after), &after[0].content), (vec!["r"], &Content::text("ab")));
}

async fn batch(rig: Rig) {
    let db = rig.db().await;
    let batch = || {
        Batch::new()
            .with(Add::new(t(), said("m", "x")))
            .with(UpdateContent::new(t(), id("m"), append("y"), UpdateMode::Edit))
            .with(Add::new("u".parse().unwrap(), NewMessage::user("minted")))
    };
    let first = db.batch(batch()).key("k").await.unwrap();
    let again = db.batch(batch()).key("k").await.unwrap();
    assert_eq!((first.deduplicated, again.deduplicated), (false, true));
    assert_eq!(first.outputs.len(), again.outputs.len());
    assert!(again.outputs.iter().all(throughline_core::PersistResult::is_deduplicated));
    assert_eq!(the(&db.thread("t"), "m").await.content, Content::text("xy"));
    assert_eq!(everything(&db.thread("u")).await.len(), 1);
    refused(db.batch(batch().with(Add::new(t(), said("n", "x")))).key("k").await, ErrorKind::Conflict);
    assert_eq!(ids(&everything(&db.thread("t")).await), ["m"]);
}

async fn conflict(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let before = thread.add(said("m", "x")).key("k").await.unwrap().message;
    let error = refused(thread.add(said("m", "y")).key("k").await, ErrorKind::Conflict);
    assert_eq!(error.idempotency_key().map(throughline_core::IdempotencyKey::as_str), Some("k"));
    refused(thread.add(said("n", "x")).key("k").await, ErrorKind::Conflict);
    let metadata = crate::shorthand::facts(r#"{"a":1}"#);
    refused(thread.add(said("m", "x").with_metadata(metadata)).key("k").await, ErrorKind::Conflict);
    refused(thread.edit(id("m"), Content::text("y")).key("k").await, ErrorKind::Conflict);
    refused(thread.delete(id("m")).key("k").await, ErrorKind::Conflict);
    assert_eq!(everything(&thread).await, [before]);
    let change = thread.update_content(id("m"), replace("a"), UpdateMode::Edit).key("c").await.unwrap();
    refused(
        thread.update_content(id("m"), append("a"), UpdateMode::Edit).key("c").await,
        ErrorKind::Conflict,
    );
    assert_eq!(the(&thread, "m").await.revision, change.revision);
    // And what the key stands for can still be repeated.
    assert!(thread.add(said("m", "x")).key("k").await.unwrap().deduplicated);
}

async fn other_thread(rig: Rig) {
    let db = rig.db().await;
    for name in ["a", "b"] {
        let added =
            db.thread(name).add(said("m", name)).key("k").await.expect("each thread has its own keys");
        assert!(!added.deduplicated);
        assert_eq!(the(&db.thread(name), "m").await.content, Content::text(name));
    }
}

async fn other_tenant(rig: Rig) {
    let db = rig.db().await;
    for name in ["a", "b"] {
        let db = db.for_tenant(name.parse().unwrap());
        let added = db.thread("t").add(said("m", name)).key("k").await.expect("each tenant has its own keys");
        assert!(!added.deduplicated);
        assert_eq!(the(&db.thread("t"), "m").await.content, Content::text(name));
    }
}

async fn other_key(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for key in ["k", "K", "k ", "k%"] {
        assert!(!thread.add(NewMessage::user("x")).key(key).await.unwrap().deduplicated, "{key:?}");
    }
    assert!(!thread.add(NewMessage::user("x")).await.unwrap().deduplicated);
    assert_eq!(everything(&thread).await.len(), 5);
}

async fn one_slot(rig: Rig) {
    let db = rig.db().await;
    let reserve = || db.run(Reserve::new(t(), NewReservation::new(Role::Assistant))).key("slot");
    let (one, two, three) =
        tokio::join!(reserve().into_future(), reserve().into_future(), reserve().into_future());
    let answers = [one.unwrap(), two.unwrap(), three.unwrap()];
    assert_eq!(answers.iter().filter(|answer| !answer.deduplicated).count(), 1);
    let read = everything(&db.thread("t")).await;
    assert_eq!(read.len(), 1, "one slot, one row");
    for answer in answers {
        assert_eq!(answer.message, read[0]);
    }
}

async fn failed(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let early = || thread.update_content(id("m"), append("x"), UpdateMode::Final).key("k");
    refused(early().await, ErrorKind::NotFound);
    db.run(reservation("m")).await.unwrap();
    refused(db.run(reservation("m")).key("r").await, ErrorKind::AlreadyExists);
    assert!(!early().await.expect("the same call, now that it can be done").deduplicated);
    // The key of a refused reservation is free for another one.
    assert!(!db.run(reservation("n")).key("r").await.expect("not used before").deduplicated);
    assert_eq!(ids(&everything(&thread).await), ["m", "n"]);
}

async fn minted(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let first = thread.add(NewMessage::user("x")).key("a").await.unwrap().message;
    let again = thread.add(NewMessage::user("x")).key("a").await.unwrap();
    assert!(again.deduplicated);
    assert_eq!(again.message, first);
    // A given id is content: it names what the caller means.
    refused(thread.add(NewMessage::user("x").with_id(first.id)).key("a").await, ErrorKind::Conflict);
    assert_eq!(everything(&thread).await.len(), 1);
}

async fn batch_minted(rig: Rig) {
    let db = rig.db().await;
    // Each time with ids of its own, which its later items speak of.
    let batch = || {
        let add = Add::new(t(), NewMessage::user("x"));
        let reserve = Reserve::new(t(), NewReservation::new(Role::Assistant));
        let patch = Update::new(t(), add.id.clone(), MetadataPatch::new().set("k", &1).unwrap());
        let finish = UpdateContent::new(t(), reserve.id.clone(), append("y"), UpdateMode::Final);
        Batch::new().with(add).with(reserve).with(patch).with(finish)
    };
    let reported = async || {
        let answer = db.batch(batch()).key("k").await.unwrap();
        let about: Vec<_> = answer.outputs.iter().map(about).collect();
        (answer.deduplicated, about)
    };
    let (first, about) = reported().await;
    let read = everything(&db.thread("t")).await;
    let [added, reserved] = [&read[0].id, &read[1].id].map(Clone::clone);
    assert_eq!((first, &about), (false, &vec![added.clone(), reserved.clone(), added, reserved]));
    assert_eq!(reported().await, (true, about));
    assert_eq!(everything(&db.thread("t")).await, read);
}

/// The message that an answer speaks of.
fn about(output: &PersistResult) -> MessageId {
    match output {
        PersistResult::Add(Added { message, .. }) | PersistResult::Reserve(Reserved { message, .. }) => {
            message.id.clone()
        }
        PersistResult::UpdateContent(updated) => updated.id.clone(),
        PersistResult::Update(updated) => updated.id.clone(),
        other => panic!("not an answer of this batch: {other:?}"),
    }
}

async fn batch_scope(rig: Rig) {
    let db = rig.db().await;
    let batch = |first: &str, second: &str| {
        let add = |thread: &str| Add::new(thread.parse().unwrap(), NewMessage::user("x"));
        db.batch(Batch::new().with(add(first)).with(add(second))).key("k")
    };
    assert!(!batch("a", "b").await.unwrap().deduplicated);
    assert!(batch("a", "b").await.unwrap().deduplicated);
    assert!(!batch("b", "a").await.expect("another thread's key").deduplicated);
    refused(db.thread("a").add(NewMessage::user("x")).key("k").await, ErrorKind::Conflict);
    refused(db.run(Delete::new("b".parse().unwrap(), id("m"))).key("k").await, ErrorKind::Conflict);
    let patch = Update::new("c".parse().unwrap(), id("m"), MetadataPatch::new());
    refused(db.run(patch).key("k").await, ErrorKind::NotFound);
    for name in ["a", "b"] {
        assert_eq!(everything(&db.thread(name)).await.len(), 2);
    }
}
