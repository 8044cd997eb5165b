//! The end of a thread: the last sequence number that it has given, and the last message that is there.

use throughline_core::{
    Content, ErrorKind, NewReservation, PersistResult, Persistence, Role, Seq,
    messages::{Add, Batch, Delete, PageFrom, Reserve, TakeLastMessage, UpdateContent, UpdateMode},
    threads::{DeleteThread, PurgeThread, ThreadResult},
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, entry, everything, id, ids, refused, said, the, thread_id},
};

checks! {
    Core "pages.page_reports_the_last_assigned_seq" [Add Delete Read] "a page reports the last assigned sequence number, even if its message is deleted" => page;
    Extended "threads.summary_reports_the_last_assigned_seq" [Add Reserve Delete Thread Read] "the thread summary reports the last assigned sequence number after deletions and a clear" => summary;
    Core "messages.add_after_another_last_seq_is_stale" [Add Delete Read] "an add that expects the current last sequence number succeeds, and any other is stale" => after;
    Core "messages.delete_after_another_last_seq_is_stale" [Add Delete Read] "a delete that expects another last sequence number changes nothing" => delete;
    Extended "batches.condition_on_the_last_seq_is_atomic" [Add Batch Read] "a batch checks the last sequence number before its first item and is applied completely or not at all" => batch;
    Extended "batches.deletion_of_a_deleted_thread_checks_the_last_seq" [Add Batch Thread Read] "a batch that deletes a deleted thread checks its last sequence number and refuses other writes as gone" => after_deletion;
    Extended "messages.take_last_deletes_and_answers_the_message" [Add Reserve UpdateContent Thread Read] "take last deletes and answers the last message, until the thread is empty" => take;
    Extended "messages.take_of_another_last_message_is_stale" [Add Thread Read] "take last is stale if it expects another last message" => expected;
    Extended "messages.batch_replaces_the_last_message" [Add Batch Thread Read] "a batch can take the last message and add its replacement" => in_batch;
    Extended "messages.repeated_take_last_takes_nothing" [Add Thread Read; keys] "a repeated take last removes nothing and answers the taken message without its content" => replay;
    Extended "messages.concurrent_takes_get_different_messages" [Add Thread Read] "concurrent callers of take last each get a different message" => separate;
}

async fn last(db: &Persistence, thread: &str) -> Seq {
    let page = db.thread(thread).page(PageFrom::Start, 1).await.unwrap();
    let latest = db.thread(thread).page(PageFrom::End, 10).await.unwrap();
    assert_eq!(page.last_seq, latest.last_seq);
    page.last_seq
}

async fn add(db: &Persistence, thread: &str, name: &str) -> Seq {
    db.thread(thread).add(said(name, "x")).await.unwrap().message.seq
}

async fn page(rig: Rig) {
    let db = rig.db().await;
    assert_eq!(last(&db, "t").await, Seq::ZERO);
    let mut seqs = Vec::new();
    for name in ["a", "b", "c"] {
        seqs.push(add(&db, "t", name).await);
        add(&db, "u", name).await;
        assert_eq!(last(&db, "t").await, seqs[seqs.len() - 1]);
    }
    // Not that of the last message on the page.
    let first = db.thread("t").page(PageFrom::Before(seqs[1]), 10).await.unwrap();
    assert_eq!((ids(&first.messages), first.last_seq), (vec!["a"], seqs[2]));
    for name in ["c", "a", "b"] {
        db.thread("t").delete(id(name)).await.unwrap();
        assert_eq!(last(&db, "t").await, seqs[2], "after the deletion of {name}");
    }
}

async fn summary(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let first = add(&db, "t", "a").await;
    assert_eq!(entry(&db, "t").await.last_seq, first);
    let row = NewReservation::new(Role::Assistant).with_id(id("r"));
    let open = db.run(Reserve::new(thread_id("t"), row)).await.unwrap().message.seq;
    let expect = async |seq: Seq| {
        assert_eq!(entry(&db, "t").await.last_seq, seq);
        let list = db.threads(throughline_core::threads::ListThreads::new(10)).await.unwrap();
        assert_eq!(list.threads[0].last_seq, seq);
        assert_eq!(last(&db, "t").await, seq);
    };
    expect(open).await;
    thread.delete(id("r")).await.unwrap();
    expect(open).await;
    let renamed = thread.rename("x".parse().unwrap()).await.unwrap();
    assert_eq!(renamed.summary.last_seq, open);
    let cleared = thread.clear().await.unwrap();
    assert_eq!(cleared.summary.last_seq, open);
    expect(open).await;
    let next = add(&db, "t", "b").await;
    assert!(next > open);
    expect(next).await;
    thread.rebuild_summary().await.unwrap();
    expect(next).await;
    thread.delete_thread().await.unwrap();
    assert_eq!(last(&db, "t").await, Seq::ZERO);
}

async fn after(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let first = thread.add(said("a", "x").after(Seq::ZERO)).await.unwrap().message.seq;
    refused(thread.add(said("b", "x").after(Seq::ZERO)).await, ErrorKind::Stale);
    let second = thread.add(said("b", "x").after(first)).await.unwrap().message.seq;
    thread.delete(id("b")).await.unwrap();
    for stale in [first, Seq::ZERO, second.next()] {
        refused(thread.add(said("c", "x").after(stale)).await, ErrorKind::Stale);
    }
    thread.delete(id("a")).await.unwrap();
    let known = thread.page(PageFrom::End, 10).await.unwrap();
    assert_eq!((known.messages.len(), known.last_seq), (0, second));
    thread.add(said("c", "x").after(known.last_seq)).await.unwrap();
    assert_eq!(ids(&everything(&thread).await), ["c"]);
}

async fn delete(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let first = add(&db, "t", "a").await;
    let seen = add(&db, "t", "b").await;
    add(&db, "u", "a").await;
    let delete = |seq| Delete::new(thread_id("t"), id("a")).after(seq);
    for stale in [first, Seq::ZERO, seen.next()] {
        refused(db.run(delete(stale)).await, ErrorKind::Stale);
    }
    assert_eq!(ids(&everything(&thread).await), ["a", "b"]);
    db.run(delete(seen)).await.unwrap();
    assert_eq!(ids(&everything(&thread).await), ["b"]);
    refused(db.run(delete(seen)).await, ErrorKind::NotFound);
}

async fn batch(rig: Rig) {
    let db = rig.db().await;
    let add = |thread: &str, name: &str| Add::new(thread_id(thread), said(name, "x"));
    let two = |names: [&str; 2], seq| {
        Batch::new().with(add("t", names[0])).with(add("u", names[0])).with(add("t", names[1])).after(seq)
    };
    refused(db.batch(two(["a", "b"], Seq::FIRST)).await, ErrorKind::Stale);
    db.batch(two(["a", "b"], Seq::ZERO)).await.unwrap();
    let seen = last(&db, "t").await;
    for stale in [Seq::ZERO, Seq::FIRST, seen.next()] {
        let error = refused(db.batch(two(["c", "d"], stale)).await, ErrorKind::Stale);
        assert_eq!(error.batch_index(), None, "{error}");
    }
    assert_eq!(ids(&everything(&db.thread("t")).await), ["a", "b"]);
    assert_eq!(ids(&everything(&db.thread("u")).await), ["a"]);
    db.batch(two(["c", "d"], seen)).await.unwrap();
    assert_eq!(ids(&everything(&db.thread("t")).await), ["a", "b", "c", "d"]);
}

async fn after_deletion(rig: Rig) {
    let db = rig.db().await;
    add(&db, "t", "a").await;
    let seen = add(&db, "t", "b").await;
    let delete = |seq| Batch::new().with(DeleteThread { thread: thread_id("t") }).after(seq);
    refused(db.batch(delete(Seq::FIRST)).await, ErrorKind::Stale);
    for already in [false, true, true] {
        let outputs = db.batch(delete(seen)).await.unwrap().outputs;
        let [PersistResult::Thread(ThreadResult::Delete(deleted))] = &outputs[..] else {
            panic!("the answer to a deletion: {outputs:?}")
        };
        assert_eq!(deleted.already, already);
        for stale in [Seq::ZERO, Seq::FIRST, seen.next()] {
            let error = refused(db.batch(delete(stale)).await, ErrorKind::Stale);
            assert_eq!(error.batch_index(), None, "{error}");
        }
        let write = Batch::new().with(Add::new(thread_id("t"), said("c", "x"))).after(seen);
        let error = refused(db.batch(write).await, ErrorKind::Gone);
        assert_eq!(error.batch_index(), Some(0), "{error}");
        db.on_thread(PurgeThread { thread: thread_id("t"), limit: 10 }).await.unwrap();
    }
}

async fn take(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    refused(thread.take_last().await, ErrorKind::NotFound);
    add(&db, "u", "elsewhere").await;
    thread.add(said("a", "first")).await.unwrap();
    thread.add(said("b", "second")).await.unwrap();
    let row = NewReservation::new(Role::Assistant).with_id(id("r"));
    db.run(Reserve::new(thread_id("t"), row)).await.unwrap();
    for text in ["so ", "far"] {
        thread.update_content(id("r"), append(text), UpdateMode::Partial).await.unwrap();
    }
    for name in ["r", "b", "a"] {
        let due = the(&thread, name).await;
        let taken = thread.take_last().await.unwrap();
        assert_eq!((&taken.thread, taken.deduplicated), (&thread_id("t"), false));
        let deleted = taken.deleted.expect("it had a message");
        assert_eq!((&deleted.id, deleted.seq, deleted.revision), (&due.id, due.seq, due.revision));
        assert_eq!((deleted.state, deleted.deduplicated), (due.state, false));
        assert_eq!(taken.message, Some(Box::new(due)));
        assert_eq!(thread.get(id(name)).await.unwrap(), None);
        // Its id is dead.
        refused(thread.add(said(name, "x")).await, ErrorKind::Gone);
    }
    assert_eq!(everything(&thread).await, []);
    let last = entry(&db, "t").await;
    assert_eq!((last.messages, last.turns, last.bytes, last.preview), (0, 0, 0, None));
    let taken = thread.take_last().await.unwrap();
    assert_eq!((taken.deleted, taken.message), (None, None));
    let late = UpdateContent::new(thread_id("t"), id("r"), append("x"), UpdateMode::Partial);
    refused(db.run(late).await, ErrorKind::NotFound);
    assert_eq!(ids(&everything(&db.thread("u")).await), ["elsewhere"]);
    thread.delete_thread().await.unwrap();
    refused(thread.take_last().await, ErrorKind::Gone);
}

async fn expected(rig: Rig) {
    let db = rig.db().await;
    let first = add(&db, "t", "a").await;
    let second = add(&db, "t", "b").await;
    let take = |seq| TakeLastMessage::new(thread_id("t")).expecting(seq);
    for stale in [first, Seq::ZERO, second.next()] {
        refused(db.on_thread(take(stale)).await, ErrorKind::Stale);
    }
    let taken = db.on_thread(take(second)).await.unwrap();
    assert_eq!(taken.message.map(|message| message.id), Some(id("b")));
    // The number of a message that is gone is not that of the last one.
    refused(db.on_thread(take(second)).await, ErrorKind::Stale);
    db.on_thread(take(first)).await.unwrap();
    refused(db.on_thread(take(first)).await, ErrorKind::Stale);
}

async fn in_batch(rig: Rig) {
    let db = rig.db().await;
    add(&db, "t", "question").await;
    add(&db, "t", "reply").await;
    let again = Add::new(thread_id("t"), said("again", "better"));
    let batched =
        db.batch(Batch::new().with(TakeLastMessage::new(thread_id("t"))).with(again)).await.unwrap();
    assert_eq!(batched.outputs.len(), 2);
    assert_eq!(ids(&everything(&db.thread("t")).await), ["question", "again"]);
    // Refused further on, nothing is taken.
    let taken = Add::new(thread_id("t"), said("question", "x"));
    let refused_item = Batch::new().with(TakeLastMessage::new(thread_id("t"))).with(taken);
    refused(db.batch(refused_item).await, ErrorKind::AlreadyExists);
    assert_eq!(ids(&everything(&db.thread("t")).await), ["question", "again"]);
}

async fn replay(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    for name in ["a", "b"] {
        thread.add(said(name, "text")).await.unwrap();
    }
    let first = thread.take_last().key("k").await.unwrap();
    assert_eq!(first.message.as_ref().map(|message| &message.content), Some(&Content::text("text")));
    let again = thread.take_last().key("k").await.unwrap();
    assert!(again.deduplicated);
    assert_eq!((again.deleted, again.message), (first.deleted, None));
    assert_eq!(ids(&everything(&thread).await), ["a"]);
}

async fn separate(rig: Rig) {
    let db = rig.db().await;
    for number in 0..6 {
        add(&db, "t", &format!("m{number}")).await;
    }
    let thread = db.thread("t");
    let take = || async { thread.take_last().await.unwrap().message.expect("there are enough").id };
    let (a, b, c, d) = tokio::join!(take(), take(), take(), take());
    let mut taken = [a, b, c, d];
    taken.sort_unstable();
    assert_eq!(taken, ["m2", "m3", "m4", "m5"].map(id));
    assert_eq!(ids(&everything(&thread).await), ["m0", "m1"]);
}
