//! A thread whose messages are in many segments of the order is read like any other.

use std::path::Path;

use rusqlite::Connection;
use throughline_core::{
    Content, Effect, ErrorKind, NewMessage, NewReservation, Persistence, Role, Seq, ThreadId, Timestamp,
    messages::{Import, ImportRow, PageFrom, ReadPage, Reserve, Visibility},
    threads::{
        ClearThread, DeleteThread, Generation, GetThread, Keep, PlanPrune, PruneThread, PurgeThread,
        RebuildThread,
    },
};
use throughline_sqlite::SqliteBackend;

/// The positions of a segment: few, so that a thread with many segments is cheap to write.
const SEGMENT: usize = 64;

async fn open_backend(path: &Path) -> SqliteBackend {
    let options = SqliteBackend::builder().segment_positions(SEGMENT as u32);
    options.open(path).await.unwrap()
}

/// Takes this number of positions for another thread.
async fn pass(db: &Persistence, run: &str, positions: usize) {
    let rows: Vec<ImportRow> = (0..positions)
        .map(|n| {
            let id = format!("{run}-{n}").parse().unwrap();
            ImportRow::new(id, Role::User, Content::text("x"), Timestamp::from_micros(0))
        })
        .collect();
    for rows in rows.chunks(Import::MAX_ROWS) {
        db.run(Import::new("noise".parse().unwrap(), rows.to_vec())).await.unwrap();
    }
}

/// Returns a thread of 42 messages, three in each segment.
async fn spread(path: &Path) -> Persistence {
    let db = open(path).await;
    let thread = db.thread("t");
    for n in 1..=42 {
        if n % 3 == 1 {
            pass(&db, &format!("n{n}"), SEGMENT).await;
        }
        thread.add(NewMessage::user(&n.to_string()).with_id(format!("m{n}").parse().unwrap())).await.unwrap();
    }
    db
}

async fn open(path: &Path) -> Persistence {
    Persistence::builder().backend(open_backend(path).await).build().unwrap()
}

async fn seqs(db: &Persistence, from: PageFrom, limit: u32) -> Vec<u64> {
    let page = db.thread("t").page(from, limit).await.unwrap();
    assert_eq!(page.damaged, []);
    page.messages.iter().map(|message| message.seq.get()).collect()
}

/// Returns how many segments the thread has.
fn segments(path: &Path) -> i64 {
    let sql = "SELECT count(*) FROM thread_segments WHERE thread_pk = (SELECT thread_pk FROM threads WHERE thread = 't')";
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn pages_go_from_one_segment_to_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = spread(&path).await;
    assert_eq!(segments(&path), 14);
    assert_eq!(seqs(&db, PageFrom::Start, 100).await, (1..=42).collect::<Vec<_>>());
    for at in 0..=43 {
        for limit in [1, 2, 3, 4, 10] {
            let behind: Vec<u64> = (at + 1..=42).take(limit as usize).collect();
            assert_eq!(seqs(&db, PageFrom::After(Seq::new(at)), limit).await, behind, "after {at}");
            let mut before: Vec<u64> = (1..at.min(43)).rev().take(limit as usize).collect();
            before.reverse();
            assert_eq!(seqs(&db, PageFrom::Before(Seq::new(at)), limit).await, before, "before {at}");
        }
    }
    // Beyond the range of a column.
    assert!(seqs(&db, PageFrom::After(Seq::new(u64::MAX)), 3).await.is_empty());
    assert_eq!(seqs(&db, PageFrom::Before(Seq::new(u64::MAX)), 2).await, [41, 42]);
    // The thread continues after its last message, also for a new connection, and after its last messages were deleted.
    for n in 37..=42 {
        db.thread("t").delete(format!("m{n}").parse().unwrap()).await.unwrap();
    }
    db.close().await.unwrap();
    let db = open(&path).await;
    assert_eq!(seqs(&db, PageFrom::End, 2).await, [35, 36]);
    let added = db.thread("t").add(NewMessage::user("on")).await.unwrap();
    assert_eq!(added.message.seq, Seq::new(43));
    assert_eq!(seqs(&db, PageFrom::End, 2).await, [36, 43]);
    db.close().await.unwrap();
}

/// A store that is opened with longer segments must not put the next message before the existing ones.
#[tokio::test]
async fn segments_continue_after_those_of_another_length() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    for positions in [1, 4096, 2, 1] {
        let backend = SqliteBackend::builder().segment_positions(positions).open(&path).await.unwrap();
        let db = Persistence::builder().backend(backend).build().unwrap();
        for _ in 0..3 {
            db.thread("t").add(NewMessage::user("x")).await.unwrap();
        }
        db.close().await.unwrap();
    }
    let backend = open_backend(&path).await;
    assert_eq!(backend.maintenance().verify().await.unwrap().damaged, []);
    let db = Persistence::builder().backend(backend).build().unwrap();
    assert_eq!(seqs(&db, PageFrom::Start, 100).await, (1..=12).collect::<Vec<_>>());
    assert_eq!(seqs(&db, PageFrom::Before(Seq::new(6)), 3).await, [3, 4, 5]);
    db.close().await.unwrap();
}

#[tokio::test]
async fn removed_messages_remove_their_segments() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = spread(&path).await;
    let thread = || "t".parse().unwrap();
    let plan = db.read(PlanPrune { thread: thread(), keep: Keep::everything().messages(32) }).await.unwrap();
    assert_eq!((plan.through, plan.messages), (Some(Seq::new(10)), 10));
    let prune =
        PruneThread { thread: thread(), through: Seq::new(10), generation: Generation::FIRST, limit: 8 };
    let pruned = db.on_thread(prune.clone()).await.unwrap();
    assert_eq!((pruned.messages, pruned.more), (8, true));
    // The third of them, with the sequence numbers 7 to 9, still has one.
    assert_eq!(segments(&path), 12);
    assert_eq!(seqs(&db, PageFrom::Start, 3).await, [9, 10, 11]);
    assert_eq!(db.on_thread(prune).await.unwrap().messages, 2);
    assert_eq!(segments(&path), 11);
    db.on_thread(ClearThread::new(thread())).await.unwrap();
    assert!(seqs(&db, PageFrom::Start, 3).await.is_empty());
    let purged = db.on_thread(PurgeThread { thread: thread(), limit: 100 }).await.unwrap();
    assert_eq!((purged.messages, purged.more), (32, false));
    assert_eq!(segments(&path), 1);
    let added = db.thread("t").add(NewMessage::user("next")).await.unwrap();
    assert_eq!(added.message.seq, Seq::new(43));
    assert_eq!(seqs(&db, PageFrom::Start, 3).await, [43]);
    db.close().await.unwrap();
    let backend = open_backend(&path).await;
    assert_eq!(backend.maintenance().verify().await.unwrap().damaged, []);
}

#[tokio::test]
async fn cleared_messages_are_erased_after_later_ones_were_pruned() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let (db, thread) = (spread(&path).await, || "t".parse().unwrap());
    db.on_thread(ClearThread::new(thread())).await.unwrap();
    for n in 43..=45 {
        pass(&db, &format!("n{n}"), SEGMENT).await;
        db.thread("t").add(NewMessage::user("next")).await.unwrap();
    }
    let (through, generation) = (Seq::new(44), Generation::new(2));
    let pruned = db.on_thread(PruneThread { thread: thread(), through, generation, limit: 9 }).await.unwrap();
    assert_eq!(pruned.messages, 2);
    assert_eq!(segments(&path), 15, "those of the cleared messages, and the last one");
    let purged = db.on_thread(PurgeThread { thread: thread(), limit: 100 }).await.unwrap();
    assert_eq!((purged.messages, purged.more), (42, false));
    assert_eq!(segments(&path), 1);
    db.close().await.unwrap();
    let backend = open_backend(&path).await;
    assert_eq!(backend.maintenance().verify().await.unwrap().damaged, []);
}

#[tokio::test]
async fn messages_deleted_one_by_one_remove_their_segments() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = spread(&path).await;
    for n in (1..=42).rev() {
        db.thread("t").delete(format!("m{n}").parse().unwrap()).await.unwrap();
    }
    // The last one defines where the thread continues.
    assert_eq!(segments(&path), 1);
    assert_eq!(db.thread("t").add(NewMessage::user("on")).await.unwrap().message.seq, Seq::new(43));
    assert_eq!(seqs(&db, PageFrom::Start, 3).await, [43]);
    db.close().await.unwrap();
}

/// The second segment of the thread, with the sequence numbers 4 to 6, points to another segment number.
const DAMAGE: &str = "UPDATE thread_segments SET segment = segment + 9000 WHERE first_seq = 4 \
    AND thread_pk = (SELECT thread_pk FROM threads WHERE thread = 't')";
/// The last one does.
const DAMAGE_OF_THE_LAST: &str = "UPDATE thread_segments SET segment = segment + 9000 WHERE first_seq = 40 \
    AND thread_pk = (SELECT thread_pk FROM threads WHERE thread = 't')";

/// Returns a spread thread that was damaged and opened again.
async fn damaged(path: &Path, sql: &str) -> Persistence {
    spread(path).await.close().await.unwrap();
    assert_eq!(Connection::open(path).unwrap().execute(sql, []).unwrap(), 1);
    open(path).await
}

fn is_damage<T: std::fmt::Debug>(answer: throughline_core::Result<T>) {
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied), "{error}");
}

#[tokio::test]
async fn messages_lost_by_a_damaged_segment_are_reported_and_found_after_a_rebuild() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = damaged(&path, DAMAGE).await;
    let (thread, t) = (db.thread("t"), || "t".parse::<ThreadId>().unwrap());
    // On every page that would show them. The beginning of the segment is unknown, so no page before it is complete
    // either.
    for from in [PageFrom::Start, PageFrom::After(Seq::new(5)), PageFrom::Before(Seq::new(7))] {
        is_damage(thread.page(from, 10).await);
    }
    is_damage(thread.page(PageFrom::Start, 2).await);
    assert_eq!(seqs(&db, PageFrom::After(Seq::new(6)), 3).await, [7, 8, 9]);
    assert_eq!(seqs(&db, PageFrom::End, 2).await, [41, 42]);
    is_damage(db.read(PlanPrune { thread: t(), keep: Keep::everything().messages(2) }).await);
    let (through, generation) = (Seq::new(6), Generation::FIRST);
    is_damage(db.on_thread(PruneThread { thread: t(), through, generation, limit: 9 }).await);
    assert_eq!(thread.add(NewMessage::user("on")).await.unwrap().message.seq, Seq::new(43));
    db.on_thread(RebuildThread { thread: t() }).await.unwrap();
    assert_eq!(seqs(&db, PageFrom::Start, 100).await, (1..=43).collect::<Vec<_>>());
    db.close().await.unwrap();
    let backend = open_backend(&path).await;
    assert_eq!(backend.maintenance().verify().await.unwrap().damaged, []);
}

#[tokio::test]
async fn a_thread_with_an_unknown_end_refuses_writes_until_a_rebuild() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = damaged(&path, DAMAGE_OF_THE_LAST).await;
    let (thread, t) = (db.thread("t"), || "t".parse::<ThreadId>().unwrap());
    is_damage(thread.page(PageFrom::End, 2).await);
    is_damage(thread.add(NewMessage::user("on")).await);
    is_damage(db.run(Reserve::new(t(), NewReservation::new(Role::Assistant))).await);
    let row = ImportRow::new("i".parse().unwrap(), Role::User, Content::text("x"), Timestamp::from_micros(0));
    is_damage(db.run(Import::new(t(), vec![row])).await);
    is_damage(db.on_thread(ClearThread::new(t())).await);
    assert!(thread.get("m41".parse().unwrap()).await.unwrap().is_some());
    db.on_thread(RebuildThread { thread: t() }).await.unwrap();
    let added = thread.add(NewMessage::user("on")).await.unwrap();
    assert_eq!(added.message.seq, Seq::new(43));
    assert_eq!(seqs(&db, PageFrom::End, 3).await, [41, 42, 43]);
    db.close().await.unwrap();
}

#[tokio::test]
async fn missing_or_misdirected_segments_are_reported_and_repaired() {
    const OF_T: &str = "thread_pk = (SELECT thread_pk FROM threads WHERE thread = 't')";
    let directory = tempfile::tempdir().unwrap();
    let whole = directory.path().join("whole");
    spread(&whole).await.close().await.unwrap();
    for (name, change, lost) in [
        ("first", "DELETE FROM thread_segments WHERE first_seq = 1", 2),
        ("middle", "DELETE FROM thread_segments WHERE first_seq = 4", 5),
        ("last", "DELETE FROM thread_segments WHERE first_seq = 40", 41),
        ("all", "DELETE FROM thread_segments WHERE first_seq > 0", 20),
        ("behind others", "UPDATE thread_segments SET first_seq = 79 WHERE first_seq = 13", 14),
        ("before others", "UPDATE thread_segments SET first_seq = 2 WHERE first_seq = 13", 14),
        // A bit that is 0: without the check the next sequence number would be used twice.
        ("the last before others", "UPDATE thread_segments SET first_seq = 32 WHERE first_seq = 40", 41),
    ] {
        let path = directory.path().join(name);
        std::fs::copy(&whole, &path).unwrap();
        Connection::open(&path).unwrap().execute(&format!("{change} AND {OF_T}"), []).unwrap();
        let db = open(&path).await;
        let thread = db.thread("t");
        is_damage(thread.page(PageFrom::After(Seq::new(lost - 1)), 1).await);
        is_damage(thread.page(PageFrom::Before(Seq::new(lost + 1)), 1).await);
        is_damage(thread.page(PageFrom::Start, 100).await);
        if lost > 40 || name == "all" || name == "behind others" {
            is_damage(thread.add(NewMessage::user("on")).await);
        }
        db.close().await.unwrap();
        let backend = open_backend(&path).await;
        assert!(!backend.maintenance().verify().await.unwrap().is_sound(), "{name}");
        let db = Persistence::builder().backend(backend).build().unwrap();
        db.on_thread(RebuildThread { thread: "t".parse().unwrap() }).await.unwrap();
        assert_eq!(seqs(&db, PageFrom::Start, 100).await, (1..=42).collect::<Vec<_>>(), "{name}");
        assert_eq!(db.thread("t").add(NewMessage::user("on")).await.unwrap().message.seq, Seq::new(43));
        db.close().await.unwrap();
        let backend = open_backend(&path).await;
        assert_eq!(backend.maintenance().verify().await.unwrap().damaged, [], "{name}");
    }
}

#[tokio::test]
async fn contradicting_messages_are_repaired_into_one_segment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let elsewhere = "UPDATE messages SET segment = segment + 1 WHERE message_id = 'm5'";
    let db = damaged(&path, elsewhere).await;
    db.on_thread(RebuildThread { thread: "t".parse().unwrap() }).await.unwrap();
    assert_eq!(segments(&path), 1);
    assert_eq!(seqs(&db, PageFrom::Start, 100).await, (1..=42).collect::<Vec<_>>());
    assert_eq!(seqs(&db, PageFrom::Before(Seq::new(40)), 2).await, [38, 39]);
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_segment_that_became_empty_while_it_was_the_last_one_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = open(&path).await;
    for n in 1..=5 {
        let id = || format!("m{n}").parse().unwrap();
        db.thread("t").add(NewMessage::user("x").with_id(id())).await.unwrap();
        db.thread("t").delete(id()).await.unwrap();
        assert_eq!(segments(&path), 1);
        pass(&db, &format!("n{n}"), SEGMENT).await;
    }
    assert_eq!(db.thread("t").add(NewMessage::user("on")).await.unwrap().message.seq, Seq::new(6));
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_thread_can_be_deleted_and_is_erased_completely() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    for sql in [DAMAGE, DAMAGE_OF_THE_LAST] {
        let path = directory.path().join(format!("{}.db", sql.len()));
        let db = damaged(&path, sql).await;
        db.on_thread(DeleteThread { thread: "t".parse().unwrap() }).await.unwrap();
        let purged = db.on_thread(PurgeThread { thread: "t".parse().unwrap(), limit: 100 }).await.unwrap();
        assert_eq!((purged.messages, purged.more), (42, false), "{sql}");
        db.close().await.unwrap();
        let backend = open_backend(&path).await;
        assert_eq!(backend.maintenance().verify().await.unwrap().damaged, [], "{sql}");
    }
    // Damaged between the two: after a clear, before its rows are erased.
    let db = spread(&path).await;
    db.on_thread(ClearThread::new("t".parse().unwrap())).await.unwrap();
    db.close().await.unwrap();
    assert_eq!(Connection::open(&path).unwrap().execute(DAMAGE, []).unwrap(), 1);
    let db = open(&path).await;
    let purged = db.on_thread(PurgeThread { thread: "t".parse().unwrap(), limit: 100 }).await.unwrap();
    assert_eq!((purged.messages, purged.more), (42, false));
    db.close().await.unwrap();
    let backend = open_backend(&path).await;
    assert_eq!(backend.maintenance().verify().await.unwrap().damaged, []);
}

#[tokio::test]
async fn a_refused_purge_repairs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = spread(&path).await;
    let t = || "t".parse::<ThreadId>().unwrap();
    db.on_thread(DeleteThread { thread: t() }).await.unwrap();
    db.close().await.unwrap();
    let attachments = "UPDATE messages SET attachments = 'x' WHERE message_id = 'm5'";
    for damage in [DAMAGE, attachments] {
        assert_eq!(Connection::open(&path).unwrap().execute(damage, []).unwrap(), 1);
    }
    let before = segments(&path);
    let db = open(&path).await;
    is_damage(db.on_thread(PurgeThread { thread: t(), limit: 100 }).await);
    // Written in the same commit as another message, or not.
    db.thread("other").add(NewMessage::user("x")).await.unwrap();
    assert_eq!(segments(&path), before);
    let misdirected = "SELECT count(*) FROM thread_segments WHERE segment > 9000";
    let found: i64 = Connection::open(&path).unwrap().query_row(misdirected, [], |row| row.get(0)).unwrap();
    assert_eq!(found, 1);
    db.close().await.unwrap();
}

#[tokio::test]
async fn counts_include_all_segments() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = spread(&path).await;
    let entry = async || db.read(GetThread { thread: "t".parse().unwrap() }).await.unwrap().unwrap();
    let before = entry().await;
    assert_eq!((before.messages, before.preview.as_deref()), (42, Some("42")));
    db.on_thread(RebuildThread { thread: "t".parse().unwrap() }).await.unwrap();
    assert_eq!(entry().await, before);
    // After the last prompt is deleted, the preview shows the one before it, in any segment.
    for n in 40..=42 {
        db.thread("t").delete(format!("m{n}").parse().unwrap()).await.unwrap();
    }
    let left = entry().await;
    assert_eq!((left.messages, left.preview.as_deref()), (39, Some("39")));
    // An open message ends a settled page, in any segment.
    pass(&db, "more", SEGMENT).await;
    db.run(Reserve::new("t".parse().unwrap(), NewReservation::new(Role::Assistant))).await.unwrap();
    pass(&db, "yet", SEGMENT).await;
    db.thread("t").add(NewMessage::user("behind")).await.unwrap();
    let page = db.thread("t").page(PageFrom::After(Seq::new(38)), 10).await.unwrap();
    assert_eq!(page.first_open, Some(Seq::new(43)));
    assert_eq!(seqs(&db, PageFrom::After(Seq::new(38)), 10).await, [39, 43, 44]);
    let from = PageFrom::After(Seq::new(38));
    let settled =
        ReadPage { visibility: Visibility::Settled, ..ReadPage::new("t".parse().unwrap(), from, 10) };
    let shown = db.read(settled).await.unwrap();
    assert_eq!(shown.messages.iter().map(|message| message.seq.get()).collect::<Vec<_>>(), [39]);
    db.close().await.unwrap();
}
