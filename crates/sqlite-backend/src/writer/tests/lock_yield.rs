//! Two stores that write to one file.

use std::sync::{Arc, Mutex, atomic::AtomicBool, mpsc};

use tokio::sync::watch;

use super::*;
use crate::{file_guard::is_awaited, writer::with_suffix};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_waits_for_the_lock_announces_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.db");
    let backend = SqliteOptions::new().open(&path).await.unwrap();
    let (hold, held) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    backend.writer().failpoints.set(move |point, _| {
        if point == Failpoint::Applying {
            hold.send(()).unwrap();
            // Until the test drops the other end.
            released.lock().unwrap().recv().unwrap_err();
        }
        Ok(())
    });
    let holding = Arc::new(Store::over(backend));
    let waiting = Arc::new(Store::over(SqliteOptions::new().open(&path).await.unwrap()));
    let add = |store: &Arc<Store>, text: &'static str| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.add(text).await })
    };
    let first = add(&holding, "first");
    tokio::task::block_in_place(|| held.recv()).unwrap();
    assert!(!is_awaited(&path));
    let second = add(&waiting, "second");
    while !is_awaited(&path) {
        tokio::task::yield_now().await;
    }
    assert!(!second.is_finished());
    drop(release);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert!(!is_awaited(&path));
}

/// The other writer has released the lock: there is nothing to wait for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_transaction_is_outdated_begins_again_without_waiting_for_the_lock() {
    use std::os::unix::fs::FileExt as _;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.db");
    let backend = SqliteOptions::new().open(&path).await.unwrap();
    let (begin, begun) = mpsc::channel();
    let (at, is_first) = (path.clone(), AtomicBool::new(true));
    backend.writer().failpoints.set(move |point, _| {
        if point != Failpoint::Exchanged {
            return Ok(());
        }
        begin.send(is_awaited(&at)).unwrap();
        if is_first.swap(false, Ordering::SeqCst) {
            // As a commit does, it changes the commit counter in both copies of the header.
            let index = std::fs::File::options().write(true).open(with_suffix(&at, "-shm")).unwrap();
            for copy in [8, 48 + 8] {
                index.write_all_at(&[0xa5; 4], copy).unwrap();
            }
        }
        Ok(())
    });
    let store = Store::over(backend);
    store.add("a").await.unwrap();
    assert_eq!([begun.try_recv(), begun.try_recv()], [Ok(false), Ok(false)]);
}

/// Writes `writes` times through `other`, and returns how many commits the busy store has begun meanwhile. Each write begins after the
/// busy store has begun `apart` commits.
async fn write_next_to(mut commits: watch::Receiver<u32>, apart: u32, other: &Store, writes: u32) -> u32 {
    let mut meanwhile = 0;
    for n in 0..writes {
        for _ in 0..apart {
            commits.mark_unchanged();
            commits.changed().await.unwrap();
        }
        let before = *commits.borrow();
        other.add(&format!("other{n}")).await.unwrap();
        meanwhile += *commits.borrow() - before;
    }
    meanwhile
}

/// Each commit of the busy store takes longer than the interval between its pauses, so the other store waits for one more commit. Without pauses
/// the busy store takes the lock again before the other one tries, four to six times in this build.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_store_lets_another_one_write_within_two_commits() {
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
    let meanwhile = write_next_to(commit, 1, &other, 40).await;
    writing.abort();
    assert!(meanwhile <= 80, "{meanwhile} commits of the busy store for 40 of the other");
}

/// Each step of the full-text index adds one message, because they are long, and its commit takes as long as those of the test above. After a
/// commit of another store the index waits for a moment, and then one step follows the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_builds_its_full_text_index_lets_another_one_write_within_two_steps() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("f.db");
    let other = Store::over(SqliteOptions::new().open(&path).await.unwrap());
    for message in 0..300 {
        let text: String = (0..2000).map(|word| format!("w{message}x{word} ")).collect();
        other.db.thread("t").add(NewMessage::user(&text)).await.unwrap();
    }
    let backend = SqliteOptions::new().search(true).open(&path).await.unwrap();
    let (steps, step) = watch::channel(0_u32);
    backend.writer().failpoints.set(move |point, connection| {
        if point == Failpoint::Exchanging {
            let steps = steps.clone();
            let slow_commit = move || {
                steps.send_modify(|steps| *steps += 1);
                std::thread::sleep(Duration::from_millis(25));
                false
            };
            connection.commit_hook(Some(slow_commit)).unwrap();
        }
        Ok(())
    });
    let meanwhile = write_next_to(step, 3, &other, 20).await;
    assert!(meanwhile <= 40, "{meanwhile} steps of the index for 20 writes of the other store");
}
