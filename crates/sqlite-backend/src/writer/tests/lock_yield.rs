//! Two stores that write to one file.

use std::sync::Arc;

use tokio::sync::watch;

use super::*;
use crate::file_guard::{is_announced, lock_as_another_process};

#[tokio::test]
async fn a_store_that_waits_for_the_lock_announces_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.db");
    let store = Arc::new(Store::over(SqliteOptions::new().open(&path).await.unwrap()));
    store.add("before").await.unwrap();
    let held = lock_as_another_process(&path);
    assert!(!is_announced(&path));
    let adding = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.add("after").await }
    });
    while !is_announced(&path) {
        tokio::task::yield_now().await;
    }
    assert!(!adding.is_finished());
    drop(held);
    adding.await.unwrap().unwrap();
    assert!(!is_announced(&path));
}

/// Each commit of the busy store takes longer than the interval between its pauses, so the other store waits for one more commit. Without pauses the busy store takes
/// the lock again before the other one tries, four to six times in this build.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_store_lets_another_one_write_within_two_commits() {
    const WRITES: u32 = 40;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.db");
    let backend = SqliteOptions::new().open(&path).await.unwrap();
    let (commits, commit) = watch::channel(0_u32);
    backend.writer().failpoints.set(move |point, _| {
        if point == Failpoint::Committing {
            commits.send_modify(|commits| *commits += 1);
            std::thread::sleep(Duration::from_millis(25));
        }
        Ok(())
    });
    let busy = Arc::new(Store::over(backend));
    let other = Store::over(SqliteOptions::new().open(&path).await.unwrap());
    // During each commit of the busy store its next write arrives, so it begins again at once.
    let writing = tokio::spawn({
        let (busy, mut commit) = (Arc::clone(&busy), commit.clone());
        async move {
            busy.add("first").await.unwrap();
            for n in 0.. {
                let text = format!("busy{n}");
                tokio::select! {
                    added = busy.add(&text) => drop(added.unwrap()),
                    changed = commit.changed() => changed.unwrap(),
                }
            }
        }
    });
    let mut meanwhile = 0;
    for n in 0..WRITES {
        // Each write begins while the busy store holds the lock.
        let mut commit = commit.clone();
        commit.mark_unchanged();
        commit.changed().await.unwrap();
        let before = *commit.borrow();
        other.add(&format!("other{n}")).await.unwrap();
        meanwhile += *commit.borrow() - before;
    }
    writing.abort();
    assert!(meanwhile <= 2 * WRITES, "{meanwhile} commits of the busy store for {WRITES} of the other");
}
