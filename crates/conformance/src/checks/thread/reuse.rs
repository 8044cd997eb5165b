//! Threads that use the ids of deleted messages again.

use std::time::Duration;

use throughline_core::{
    Content, Delta, ErrorKind, Message, MessageState, MetadataPatch, NewReservation, Persistence, Revision,
    Role, Thread, Timestamp,
    changes::{ChangeKind, ChangeScope, ChangedMessage},
    messages::{
        Add, Batch, Delete, Import, ImportRow, ImportedRow, Reserve, Update, UpdateContent, UpdateMode,
    },
    threads::Keep,
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{
        append, changes_after, entry, everything, facts, id, ids, new_thread, refused, said, the, thread_id,
    },
};

checks! {
    Extended "ids.deleted_id_makes_a_new_message_where_a_thread_reuses_ids" [Add UpdateContent Delete Thread Read] "an addition of a deleted id, where the thread reuses ids, has a new sequence number and a higher revision" => again;
    Extended "ids.reservation_of_a_deleted_id_is_a_new_message" [Reserve UpdateContent Delete Thread Read] "a reservation of a deleted id, where the thread reuses ids, is a new message that begins empty" => reserved;
    Extended "ids.living_id_is_refused_where_a_thread_reuses_ids" [Add Reserve Thread Read] "a thread that reuses ids refuses the id of an existing message" => living;
    Extended "ids.late_writer_does_not_touch_the_next_message" [Add Reserve UpdateContent Update Delete Thread Read] "a writer that expects a revision of the deleted message is refused by the next message of the id" => late;
    Extended "ids.tail_cursor_of_a_deleted_message_begins_again" [Reserve UpdateContent Delete Thread Read] "a tail read with a cursor of the deleted message says that the content was replaced, and names another message" => tail;
    Extended "ids.first_revision_can_be_required" [Add Reserve Delete Thread Read] "an addition that requires another first revision is stale, and the error names the one that it would get" => required;
    Extended "ids.cleared_and_pruned_ids_are_used_again" [Add Thread Read] "cleared and pruned ids are used again, and those of cleared messages with attachments only after a purge" => cleared;
    Extended "ids.import_adds_deleted_messages_again" [Add Delete Import Thread Read] "in a thread that reuses ids, an import adds deleted messages again, once" => imported;
    Extended "ids.batch_deletes_and_saves_an_id" [Add Reserve UpdateContent Delete Batch Thread Read] "a batch can delete a message and save its id again, and no content of the deleted message remains" => batch;
    Extended "ids.replay_does_not_touch_the_next_message" [Add Update Delete Thread Read; keys] "a call repeated with the key of a deleted message answers for that message, and leaves the next one alone" => replayed;
    Extended "ids.changes_of_one_id_are_in_order" [Add Delete Thread Read; changes] "the deletion of a message and the addition of the next one are emitted in order, with their own numbers" => changes;
    Extended "ids.reuse_survives_reopening" [Add UpdateContent Delete Thread Read; durable] "after reopening, the thread still reuses ids, and the revisions still go on" => reopened;
}

async fn reusing(db: &Persistence) -> Thread {
    db.create_thread(new_thread("t").reusing_ids()).await.expect("a new thread");
    db.thread("t")
}

fn reserve(name: &str) -> Reserve {
    Reserve::new(thread_id("t"), NewReservation::new(Role::Assistant).with_id(id(name)))
}

async fn again(rig: Rig) {
    let db = rig.db().await;
    let thread = reusing(&db).await;
    assert!(entry(&db, "t").await.reuses_ids);
    let first = thread.add(said("m", "old").with_metadata(facts(r#"{"k":1}"#))).await.unwrap().message;
    thread.edit(id("m"), Content::text("edited")).await.unwrap();
    let other = thread.add(said("other", "x")).await.unwrap().message;
    assert_eq!(thread.delete(id("m")).await.unwrap().revision, Revision::new(2));
    let later = rig.clock.advance(Duration::from_secs(1));
    let next = thread.add(said("m", "new")).await.unwrap().message;
    let expected = Message {
        seq: next.seq,
        revision: Revision::new(4),
        content: Content::text("new"),
        metadata: facts("{}"),
        created_at: later,
        updated_at: later,
        ..first.clone()
    };
    assert_eq!(next, expected);
    assert!(next.seq > other.seq && other.seq > first.seq);
    assert_eq!(everything(&thread).await, [other, next.clone()]);
    let summary = entry(&db, "t").await;
    assert_eq!((summary.messages, summary.turns, summary.last_seq), (2, 2, next.seq));
    // And again: the numbers go on.
    thread.delete(id("m")).await.unwrap();
    assert_eq!(thread.add(said("m", "third")).await.unwrap().message.revision, Revision::new(6));
    // Another thread reuses nothing.
    let strict = db.thread("strict");
    strict.add(said("m", "x")).await.unwrap();
    assert!(!entry(&db, "strict").await.reuses_ids);
    strict.delete(id("m")).await.unwrap();
    refused(strict.add(said("m", "y")).await, ErrorKind::Gone);
}

async fn reserved(rig: Rig) {
    let db = rig.db().await;
    let thread = reusing(&db).await;
    db.run(reserve("m")).await.unwrap();
    thread.update_content(id("m"), append("old"), UpdateMode::Partial).await.unwrap();
    thread.delete(id("m")).await.unwrap();
    let next = db.run(reserve("m")).await.unwrap().message;
    let begun = (next.revision, next.state, next.content.as_json());
    assert_eq!(begun, (Revision::new(4), MessageState::Reserved, "[]"));
    assert_eq!(the(&thread, "m").await, next);
    thread.update_content(id("m"), append("new"), UpdateMode::Partial).await.unwrap();
    let read = the(&thread, "m").await;
    assert_eq!((read.revision, read.content), (Revision::new(5), Content::text("new")));
    assert_eq!(thread.open_reservations(10).await.unwrap().messages.len(), 1);
    let end = thread.update_content(id("m"), append("!"), UpdateMode::Final).await.unwrap();
    assert_eq!((end.revision, end.state), (Revision::new(6), MessageState::Final));
    assert_eq!(the(&thread, "m").await.content, Content::text("new!"));
}

async fn living(rig: Rig) {
    let db = rig.db().await;
    let thread = reusing(&db).await;
    let kept = thread.add(said("m", "x")).await.unwrap().message;
    refused(thread.add(said("m", "y")).await, ErrorKind::AlreadyExists);
    refused(db.run(reserve("m")).await, ErrorKind::AlreadyExists);
    assert_eq!(everything(&thread).await, [kept]);
}

async fn late(rig: Rig) {
    let db = rig.db().await;
    let thread = reusing(&db).await;
    db.run(reserve("m")).await.unwrap();
    let mut seen = vec![Revision::FIRST];
    for _ in 0..3 {
        seen.push(thread.update_content(id("m"), append("old"), UpdateMode::Partial).await.unwrap().revision);
    }
    thread.delete(id("m")).await.unwrap();
    db.run(reserve("m")).await.unwrap();
    let open = the(&thread, "m").await;
    let update = |revision, mode| {
        db.run(UpdateContent::new(thread_id("t"), id("m"), append("late"), mode).expecting(revision))
    };
    // The number after the last one belongs to a last write whose answer was lost.
    for revision in seen.iter().copied().chain([Revision::new(5)]) {
        for mode in [UpdateMode::Partial, UpdateMode::Final, UpdateMode::Abandon { reason: None }] {
            let error = refused(update(revision, mode).await, ErrorKind::Stale);
            assert_eq!(error.revision(), Some(open.revision));
        }
        let patch = Update::new(thread_id("t"), id("m"), MetadataPatch::new().set("late", &1).unwrap());
        refused(db.run(patch.expecting(revision)).await, ErrorKind::Stale);
        refused(db.run(Delete::new(thread_id("t"), id("m")).expecting(revision)).await, ErrorKind::Stale);
    }
    assert_eq!(the(&thread, "m").await, open);
    assert_eq!(update(open.revision, UpdateMode::Final).await.unwrap().revision, open.revision.next());
}

async fn tail(rig: Rig) {
    let db = rig.db().await;
    let thread = reusing(&db).await;
    db.run(reserve("m")).await.unwrap();
    thread.update_content(id("m"), append("the old text"), UpdateMode::Partial).await.unwrap();
    let old = thread.read_content(id("m"), None).await.unwrap().expect("the message");
    thread.delete(id("m")).await.unwrap();
    assert_eq!(thread.read_content(id("m"), Some(old.next)).await.unwrap(), None);
    db.run(reserve("m")).await.unwrap();
    thread.update_content(id("m"), append("a new text that is longer"), UpdateMode::Partial).await.unwrap();
    for _ in 0..2 {
        let new = thread.read_content(id("m"), Some(old.next)).await.unwrap().expect("the next message");
        assert!(new.replaced && new.seq > old.seq, "{new:?}");
        assert_eq!(new.parts, [Delta::text("a new text that is longer")]);
        let rest = thread.read_content(id("m"), Some(new.next)).await.unwrap().expect("the next message");
        assert_eq!((rest.replaced, rest.parts), (false, vec![]));
        // A settled one answers alike.
        drop(thread.update_content(id("m"), append(""), UpdateMode::Final).await);
    }
}

async fn required(rig: Rig) {
    let db = rig.db().await;
    let thread = reusing(&db).await;
    let add = |revision| db.run(Add::new(thread_id("t"), said("m", "x")).expecting(revision));
    let error = refused(add(Revision::new(3)).await, ErrorKind::Stale);
    assert_eq!((error.revision(), error.message()), (Some(Revision::FIRST), Some(&id("m"))));
    add(Revision::FIRST).await.unwrap();
    thread.delete(id("m")).await.unwrap();
    let error = refused(add(Revision::FIRST).await, ErrorKind::Stale);
    assert_eq!(error.revision(), Some(Revision::new(3)));
    let error = refused(db.run(reserve("m").expecting(Revision::new(2))).await, ErrorKind::Stale);
    assert_eq!(error.revision(), Some(Revision::new(3)));
    assert_eq!(everything(&thread).await, []);
    assert_eq!(add(Revision::new(3)).await.unwrap().message.revision, Revision::new(3));
}

async fn cleared(rig: Rig) {
    let db = rig.db().await;
    let thread = reusing(&db).await;
    thread.add(said("plain", "old")).await.unwrap();
    thread.add(said("held", "old").with_attachments(["file".parse().unwrap()])).await.unwrap();
    thread.clear().await.unwrap();
    let plain = thread.add(said("plain", "new")).await.unwrap().message;
    assert_eq!((plain.revision, plain.content.clone()), (Revision::new(3), Content::text("new")));
    refused(thread.add(said("held", "new")).await, ErrorKind::Gone);
    assert_eq!(thread.purge().await.unwrap(), ["file".parse().unwrap()]);
    let held = thread.add(said("held", "new")).await.unwrap().message;
    assert_eq!(everything(&thread).await, [plain, held]);
    thread.prune(Keep::everything().messages(1)).await.unwrap();
    assert_eq!(ids(&everything(&thread).await), ["held"]);
    let again = thread.add(said("plain", "third")).await.unwrap().message;
    assert_eq!(again.revision, Revision::new(5));
    assert_eq!(ids(&everything(&thread).await), ["held", "plain"]);
}

async fn imported(rig: Rig) {
    let db = rig.db().await;
    let thread = reusing(&db).await;
    let row =
        |name: &str| ImportRow::new(id(name), Role::User, Content::text(name), Timestamp::from_micros(7));
    let import = || Import::new(thread_id("t"), vec![row("a"), row("b")]);
    thread.add(said("a", "old")).await.unwrap();
    thread.add(said("b", "b")).await.unwrap();
    thread.delete(id("a")).await.unwrap();
    let [ImportedRow::Added(seq), ImportedRow::Present(_)] = db.run(import()).await.unwrap().rows[..] else {
        panic!("the deleted message is added, and the other one is there");
    };
    let read = the(&thread, "a").await;
    assert_eq!((read.seq, read.revision, read.content), (seq, Revision::new(3), Content::text("a")));
    assert_eq!(db.run(import()).await.unwrap().added(), 0);
    thread.delete(id("b")).await.unwrap();
    let required = import().expecting(vec![Revision::FIRST, Revision::FIRST]);
    let error = refused(db.run(required).await, ErrorKind::Stale);
    assert_eq!((error.revision(), error.message()), (Some(Revision::new(3)), Some(&id("b"))));
    assert_eq!(ids(&everything(&thread).await), ["a"]);
}

async fn batch(rig: Rig) {
    let db = rig.db().await;
    let thread = reusing(&db).await;
    let delete = || Delete::new(thread_id("t"), id("m"));
    let write = |text: &str| UpdateContent::new(thread_id("t"), id("m"), append(text), UpdateMode::Partial);
    let first = thread.add(said("m", "old")).await.unwrap().message;
    db.batch(Batch::new().with(delete()).with(Add::new(thread_id("t"), said("m", "new")))).await.unwrap();
    let read = the(&thread, "m").await;
    assert!(read.seq > first.seq);
    assert_eq!((read.revision, read.content), (Revision::new(3), Content::text("new")));
    // Open messages, with chunks that are stored and chunks of the same commit.
    let lives = Batch::new().with(delete()).with(reserve("m")).with(write("a")).with(write("b"));
    db.batch(lives.clone()).await.unwrap();
    assert_eq!(the(&thread, "m").await.content, Content::text("ab"));
    let twice = lives.with(delete()).with(reserve("m")).with(write("c"));
    db.batch(twice.clone()).await.unwrap();
    let read = the(&thread, "m").await;
    assert_eq!((read.state, read.content), (MessageState::Streaming, Content::text("c")));
    thread.update_content(id("m"), append("d"), UpdateMode::Partial).await.unwrap();
    assert_eq!(the(&thread, "m").await.content, Content::text("cd"));
    let before = the(&thread, "m").await;
    refused(db.batch(twice.with(delete()).with(delete())).await, ErrorKind::NotFound);
    assert_eq!(everything(&thread).await, [before]);
    let ended = thread.update_content(id("m"), append("e"), UpdateMode::Final).await.unwrap();
    assert_eq!(ended.state, MessageState::Final);
    assert_eq!(the(&thread, "m").await.content, Content::text("cde"));
    // A batch that only passes through the id leaves it deleted.
    db.batch(Batch::new().with(delete()).with(reserve("m")).with(write("x")).with(delete())).await.unwrap();
    assert_eq!(everything(&thread).await, []);
    assert!(thread.add(said("m", "last")).await.unwrap().message.revision > ended.revision.next());
}

async fn replayed(rig: Rig) {
    let db = rig.db().await;
    let thread = reusing(&db).await;
    let add = |text: &str| thread.add(said("m", text));
    let patch = || thread.update(id("m"), MetadataPatch::new().set("old", &1).unwrap()).key("patch");
    let first = add("old").key("add").await.unwrap().message;
    patch().await.unwrap();
    let deleted = thread.delete(id("m")).key("delete").await.unwrap();
    let next = add("new").key("again").await.unwrap().message;
    assert_eq!(next.revision, Revision::new(3));
    let replay = add("old").key("add").await.unwrap();
    assert_eq!((replay.message, replay.deduplicated), (first, true));
    refused(patch().await, ErrorKind::Gone);
    let replay = thread.delete(id("m")).key("delete").await.unwrap();
    assert_eq!((replay.seq, replay.revision, replay.deduplicated), (deleted.seq, deleted.revision, true));
    let replay = add("new").key("again").await.unwrap();
    assert_eq!((replay.message, replay.deduplicated), (next.clone(), true));
    assert_eq!(everything(&thread).await, [next]);
}

async fn changes(rig: Rig) {
    let db = rig.db().await;
    let thread = reusing(&db).await;
    let first = thread.add(said("m", "old")).reply().await.unwrap();
    let after = first.receipt.position.expect("a change has a position");
    thread.delete(id("m")).await.unwrap();
    let next = thread.add(said("m", "new")).await.unwrap().message;
    let emitted: Vec<ChangeKind> =
        changes_after(&db, ChangeScope::Tenant, after).await.into_iter().map(|change| change.kind).collect();
    let of = |message: &Message| ChangedMessage {
        id: message.id.clone(),
        seq: message.seq,
        revision: message.revision,
    };
    assert_eq!(emitted, [ChangeKind::Deleted(of(&first.output.message)), ChangeKind::Added(of(&next))]);
}

async fn reopened(rig: Rig) {
    let db = rig.db().await;
    let thread = reusing(&db).await;
    let first = thread.add(said("m", "old")).await.unwrap().message;
    thread.edit(id("m"), Content::text("edited")).await.unwrap();
    thread.delete(id("m")).await.unwrap();
    let db = rig.reopen(db).await;
    assert!(entry(&db, "t").await.reuses_ids);
    let thread = db.thread("t");
    let next = thread.add(said("m", "new")).await.unwrap().message;
    assert!(next.seq > first.seq);
    assert_eq!(next.revision, Revision::new(4));
    let db = rig.reopen(db).await;
    assert_eq!(everything(&db.thread("t")).await, [next]);
}
