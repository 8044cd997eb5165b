//! The writer sees the commits of other processes, also after another writer was faster or after it lost its
//! connection.

use std::path::Path;

use throughline_core::changes::CommitNotifications;
use tokio::time::timeout;

use super::*;

/// Far longer than anything here takes.
const FAR: Duration = Duration::from_secs(60);

/// Commits as another process does, and expects a notification from the writer. The writer detects the second commit by
/// the `data_version` of the connection that it opened in between.
async fn expect_notifications_of_foreign_commits(commits: &mut CommitNotifications, path: &Path) {
    let connection = rusqlite::Connection::open(path).unwrap();
    connection.busy_timeout(FAR).unwrap();
    connection.execute_batch("CREATE TABLE elsewhere (n INTEGER)").unwrap();
    for _ in 0..2 {
        commits.mark_seen();
        connection.execute("INSERT INTO elsewhere VALUES (1)", []).unwrap();
        timeout(FAR, commits.changed()).await.expect("the writer notifies of the commit").unwrap();
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_lost_the_lock_in_an_index_step_notifies_of_foreign_commits() {
    let backend = SqliteOptions::new().search(true).temporary().await.unwrap();
    let (path, health_state) =
        (backend.writer().path().to_owned(), Arc::clone(&backend.writer().submission.health_state));
    let (taken, on_taken) = mpsc::channel();
    backend.writer().failpoints.set({
        let (path, is_next) = (path.clone(), std::sync::atomic::AtomicBool::new(false));
        move |point, _| {
            match point {
                // The transaction after the only write is a step of the index.
                Failpoint::Committed => is_next.store(true, Ordering::SeqCst),
                Failpoint::Exchanging if is_next.swap(false, Ordering::SeqCst) => {
                    taken.send(crate::file_guard::lock_as_another_process(&path)).unwrap();
                }
                _ => {}
            }
            Ok(())
        }
    });
    let mut commits = backend.writer().commit_notifications();
    let store = Store::over(backend);
    store.add("first").await.unwrap();
    let lock = tokio::task::block_in_place(|| on_taken.recv_timeout(FAR)).unwrap();
    while health_state.step().is_some() {
        tokio::task::yield_now().await;
    }
    drop(lock);
    expect_notifications_of_foreign_commits(&mut commits, &path).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_lost_its_connection_notifies_of_foreign_commits() {
    let backend = SqliteOptions::new().temporary().await.unwrap();
    let path = backend.writer().path().to_owned();
    backend.writer().failpoints.set(|point, _| match point {
        // The writer drops the connection after the answer.
        Failpoint::Answered => Err(ffi::SQLITE_IOERR_WRITE),
        _ => Ok(()),
    });
    let mut commits = backend.writer().commit_notifications();
    let store = Store::over(backend);
    store.add("first").await.unwrap();
    expect_notifications_of_foreign_commits(&mut commits, &path).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_lost_its_connection_checkpoints_the_wal_on_close() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let backend = SqliteBackend::open(&path).await.unwrap();
    backend.writer().failpoints.set(|point, _| match point {
        Failpoint::Answered => Err(ffi::SQLITE_IOERR_WRITE),
        _ => Ok(()),
    });
    let store = Store::over(backend);
    store.add("first").await.unwrap();
    store.db.close().await.unwrap();
    assert!(!crate::writer::with_suffix(&path, "-wal").exists());
}
