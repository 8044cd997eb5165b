//! Idempotency keys: what a repeated call is answered.

use throughline_core::{
    Content, ErrorKind, MessageState, MetadataPatch, NewReservation, Revision, Role,
    messages::{Batch, ContentUpdated, Reserve, Update, UpdateMode},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, facts, id, refused, said, shown, the},
};

checks! {
    Extended "keys.replay_is_the_first_answer" [Add Reserve UpdateContent Delete Read; keys] "a repeated call gets the first answer, despite later changes" => first_answer;
    Extended "keys.replayed_patch_answers_the_current_metadata" [Add Update Read; keys] "a repeated patch changes nothing and answers the current metadata" => update;
    Extended "keys.replay_does_not_restore_a_deleted_message" [Add Update Delete Read; keys] "a repeated call on a message that was deleted since does not restore it" => deleted;
    Extended "keys.replayed_batch_answers_each_item" [Add Update Delete Batch Read; keys] "a repeated batch answers each item as the first time" => batch;
    Extended "keys.survive_reopening" [Add UpdateContent Read; keys durable] "keys last as long as their messages, also after the store is reopened" => reopened;
}

async fn first_answer(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let add = || thread.add(said("m", "x").with_metadata(facts(r#"{"a":1}"#))).key("add");
    let reserve = || {
        let reservation = NewReservation::new(Role::Assistant).with_id(id("r"));
        db.run(Reserve::new("t".parse().unwrap(), reservation)).key("reserve")
    };
    let append = || thread.update_content(id("r"), append("a"), UpdateMode::Partial).key("append");
    let delete = || thread.delete(id("m")).key("delete");
    let (added, reserved, appended) =
        (add().await.unwrap(), reserve().await.unwrap(), append().await.unwrap());
    rig.clock.advance(std::time::Duration::from_secs(3600));
    thread.edit(id("m"), Content::text("edited")).await.unwrap();
    thread.update_content(id("r"), crate::shorthand::append("b"), UpdateMode::Final).await.unwrap();
    let deleted = delete().await.unwrap();
    let before = everything(&thread).await;
    let again =
        (add().await.unwrap(), reserve().await.unwrap(), append().await.unwrap(), delete().await.unwrap());
    assert_eq!((again.0.message, again.0.deduplicated), (added.message, true));
    assert_eq!((again.1.message, again.1.deduplicated), (reserved.message, true));
    assert_eq!(again.2, ContentUpdated { deduplicated: true, ..appended.clone() });
    assert_eq!((appended.revision, appended.state), (Revision::new(2), MessageState::Streaming));
    assert_eq!(again.3, throughline_core::messages::Deleted { deduplicated: true, ..deleted });
    assert_eq!(everything(&thread).await, before);
}

async fn update(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    let patch = |value: u8| MetadataPatch::new().set("k", &value).unwrap();
    assert_eq!(shown(&thread.update(id("m"), patch(1)).key("a").await.unwrap().metadata), r#"{"k":1}"#);
    thread.update(id("m"), patch(2)).await.unwrap();
    let again = thread.update(id("m"), patch(1)).key("a").await.unwrap();
    assert_eq!((shown(&again.metadata), again.deduplicated), (r#"{"k":2}"#.to_owned(), true));
    assert_eq!(shown(&the(&thread, "m").await.metadata), r#"{"k":2}"#);
}

async fn deleted(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let added = thread.add(said("m", "x")).key("add").await.unwrap().message;
    let patch = || thread.update(id("m"), MetadataPatch::new().set("k", &1).unwrap()).key("patch");
    patch().await.unwrap();
    thread.delete(id("m")).await.unwrap();
    let again = thread.add(said("m", "x")).key("add").await.unwrap();
    assert_eq!((again.message, again.deduplicated), (added, true));
    refused(patch().await, ErrorKind::Gone);
    assert_eq!(everything(&thread).await, []);
    // Without the key it is another call, and the id is dead.
    refused(thread.add(said("m", "x")).await, ErrorKind::Gone);
}

async fn batch(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("old", "x")).await.unwrap();
    let patch = MetadataPatch::new().set("k", &1).unwrap();
    let batch = Batch::new()
        .with(throughline_core::messages::Add::new("t".parse().unwrap(), said("m", "x")))
        .with(Update::new("t".parse().unwrap(), id("m"), patch))
        .with(throughline_core::messages::Delete::new("t".parse().unwrap(), id("old")));
    let first = db.batch(batch.clone()).key("k").await.unwrap();
    let again = db.batch(batch).key("k").await.unwrap();
    assert!(again.deduplicated);
    for (first, again) in first.outputs.into_iter().zip(again.outputs) {
        assert!(again.is_deduplicated());
        assert_eq!((first.kind(), without_flag(&first)), (again.kind(), without_flag(&again)));
    }
}

/// An output as JSON, without the flag `deduplicated`, in which the two answers differ.
fn without_flag(output: &throughline_core::PersistResult) -> String {
    serde_json::to_string(output).unwrap().replace(r#""deduplicated":true"#, r#""deduplicated":false"#)
}

async fn reopened(rig: Rig) {
    let db = rig.db().await;
    let added = db.thread("t").add(said("m", "x")).key("a").await.unwrap().message;
    db.thread("t").update_content(id("m"), append("y"), UpdateMode::Edit).key("b").await.unwrap();
    let db = rig.reopen(db).await;
    let thread = db.thread("t");
    let again = thread.add(said("m", "x")).key("a").await.unwrap();
    assert_eq!((again.message, again.deduplicated), (added, true));
    let edit = thread.update_content(id("m"), append("y"), UpdateMode::Edit).key("b").await.unwrap();
    assert!(edit.deduplicated);
    refused(thread.add(said("m", "y")).key("a").await, ErrorKind::Conflict);
    assert_eq!(the(&thread, "m").await.content, Content::text("xy"));
}
