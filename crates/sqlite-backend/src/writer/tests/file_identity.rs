//! A store that was replaced by another one: the writer never changes the other store.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
};

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::{Condition, Maintenance, failpoint::Failpoints, health::HealthState, writer::wal::with_suffix};

/// A store, and another one that can replace it at its path.
struct Moved {
    store: Store,
    health_state: Arc<HealthState>,
    maintenance: Maintenance,
    failpoints: Failpoints,
    file: MovableFile,
    _directory: TempDir,
}

#[derive(Clone)]
struct MovableFile {
    path: PathBuf,
    moved: PathBuf,
    other: PathBuf,
}

impl MovableFile {
    /// Moves the store away with its WAL, and puts the other one at its path.
    fn change(&self) {
        for suffix in ["", "-wal", "-shm"] {
            fs::rename(with_suffix(&self.path, suffix), with_suffix(&self.moved, suffix)).unwrap();
        }
        fs::copy(&self.other, &self.path).unwrap();
    }

    /// Returns how often the other store has counted a fence transaction.
    fn marks(&self) -> i64 {
        number(&self.path, "SELECT fence_transaction_count FROM store")
    }
}

fn number(path: &Path, sql: &str) -> i64 {
    Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
}

async fn moved(options: SqliteOptions) -> Moved {
    let directory = tempfile::tempdir().unwrap();
    let [path, moved, other] = ["chat.db", "moved.db", "other.db"].map(|name| directory.path().join(name));
    let empty = Persistence::builder().backend(SqliteBackend::open(&other).await.unwrap()).build().unwrap();
    empty.close().await.unwrap();
    let backend = options.open(&path).await.unwrap();
    Moved {
        health_state: Arc::clone(&backend.writer().submission.health_state),
        maintenance: backend.maintenance(),
        failpoints: backend.writer().failpoints.clone(),
        store: Store::over(backend),
        file: MovableFile { path, moved, other },
        _directory: directory,
    }
}

impl Moved {
    /// Replaces the store when the writer comes to this failpoint, which then fails with this code if there is one.
    fn change_at(&self, at: Failpoint, code: Option<i32>) {
        let (file, is_changed) = (self.file.clone(), AtomicBool::new(false));
        self.failpoints.set(move |point, _| {
            if point != at || is_changed.swap(true, Ordering::SeqCst) {
                return Ok(());
            }
            file.change();
            code.map_or(Ok(()), Err)
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_outcome_of_a_commit_is_not_read_from_another_store() {
    let test = moved(SqliteOptions::new().wait_limit(Duration::from_millis(200))).await;
    test.change_at(Failpoint::Committing, Some(ffi::SQLITE_IOERR_FSYNC));
    let error = test.store.add("a").await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::Unavailable, Effect::Unknown));
    assert_eq!(test.file.marks(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_store_is_not_probed() {
    let test = moved(SqliteOptions::new()).await;
    test.store.add("a").await.unwrap();
    test.file.change();
    test.health_state.set_condition(Condition::ReadOnly);
    test.store.queue.wake();
    while test.maintenance.health().failures == 0 && test.file.marks() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(test.file.marks(), 0);
    assert_eq!(test.maintenance.health().condition, Condition::ReadOnly);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_full_text_index_does_not_continue_in_a_moved_file() {
    let test = moved(SqliteOptions::new().search(true)).await;
    test.change_at(Failpoint::Answered, None);
    test.store.add("a").await.unwrap();
    let indexed = || number(&test.file.moved, "SELECT indexed FROM search_state");
    while test.maintenance.health().failures == 0 && (!test.file.moved.exists() || indexed() == 0) {
        tokio::task::yield_now().await;
    }
    assert_eq!(indexed(), 0);
}
