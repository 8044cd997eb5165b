//! Commits without a change event have positions too, and a replica accounts for them.

use std::time::Duration;

use throughline::{
    ErrorKind, NewMessage, Persistence, Position,
    changes::{ChangeScope, ReadChanges},
    messages::PageFrom,
    mirror::Switch,
    threads::ThreadArgs,
};

use super::support::{copy, memory, position, sqlite};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Makes `commits` commits without a change event: it repeats the deletion of a deleted thread.
async fn commit_without_changes(db: &Persistence, commits: usize) {
    for _ in 0..commits {
        let delete = throughline::threads::DeleteThread { thread: "gone".parse().unwrap() };
        db.run(ThreadArgs::from(delete)).await.unwrap();
    }
}

async fn after(db: &Persistence, position: Position) -> Result<Vec<Position>, ErrorKind> {
    let read = db.read(ReadChanges::new(ChangeScope::Tenant, position, 100)).await;
    read.map(|read| read.changes.iter().map(|change| change.position).collect()).map_err(|error| error.kind())
}

/// A reader that has read the whole feed of the old primary misses nothing after the switchover, and gets no `TooOld` error.
pub(super) async fn assert_feed_complete_after_switchover(first: Persistence, second: Persistence) {
    first.thread("t").add(NewMessage::user("before")).await.unwrap();
    first.thread("gone").add(NewMessage::user("x")).await.unwrap();
    first.thread("gone").delete_thread().await.unwrap();
    let switch = Switch::open(first.clone(), second.clone()).await.unwrap();
    let db = Persistence::builder().backend(switch.backend()).build().unwrap();
    switch.follow().await.unwrap();
    // Wait until the replica has all changes.
    while switch.lag().await.is_none_or(|lag| lag.changes > 0) {
        tokio::task::yield_now().await;
    }
    commit_without_changes(&db, 20).await;
    let seen = position(&first).await;
    assert_eq!(after(&db, seen).await, Ok(vec![]));
    switch.switch_over(TIMEOUT).await.unwrap();
    assert_eq!(after(&db, seen).await, Ok(vec![]));
    db.thread("t").add(NewMessage::user("after")).await.unwrap();
    assert_eq!(after(&db, seen).await.map(|changes| changes.len()), Ok(1));
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_from_memory_to_a_file_loses_no_change() {
    let folder = tempfile::tempdir().unwrap();
    assert_feed_complete_after_switchover(memory("a"), sqlite(&folder.path().join("b.db")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_from_a_file_to_memory_loses_no_change() {
    let folder = tempfile::tempdir().unwrap();
    assert_feed_complete_after_switchover(sqlite(&folder.path().join("a.db")).await, memory("b")).await;
}

/// Checks that the position of a page and of a list fits the feed of the replica.
pub(super) async fn assert_page_positions_fit_the_feed(from: Persistence, to: Persistence) {
    from.thread("t").add(NewMessage::user("one")).await.unwrap();
    let mirror = copy(&from, &to).await;
    let page = to.thread("t").page(PageFrom::End, 10).await.unwrap();
    let list = to.threads(throughline::threads::ListThreads::new(10)).await.unwrap();
    assert_eq!(page.messages.len(), 1);
    from.thread("t").add(NewMessage::user("two")).await.unwrap();
    assert!(mirror.reached(position(&from).await).await, "{:?}", mirror.status());
    assert_eq!(after(&to, page.position).await.map(|changes| changes.len()), Ok(1));
    assert_eq!(after(&to, list.position).await.map(|changes| changes.len()), Ok(1));
    drop(mirror.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_positions_of_pages_of_a_sqlite_replica_fit_its_feed() {
    let folder = tempfile::tempdir().unwrap();
    assert_page_positions_fit_the_feed(memory("a"), sqlite(&folder.path().join("b.db")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_positions_of_pages_of_a_memory_replica_fit_its_feed() {
    assert_page_positions_fit_the_feed(memory("a"), memory("b")).await;
}
