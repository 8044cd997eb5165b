//! Damage in a list: it is named once and hides no other row, for all page sizes.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicI64, Ordering},
};

use rusqlite::Connection;
use tempfile::TempDir;
use throughline_core::{
    Effect, ErrorKind, NewMessage, NewReservation, Persistence, Role, Seq, ThreadId, Timestamp,
    messages::{DamagedMessage, ListOpen, PageFrom, Reserve},
    threads::{LabelPatch, ListPurgeable, ListThreads, ThreadOrder},
};
use throughline_sqlite::SqliteBackend;

const THREADS: usize = 30;
const LIMITS: [u32; 6] = [1, 2, 3, 10, 29, 1000];

async fn open(path: &Path) -> Persistence {
    Persistence::builder().backend(SqliteBackend::open(path).await.unwrap()).build().unwrap()
}

fn name(n: usize) -> String {
    format!("t{n:02}")
}

/// Returns the threads `t00` to `t29`, whose numbers in the file are one greater. Each is `step` microseconds later
/// than the one before it. Every third is archived, and every second has a label.
async fn store(step: i64) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let now = std::sync::Arc::new(AtomicI64::new(1_700_000_000_000_000));
    let clock = {
        let now = now.clone();
        move || Timestamp::from_micros(now.load(Ordering::Relaxed))
    };
    let backend = SqliteBackend::open(&path).await.unwrap();
    let db = Persistence::builder().clock(clock).backend(backend).build().unwrap();
    for n in 0..THREADS {
        let thread = db.thread(name(n));
        thread.add(NewMessage::user("x")).await.unwrap();
        if n.is_multiple_of(2) {
            let labels = LabelPatch::new().set("k", "v").unwrap();
            thread.label(labels).await.unwrap();
        }
        if n.is_multiple_of(3) {
            thread.archive(true).await.unwrap();
        }
        now.fetch_add(step, Ordering::Relaxed);
    }
    db.close().await.unwrap();
    (directory, path)
}

fn execute(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// Changes rows but not their indexes, as a bit that flips on the disk does.
fn damage_rows(path: &Path, indexes: &[&str], sql: &str) {
    type Index = (String, i64, String);
    const WRITABLE: &str = "PRAGMA writable_schema = ON";
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(WRITABLE).unwrap();
    let taken: Vec<Index> = indexes
        .iter()
        .map(|index| {
            let taken = "DELETE FROM sqlite_schema WHERE name = ?1 RETURNING tbl_name, rootpage, sql";
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
            connection.query_row(taken, [index], read).unwrap()
        })
        .collect();
    drop(connection);
    assert_eq!(Connection::open(path).unwrap().execute(sql, []).unwrap(), 1, "{sql}");
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(WRITABLE).unwrap();
    for (index, (table, page, sql)) in indexes.iter().zip(taken) {
        let back = "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('index', ?1, ?2, ?3, ?4)";
        connection.execute(back, (index, table, page, sql)).unwrap();
    }
}

/// Returns the threads of a complete walk over a list, and those that it reports as damaged.
async fn walk(db: &Persistence, list: &ListThreads) -> (Vec<String>, Vec<String>) {
    let (mut seen, mut damaged, mut list) = (Vec::new(), Vec::new(), list.clone());
    for _ in 0..=THREADS {
        let page = db.threads(list.clone()).await.unwrap();
        assert!(page.threads.len() <= list.limit as usize);
        seen.extend(page.threads.iter().map(|entry| entry.thread.to_string()));
        damaged.extend(page.damaged.iter().map(ThreadId::to_string));
        match page.next {
            Some(next) => list = list.after(next),
            None => return (seen, damaged),
        }
    }
    unreachable!("a list of {THREADS} threads has no more pages")
}

/// Expects that each list shows each of its threads once and in order, except these, which it names.
async fn others_are_shown(path: &Path, step: i64, label: &str, damaged: &[(usize, &str)]) {
    let db = open(path).await;
    let mut labels = throughline_core::Labels::new();
    labels.set("k".parse().unwrap(), "v".parse().unwrap());
    type Shows = fn(usize) -> bool;
    let lists: [(ListThreads, Shows); 4] = [
        (ListThreads::new(1), |n| !n.is_multiple_of(3)),
        (ListThreads::new(1).archived(), |n| n.is_multiple_of(3)),
        (ListThreads::new(1).archived_too(), |_| true),
        (ListThreads::new(1).archived_too().with_labels(labels), |n| n.is_multiple_of(2)),
    ];
    let lists = lists
        .into_iter()
        .flat_map(|(list, shows)| ThreadOrder::ALL.map(|order| (list.clone().ordered_by(order), shows)));
    for (list, shows) in lists {
        let is_damaged = |n: &usize| damaged.iter().any(|(damaged, _)| damaged == n);
        let mut healthy: Vec<_> = (0..THREADS).filter(|n| shows(*n) && !is_damaged(n)).map(name).collect();
        match list.order {
            ThreadOrder::LatestActivity if step == 0 => {}
            ThreadOrder::LatestActivity | ThreadOrder::NewestCreated => healthy.reverse(),
            ThreadOrder::OldestCreated => {}
        }
        let mut named: Vec<_> =
            damaged.iter().filter(|(n, _)| shows(*n)).map(|(_, name)| (*name).to_owned()).collect();
        named.sort();
        for limit in LIMITS {
            let (seen, mut met) = walk(&db, &ListThreads { limit, ..list.clone() }).await;
            met.sort();
            assert_eq!((&seen, &met), (&healthy, &named), "{label}, step {step}, {limit} of {list:?}");
        }
    }
    db.close().await.unwrap();
}

/// Damages a copy of a store for each step between its threads: one second, so that each has a slot of its own, one
/// millisecond, and none, so that the order is that of their names.
async fn each_is_isolated(damages: &[(&str, &[(usize, &str)])]) {
    for step in [1_000_000, 1_000, 0] {
        let (directory, path) = store(step).await;
        for (at, (sql, damaged)) in damages.iter().enumerate() {
            let copy = directory.path().join(format!("{at}.db"));
            std::fs::copy(&path, &copy).unwrap();
            execute(&copy, sql);
            others_are_shown(&copy, step, sql, damaged).await;
        }
    }
}

#[tokio::test]
async fn a_damaged_time_does_not_end_a_list_or_a_page() {
    each_is_isolated(&[
        ("SELECT 1", &[]),
        ("UPDATE catalog SET active_at = active_at | (1 << 55) WHERE thread_pk = 15", &[(14, "t14")]),
        ("UPDATE catalog SET active_at = active_at & ~(1 << 50) WHERE thread_pk = 15", &[(14, "t14")]),
        ("UPDATE catalog SET active_at = active_at & ~(1 << 50) WHERE thread_pk IN (24, 25)", &[
            (23, "t23"),
            (24, "t24"),
        ]),
        ("UPDATE catalog SET active_at = -active_at WHERE thread_pk IN (1, 2, 30)", &[
            (0, "t00"),
            (1, "t01"),
            (29, "t29"),
        ]),
        // Still in its slot.
        ("UPDATE catalog SET active_at = active_at / 16384 * 16384 + (active_at + 1) % 16384 WHERE thread_pk = 8", &[
            (7, "t07"),
        ]),
        ("UPDATE catalog SET title = 'other' WHERE thread_pk IN (3, 4)", &[(2, "t02"), (3, "t03")]),
    ])
    .await;
}

#[tokio::test]
async fn a_damaged_creation_does_not_end_a_list_or_a_page() {
    each_is_isolated(&[
        ("UPDATE catalog SET created_at = created_at | (1 << 55) WHERE thread_pk = 15", &[(14, "t14")]),
        (
            "UPDATE catalog SET created_at = -created_at WHERE thread_pk IN (1, 2, 30)",
            &[(0, "t00"), (1, "t01"), (29, "t29")],
        ),
        ("UPDATE catalog SET created_at = created_at + 1 WHERE thread_pk = 8", &[(7, "t07")]),
        // The copy of the id.
        ("UPDATE catalog SET thread = 'u' WHERE thread_pk IN (7, 8)", &[(6, "t06"), (7, "t07")]),
        ("UPDATE catalog SET thread = '' WHERE thread_pk = 1", &[(0, "t00")]),
        (
            "UPDATE catalog SET thread = char(1) WHERE thread_pk BETWEEN 11 AND 14",
            &[(10, "t10"), (11, "t11"), (12, "t12"), (13, "t13")],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_damaged_slot_does_not_end_a_list_or_a_page() {
    each_is_isolated(&[
        ("UPDATE catalog SET active_slot = active_slot + 64 WHERE thread_pk = 15", &[(14, "t14")]),
        (
            "UPDATE catalog SET active_slot = active_slot & ~(1 << 36) WHERE thread_pk IN (24, 25)",
            &[(23, "t23"), (24, "t24")],
        ),
        // Later than any time, and earlier.
        (
            "UPDATE catalog SET active_slot = active_slot | (1 << 55) WHERE thread_pk IN (14, 15, 16)",
            &[(13, "t13"), (14, "t14"), (15, "t15")],
        ),
        (
            "UPDATE catalog SET active_slot = active_slot | (1 << 63) WHERE thread_pk IN (14, 15, 16)",
            &[(13, "t13"), (14, "t14"), (15, "t15")],
        ),
        ("UPDATE catalog SET active_slot = 9223372036854775807 WHERE thread_pk = 15", &[(14, "t14")]),
    ])
    .await;
}

/// The cost of a page is bounded, however many of its rows are damaged.
#[tokio::test]
async fn damaged_entries_fill_a_page() {
    let (_directory, path) = store(1_000_000).await;
    execute(&path, "UPDATE catalog SET active_at = -active_at");
    let db = open(&path).await;
    let (mut list, mut last) = (ListThreads::new(7).archived_too(), THREADS);
    while last > 0 {
        let page = db.threads(list.clone()).await.unwrap();
        let first = last.saturating_sub(7);
        let damaged: Vec<_> = page.damaged.iter().map(ThreadId::to_string).collect();
        assert_eq!((page.threads.len(), damaged), (0, (first..last).rev().map(name).collect()));
        last = first;
        assert_eq!(page.next.is_some(), last > 0);
        list.after = page.next;
    }
}

#[tokio::test]
async fn a_thread_with_a_damaged_name_is_listed_as_damaged() {
    each_is_isolated(&[
        ("UPDATE threads SET thread = char(1) || 'x' WHERE thread_pk = 15", &[(14, "?")]),
        ("UPDATE threads SET thread = CAST(x'74ff' AS TEXT) WHERE thread_pk = 30", &[(29, "?")]),
        ("UPDATE threads SET thread = '' WHERE thread_pk = 1", &[(0, "?")]),
        (
            "UPDATE threads SET thread = char(thread_pk) WHERE thread_pk BETWEEN 11 AND 20",
            &[
                (10, "?"),
                (11, "?"),
                (12, "?"),
                (13, "?"),
                (14, "?"),
                (15, "?"),
                (16, "?"),
                (17, "?"),
                (18, "?"),
                (19, "?"),
            ],
        ),
        // Another name, which is not that of the row.
        ("UPDATE threads SET thread = 'u14' WHERE thread_pk = 15", &[(14, "u14")]),
    ])
    .await;
}

/// A blob sorts after every text, and so after the cursor that it would be.
#[tokio::test]
async fn a_list_continues_after_a_name_that_is_a_blob() {
    let damage = |path: &Path, which: &str| {
        let change = |from: &str, to: &str| {
            let schema = format!("sql = replace(sql, '{from}', '{to}') WHERE name = 'threads'");
            execute(path, &format!("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET {schema}"));
        };
        change(") STRICT", ") ");
        execute(path, &format!("UPDATE threads SET thread = CAST(thread AS BLOB) WHERE {which}"));
        change(") ", ") STRICT");
    };
    let (_directory, path) = store(0).await;
    damage(&path, "thread_pk IN (5, 14, 15)");
    others_are_shown(&path, 0, "a blob", &[]).await;

    let (_directory, path, db) = reserved().await;
    db.close().await.unwrap();
    damage(&path, "thread IN ('b', 'f')");
    let db = open(&path).await;
    for limit in 1..5 {
        others_are_open(&db, limit, &[]).await;
    }
}

#[tokio::test]
async fn a_row_that_differs_from_the_index_is_listed_at_the_position_in_the_index() {
    for (sql, damaged) in [
        ("UPDATE catalog SET active_at = active_at & ~(1 << 50) WHERE thread_pk = 15", &[(14, "t14")][..]),
        // No query reads it in the row, and the index has the right value.
        ("UPDATE catalog SET active_slot = 0 WHERE thread_pk = 14", &[]),
    ] {
        let (_directory, path) = store(1_000_000).await;
        damage_rows(&path, &["catalog_by_activity"], sql);
        let db = open(&path).await;
        for limit in LIMITS {
            let (seen, met) = walk(&db, &ListThreads::new(limit)).await;
            let shown = |n: &usize| !n.is_multiple_of(3) && damaged.iter().all(|(damaged, _)| damaged != n);
            let healthy: Vec<_> = (0..THREADS).rev().filter(shown).map(name).collect();
            let damaged: Vec<_> = damaged.iter().map(|(_, name)| *name).collect();
            assert_eq!((seen, met.iter().map(String::as_str).collect()), (healthy, damaged), "{sql}");
        }
    }
}

#[tokio::test]
async fn purgeable_threads_are_listed_despite_an_unreadable_name() {
    let (_directory, path) = store(0).await;
    let db = open(&path).await;
    for n in 10..20 {
        db.thread(name(n)).clear().await.unwrap();
    }
    execute(
        &path,
        "UPDATE threads SET thread = iif(thread_pk = 11, '', 't1' || char(thread_pk)) WHERE thread_pk IN (11, 15, 16)",
    );
    for limit in LIMITS {
        let (mut seen, mut after) = (Vec::new(), None);
        let error = loop {
            match db.read(ListPurgeable { after: after.clone(), limit }).await {
                Ok(list) => {
                    seen.extend(list.threads.iter().map(ThreadId::to_string));
                    after = Some(list.threads.last().unwrap().clone());
                }
                Err(error) => break error,
            }
        };
        assert_eq!(seen, [11, 12, 13, 16, 17, 18, 19].map(name), "{limit}");
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied));
    }
    // The purge frees what it can, and reports that this is not all.
    assert_eq!(db.purge().await.unwrap_err().kind(), ErrorKind::Corrupt);
    let left = "SELECT count(*) FROM messages WHERE seq IS NOT NULL AND thread_pk BETWEEN 11 AND 20";
    let left: i64 = Connection::open(&path).unwrap().query_row(left, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 3);
}

/// Returns two open messages in each of the threads `a` to `f`, with the ids `a1`, `a2` and so on.
async fn reserved() -> (TempDir, PathBuf, Persistence) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let db = open(&path).await;
    for thread in ["a", "b", "c", "d", "e", "f"] {
        for n in 1..=2 {
            let id = format!("{thread}{n}").parse().unwrap();
            let reservation = NewReservation::new(Role::Assistant).with_id(id);
            db.run(Reserve::new(thread.parse().unwrap(), reservation)).await.unwrap();
        }
    }
    (directory, path, db)
}

fn damaged(thread: &str, id: &str, seq: u64) -> DamagedMessage {
    let (thread, id) = (thread.parse().unwrap(), id.parse().unwrap());
    DamagedMessage { thread, seq: Some(Seq::new(seq)), id: Some(id) }
}

/// Expects that the list shows each open message once and in order, except these, which it names.
async fn others_are_open(db: &Persistence, limit: u32, damaged: &[DamagedMessage]) {
    let (mut seen, mut met, mut after) = (Vec::new(), Vec::new(), None);
    for _ in 0..=12 {
        let page = db.read(ListOpen { after, ..ListOpen::new(limit) }).await.unwrap();
        assert!(page.messages.len() <= limit as usize);
        assert!(page.damaged.is_sorted());
        seen.extend(page.messages.iter().map(|message| message.id.to_string()));
        met.extend(page.damaged);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let all =
        ["a", "b", "c", "d", "e", "f"].into_iter().flat_map(|thread| [1, 2].map(|n| format!("{thread}{n}")));
    let is_damaged = |id: &str| damaged.iter().any(|row| row.id.as_ref().unwrap().as_str() == id);
    met.sort();
    assert_eq!((seen, &met[..]), (all.filter(|id| !is_damaged(id)).collect(), damaged), "{limit}");
}

#[tokio::test]
async fn open_messages_of_a_thread_without_a_name_do_not_hide_others() {
    for (sql, met) in [
        // Before all the others, among them, and after them.
        ("UPDATE threads SET thread = char(1) || thread WHERE thread = 'c'", &["c"][..]),
        ("UPDATE threads SET thread = thread || char(1) WHERE thread IN ('c', 'd')", &["c", "d"]),
        (
            "UPDATE threads SET thread = CAST(x'ff' AS TEXT) || thread WHERE thread IN ('a', 'b', 'd')",
            &["a", "b", "d"],
        ),
    ] {
        let (_directory, path, db) = reserved().await;
        execute(&path, sql);
        let mut met: Vec<_> =
            met.iter().flat_map(|thread| [1, 2].map(|n| damaged("?", &format!("{thread}{n}"), n))).collect();
        met.sort();
        for limit in [1, 2, 3, 4, 5, 8, 11, 12, 100] {
            others_are_open(&db, limit, &met).await;
        }
    }
}

#[tokio::test]
async fn a_damaged_sequence_number_removes_no_message_from_a_page() {
    let indexes = ["messages_open", "messages_in_order"];
    for seq in [0, 2, 99, -1] {
        let (_directory, path, db) = reserved().await;
        db.close().await.unwrap();
        damage_rows(&path, &indexes, &format!("UPDATE messages SET seq = {seq} WHERE message_id = 'c1'"));
        let db = open(&path).await;
        for limit in [1, 2, 3, 4, 5, 8, 11, 12, 100] {
            others_are_open(&db, limit, &[damaged("c", "c1", 1)]).await;
        }
        let first = db.thread("c").page(PageFrom::Start, 1).await.unwrap();
        assert_eq!((first.messages.len(), &first.damaged[..]), (0, &[damaged("c", "c1", 1)][..]));
        let rest = db.thread("c").page(first.next(PageFrom::Start).unwrap(), 1).await.unwrap();
        assert_eq!((rest.messages[0].id.as_str(), rest.damaged.len(), rest.has_more), ("c2", 0, false));
    }
}
