//! `Delete`.

use throughline_core::{
    ErrorKind, MessageState, MetadataPatch, NewReservation, Revision, Role,
    messages::{Delete, Deleted, Reserve, UpdateMode, Visibility},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, id, ids, refused, said, the},
};

checks! {
    Core "messages.delete_answers_the_removed_message" [Add Delete Read] "a delete answers the removed message, and reads no longer show it" => answer;
    Core "messages.deleted_id_cannot_be_reused" [Add Reserve UpdateContent Update Delete Read] "the id of a deleted message is refused by every operation" => tombstone;
    Core "messages.delete_affects_one_thread" [Add Delete Read] "a delete does not affect the same id in another thread" => other_thread;
    Core "messages.delete_of_another_revision_is_stale" [Add UpdateContent Delete Read] "a delete that expects another revision is stale, and one with the current revision succeeds" => expected;
    Core "messages.delete_works_in_every_state" [Add Reserve UpdateContent Delete Read] "a message of any state can be deleted and is then no longer open" => any_state;
    Core "messages.deleted_seq_is_not_reused" [Add Delete Read] "the sequence number of a deleted message is never reused" => seq;
    Core "messages.delete_of_damaged_refuses_readable_messages" [Add Delete Read] "a delete for damaged messages refuses a readable message" => only_damaged;
    Core "messages.delete_of_unknown_id_is_not_found" [Add Delete Read] "a delete of an unknown id is refused as not found" => not_found;
}

async fn answer(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("before", "x")).await.unwrap();
    let message = said("m", "x").with_attachments(["a".parse().unwrap(), "b".parse().unwrap()]);
    let added = thread.add(message).await.unwrap().message;
    let deleted = thread.delete(id("m")).await.unwrap();
    let expected = Deleted {
        thread: added.thread,
        id: added.id,
        seq: added.seq,
        revision: Revision::FIRST,
        state: MessageState::Final,
        attachments: added.attachments,
        deduplicated: false,
    };
    assert_eq!(deleted, expected);
    assert_eq!(thread.get(id("m")).await.unwrap(), None);
    assert_eq!(ids(&everything(&thread).await), ["before"]);
}

async fn tombstone(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    thread.delete(id("m")).await.unwrap();
    let error = refused(thread.add(said("m", "y")).await, ErrorKind::Gone);
    assert_eq!(error.message(), Some(&id("m")));
    let reservation = NewReservation::new(Role::Assistant).with_id(id("m"));
    refused(db.run(Reserve::new("t".parse().unwrap(), reservation)).await, ErrorKind::Gone);
    let change = thread.update_content(id("m"), append("y"), UpdateMode::Edit);
    refused(change.await, ErrorKind::NotFound);
    refused(thread.update(id("m"), MetadataPatch::new().clear("k")).await, ErrorKind::NotFound);
    refused(thread.delete(id("m")).await, ErrorKind::NotFound);
    assert_eq!(thread.get(id("m")).await.unwrap(), None);
    assert_eq!(everything(&thread).await, []);
    // The neighbour: an id that was never used.
    thread.add(said("n", "y")).await.expect("another id lives");
}

async fn other_thread(rig: Rig) {
    let db = rig.db().await;
    let (a, b, c) = (db.thread("a"), db.thread("b"), db.thread("c"));
    a.add(said("m", "x")).await.unwrap();
    let kept = b.add(said("m", "x")).await.unwrap().message;
    a.delete(id("m")).await.unwrap();
    assert_eq!(everything(&b).await, [kept]);
    c.add(said("m", "x")).await.expect("dead in one thread only");
    let other = db.for_tenant("other".parse().unwrap());
    other.thread("a").add(said("m", "x")).await.expect("dead for one tenant only");
}

async fn expected(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    thread.edit(id("m"), throughline_core::Content::text("y")).await.unwrap();
    let delete = |revision| Delete::new("t".parse().unwrap(), id("m")).expecting(revision);
    refused(db.run(delete(Revision::FIRST)).await, ErrorKind::Stale);
    refused(db.run(delete(Revision::new(3))).await, ErrorKind::Stale);
    assert_eq!(the(&thread, "m").await.revision, Revision::new(2));
    assert_eq!(db.run(delete(Revision::new(2))).await.unwrap().revision, Revision::new(2));
}

async fn any_state(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let modes = [
        (MessageState::Reserved, None),
        (MessageState::Streaming, Some(UpdateMode::Partial)),
        (MessageState::Abandoned, Some(UpdateMode::Abandon { reason: None })),
    ];
    for (state, mode) in modes {
        let name = state.as_str();
        let reservation = NewReservation::new(Role::Assistant).with_id(id(name));
        db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
        if let Some(mode) = mode {
            thread.update_content(id(name), append("x"), mode).await.unwrap();
        }
        assert_eq!(thread.delete(id(name)).await.unwrap().state, state);
    }
    assert_eq!(thread.open_reservations(10).await.unwrap().messages, []);
    thread.add(said("m", "x")).await.unwrap();
    let from = throughline_core::messages::PageFrom::Start;
    let page = thread.page_showing(from, 10, Visibility::Settled).await.unwrap();
    assert_eq!((ids(&page.messages), page.first_open), (vec!["m"], None));
}

async fn seq(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let mut last = throughline_core::Seq::ZERO;
    for number in 0..5 {
        let name = format!("m{number}");
        let added = thread.add(said(&name, "x")).await.unwrap().message;
        assert!(added.seq > last, "{} was given after {last}", added.seq);
        last = added.seq;
        // The newest message of the thread is deleted each time: its seq is the one that a defective store reuses.
        thread.delete(id(&name)).await.unwrap();
    }
    assert_eq!(everything(&thread).await, []);
}

async fn only_damaged(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let kept = thread.add(said("m", "x")).await.unwrap().message;
    let error = refused(thread.delete_damaged(id("m")).await, ErrorKind::Conflict);
    assert_eq!(error.message(), Some(&id("m")));
    assert_eq!(everything(&thread).await, [kept]);
    refused(thread.delete_damaged(id("n")).await, ErrorKind::NotFound);
}

async fn not_found(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let error = refused(thread.delete(id("m")).await, ErrorKind::NotFound);
    assert_eq!(error.message(), Some(&id("m")));
    // And it is not dead by that.
    thread.add(said("m", "x")).await.expect("a refused deletion kills no id");
}
