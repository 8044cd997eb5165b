//! Stores with content, and helpers for copies.

use std::{ops::Range, path::Path};

use throughline::{
    Content, Delta, NewMessage, NewReservation, Persistence, Position, Role, Timestamp,
    changes::MoveCursor,
    memory::MemoryBackend,
    messages::{ContentChange, Import, ImportRow, PageFrom, Reserve, UpdateContent, UpdateMode},
    mirror::{Comparison, Mirror, MirrorState, compare},
    replication::GetReplicationStatus,
    sqlite::SqliteBackend,
};

pub(crate) fn memory(name: &str) -> Persistence {
    Persistence::builder().backend(MemoryBackend::new().with_name(name)).build().unwrap()
}

pub(crate) async fn sqlite(path: &Path) -> Persistence {
    // Short segments, so that a copy spans several of them.
    let backend = SqliteBackend::builder().segment_positions(7).open(path).await.unwrap();
    Persistence::builder().backend(backend).build().unwrap()
}

/// Adds `messages` messages to each of `threads` threads, with deletions, open messages and a cursor.
pub(crate) async fn fill(db: &Persistence, threads: usize, messages: usize) {
    for thread in 0..threads {
        let thread = db.thread(format!("t{thread}"));
        for n in 0..messages {
            let message = NewMessage::user(&format!("text {n}")).with_id(format!("m{n}").parse().unwrap());
            thread.add(message).key(format!("k{n}").as_str()).await.unwrap();
        }
        thread.delete("m0".parse().unwrap()).await.unwrap();
        reserve(db, thread.id().unwrap().as_str(), "open").await;
        append(db, thread.id().unwrap().as_str(), "open", "Hel", UpdateMode::Partial).await;
    }
    db.on_consumer(MoveCursor::new("index".parse().unwrap(), Position::new(5))).await.unwrap();
}

/// Copies into a store that is opened again in each round, as by another process, and ends each round after 500 row images.
/// Returns the number of copied images once the stores are equal.
pub(crate) async fn copy_in_rounds<F>(from: &Persistence, open: impl Fn() -> F) -> u64
where
    F: Future<Output = Persistence>,
{
    let mut copied = 0;
    for round in 0_u64.. {
        let to = open().await;
        let mirror = Mirror::start(from.clone(), to.clone()).await.unwrap();
        let is_equal = || matches!(mirror.status().state, MirrorState::Replicating);
        while mirror.status().images < 500 && !is_equal() {
            tokio::task::yield_now().await;
        }
        let is_done = is_equal();
        copied += mirror.status().images;
        drop(mirror);
        to.close().await.unwrap();
        if is_done {
            assert!(round > 1, "the copy was complete after {round} rounds");
            break;
        }
    }
    copied
}

/// Imports messages with these numbers into a thread.
pub(crate) async fn import(db: &Persistence, thread: &str, numbers: Range<usize>) {
    let numbers: Vec<usize> = numbers.collect();
    for numbers in numbers.chunks(Import::MAX_ROWS) {
        let row = |n: &usize| {
            let (id, at) = (format!("m{n}").parse().unwrap(), Timestamp::from_micros(*n as i64));
            ImportRow::new(id, Role::User, Content::text(&format!("text {n}")), at)
        };
        let rows = numbers.iter().map(row).collect();
        db.run(Import::new(thread.parse().unwrap(), rows)).await.unwrap();
    }
}

pub(crate) async fn reserve(db: &Persistence, thread: &str, id: &str) {
    let reservation = NewReservation::new(Role::Assistant).with_id(id.parse().unwrap());
    db.run(Reserve::new(thread.parse().unwrap(), reservation)).await.unwrap();
}

pub(crate) async fn append(db: &Persistence, thread: &str, id: &str, text: &str, mode: UpdateMode) {
    let change = ContentChange::Append(Delta::text(text));
    let update = UpdateContent::new(thread.parse().unwrap(), id.parse().unwrap(), change, mode);
    db.run(update).await.unwrap();
}

pub(crate) async fn position(db: &Persistence) -> Position {
    db.read(GetReplicationStatus {}).await.unwrap().position
}

/// Starts a mirror, and waits until the copy is current.
pub(crate) async fn copy(from: &Persistence, to: &Persistence) -> Mirror {
    let mirror = Mirror::start(from.clone(), to.clone()).await.unwrap();
    assert!(mirror.reached(position(from).await).await, "{:?}", mirror.status());
    mirror
}

/// Compares two stores, and checks that they are equal.
pub(crate) async fn equal(first: &Persistence, second: &Persistence) -> Comparison {
    let comparison = compare(first, second).await.unwrap();
    assert_eq!(comparison.differences, []);
    comparison
}

/// Returns the message ids of a thread, in order.
pub(crate) async fn all_ids(db: &Persistence, thread: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut from = Some(PageFrom::Start);
    while let Some(at) = from {
        let page = db.thread(thread).page(at, 1000).await.unwrap();
        from = page.next(at);
        found.extend(page.messages.into_iter().map(|message| message.id.as_str().to_owned()));
    }
    found
}
