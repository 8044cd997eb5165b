//! Commits that tell nothing have their places among the others, and a follower knows of them.

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

/// So many commits of which no change tells: a thread that is gone is deleted again.
async fn silence(db: &Persistence, commits: usize) {
    for _ in 0..commits {
        let delete = throughline::threads::DeleteThread { thread: "gone".parse().unwrap() };
        db.run(ThreadArgs::from(delete)).await.unwrap();
    }
}

async fn after(db: &Persistence, position: Position) -> Result<Vec<Position>, ErrorKind> {
    let read = db.read(ReadChanges::new(ChangeScope::Tenant, position, 100)).await;
    read.map(|told| told.changes.iter().map(|change| change.position).collect()).map_err(|error| error.kind())
}

/// Who has read everything of the store that led misses nothing of the other, and is not told that something was lost.
pub(super) async fn over(first: Persistence, second: Persistence) {
    first.thread("t").add(NewMessage::user("before")).await.unwrap();
    first.thread("gone").add(NewMessage::user("x")).await.unwrap();
    first.thread("gone").delete_thread().await.unwrap();
    let switch = Switch::open(first.clone(), second.clone()).await.unwrap();
    let db = Persistence::builder().backend(switch.backend()).build().unwrap();
    switch.follow().await.unwrap();
    // Everything that tells something is carried before.
    while switch.lag().await.is_none_or(|lag| lag.changes > 0) {
        tokio::task::yield_now().await;
    }
    silence(&db, 20).await;
    let seen = position(&first).await;
    assert_eq!(after(&db, seen).await, Ok(vec![]));
    switch.switch_over(TIMEOUT).await.unwrap();
    assert_eq!(after(&db, seen).await, Ok(vec![]));
    db.thread("t").add(NewMessage::user("after")).await.unwrap();
    assert_eq!(after(&db, seen).await.map(|told| told.len()), Ok(1));
    switch.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_memory_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    over(memory("a"), sqlite(&folder.path().join("b.db")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_file_to_memory() {
    let folder = tempfile::tempdir().unwrap();
    over(sqlite(&folder.path().join("a.db")).await, memory("b")).await;
}

/// A page of a follower says how far its own feed goes.
pub(super) async fn page_and_feed(from: Persistence, to: Persistence) {
    from.thread("t").add(NewMessage::user("one")).await.unwrap();
    let mirror = copy(&from, &to).await;
    let page = to.thread("t").page(PageFrom::End, 10).await.unwrap();
    let list = to.threads(throughline::threads::ListThreads::new(10)).await.unwrap();
    assert_eq!(page.messages.len(), 1);
    from.thread("t").add(NewMessage::user("two")).await.unwrap();
    assert!(mirror.reached(position(&from).await).await, "{:?}", mirror.status());
    assert_eq!(after(&to, page.position).await.map(|told| told.len()), Ok(1));
    assert_eq!(after(&to, list.position).await.map(|told| told.len()), Ok(1));
    drop(mirror.stop().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_follower_in_a_file_and_its_feed_fit() {
    let folder = tempfile::tempdir().unwrap();
    page_and_feed(memory("a"), sqlite(&folder.path().join("b.db")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_follower_in_memory_and_its_feed_fit() {
    page_and_feed(memory("a"), memory("b")).await;
}
