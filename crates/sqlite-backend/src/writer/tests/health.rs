//! The health state that the writer publishes, and its reaction to failures.

use std::sync::atomic::{AtomicBool, AtomicI32};

use throughline_core::search::SearchMessages;

use super::*;
use crate::{Alarm, Condition, Maintenance};

struct Watched {
    store: Store,
    maintenance: Maintenance,
    path: std::path::PathBuf,
    /// The code with which each commit fails, if it is not 0.
    code: Arc<AtomicI32>,
}

/// Returns a store whose commits and probes, and each fence transaction, all fail with one code.
async fn watched(options: SqliteOptions) -> Watched {
    let backend = options.temporary().await.unwrap();
    let code = Arc::<AtomicI32>::default();
    backend.writer().failpoints.set({
        let code = Arc::clone(&code);
        move |point, _| match (point, code.load(Ordering::SeqCst)) {
            (Failpoint::Committing | Failpoint::Fencing, code) if code != 0 => Err(code),
            _ => Ok(()),
        }
    });
    let maintenance = backend.maintenance();
    let path = backend.writer().path().to_owned();
    Watched { store: Store::over(backend), maintenance, path, code }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_failures_of_the_writer_make_the_store_read_only_until_a_success() {
    let Watched { store, maintenance, code, .. } = watched(SqliteOptions::new()).await;
    store.add("first").await.unwrap();
    let good = maintenance.health();
    assert!(good.is_good() && good.failures == 0 && good.last_failure.is_none());
    code.store(ffi::SQLITE_IOERR_FSYNC, Ordering::SeqCst);
    let doubtful = tokio::spawn({
        let db = store.db.clone();
        async move { db.thread("t").add(message("doubtful")).await.map(drop) }
    });
    let bad = maintenance.health_other_than(&good).await;
    assert_eq!((bad.condition, bad.is_good()), (Condition::ReadOnly, false));
    assert!(bad.failures >= 3, "{bad:?}");
    assert_eq!(bad.last_failure.as_deref().map(|last| last.contains("the disk failed")), Some(true));
    // No caller waits for a writer that does not write, and reads succeed.
    let refused = store.add("refused").await.unwrap_err();
    assert_eq!(kind_and_effect(&refused), (ErrorKind::Unavailable, Effect::NotApplied));
    assert!(refused.is_transient() && refused.retry_after().is_some());
    assert_eq!(store.ids().await, ["first"]);
    code.store(0, Ordering::SeqCst);
    // The disk works again before the fence transaction times out: the doubtful write was not applied.
    let doubtful = doubtful.await.unwrap().unwrap_err();
    assert_eq!(kind_and_effect(&doubtful), (ErrorKind::Unavailable, Effect::NotApplied));
    let again = maintenance.health_other_than(&bad).await;
    assert_eq!((again.condition, again.failures, again.is_good()), (Condition::Writable, 0, true));
    assert!(again.last_failure.is_some());
    assert_eq!(store.add("doubtful").await.unwrap(), Some(Position::new(2)));
    store.db.close().await.unwrap();
    assert_eq!(maintenance.health().condition, Condition::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_ends_read_only_after_the_fence_transaction_timed_out() {
    let Watched { store, maintenance, code, .. } =
        watched(SqliteOptions::new().wait_limit(Duration::from_millis(1200))).await;
    let good = maintenance.health();
    code.store(ffi::SQLITE_IOERR_FSYNC, Ordering::SeqCst);
    assert_eq!(
        kind_and_effect(&store.add("a").await.unwrap_err()),
        (ErrorKind::Unavailable, Effect::Unknown)
    );
    let bad = maintenance.health_other_than(&good).await;
    assert_eq!(bad.condition, Condition::ReadOnly);
    assert_eq!(
        kind_and_effect(&store.add("a").await.unwrap_err()),
        (ErrorKind::Unavailable, Effect::NotApplied)
    );
    code.store(0, Ordering::SeqCst);
    assert_eq!(maintenance.health_other_than(&bad).await.condition, Condition::Writable);
    assert_eq!(store.add("a").await.unwrap(), Some(Position::new(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_and_refused_writes_are_no_failures_of_the_writer() {
    let Watched { store, maintenance, code, .. } = watched(SqliteOptions::new()).await;
    store.add("first").await.unwrap();
    for _ in 0..5 {
        assert_eq!(
            kind_and_effect(&store.add("first").await.unwrap_err()),
            (ErrorKind::AlreadyExists, Effect::NotApplied)
        );
    }
    code.store(ffi::SQLITE_FULL, Ordering::SeqCst);
    // There is no space for a fence transaction either; the writer does not wait for it.
    for _ in 0..5 {
        assert_eq!(
            kind_and_effect(&store.add("second").await.unwrap_err()),
            (ErrorKind::StorageFull, Effect::NotApplied)
        );
    }
    assert_eq!((maintenance.health().failures, maintenance.health().condition), (0, Condition::Writable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_floor_writes_are_refused_and_reads_succeed() {
    let backend = SqliteOptions::new().free_space_floor(u64::MAX).temporary().await.unwrap();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let error = db.thread("t").add(message("a")).await.unwrap_err();
    assert_eq!(kind_and_effect(&error), (ErrorKind::StorageFull, Effect::NotApplied));
    assert_eq!(maintenance.health().alarms, [Alarm::SpaceLow]);
    assert_eq!(maintenance.health().condition, Condition::Writable);
    assert!(
        db.thread("t")
            .page(throughline_core::messages::PageFrom::Start, 10)
            .await
            .unwrap()
            .messages
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wal_with_a_long_reader_raises_an_alarm_and_is_truncated_afterwards() {
    let Watched { store, maintenance, path, .. } = watched(SqliteOptions::new().wal_limit(1 << 20)).await;
    store.add("first").await.unwrap();
    let good = maintenance.health();
    let reader = rusqlite::Connection::open(path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM messages").unwrap();
    for n in 0..40 {
        let text = "x".repeat(64 << 10);
        let message = NewMessage::user(&text).with_id(id(&format!("m{n}")));
        store.db.thread("t").add(message).await.unwrap();
    }
    let bad = maintenance.health_other_than(&good).await;
    assert_eq!((bad.condition, bad.alarms.as_slice()), (Condition::Writable, [Alarm::WalTooLong].as_slice()));
    assert!(bad.wal_bytes > 1 << 20, "{bad:?}");
    reader.execute_batch("COMMIT").unwrap();
    let again = maintenance.health_other_than(&bad).await;
    assert!(again.is_good() && again.wal_bytes <= 1 << 20, "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_writer_checkpoints_the_wal() {
    let backend = SqliteBackend::temporary().await.unwrap();
    let (checkpoint, checkpointed) = mpsc::channel();
    backend.writer().failpoints.set(move |point, _| {
        if point == Failpoint::Checkpointing {
            checkpoint.send(()).unwrap();
        }
        Ok(())
    });
    let db = Persistence::builder().backend(backend).build().unwrap();
    db.thread("t").add(message("a")).await.unwrap();
    tokio::task::block_in_place(|| checkpointed.recv_timeout(Duration::from_secs(60))).unwrap();
    // Only one checkpoint: the writer then sleeps until there is something to write.
    assert!(matches!(checkpointed.try_recv(), Err(mpsc::TryRecvError::Empty)));
    db.thread("t").add(message("b")).await.unwrap();
    tokio::task::block_in_place(|| checkpointed.recv_timeout(Duration::from_secs(60))).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_step_is_under_way_after_a_panic_and_after_close() {
    let backend = SqliteBackend::temporary().await.unwrap();
    let health_state = Arc::clone(&backend.writer().submission.health_state);
    let store = Store::over(backend);
    store.faults.fail_next_commit(CommitFault::Panic);
    store.add("a").await.unwrap_err();
    let ended = async {
        while health_state.step().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the panic ends the step");
    store.add("b").await.unwrap();
    store.db.close().await.unwrap();
    assert_eq!(health_state.step(), None);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_with_an_unreadable_page_is_kept() {
    let backend = SqliteOptions::new().search(true).temporary().await.unwrap();
    let maintenance = backend.maintenance();
    let (is_answered, has_failed) = (AtomicBool::new(false), AtomicBool::new(false));
    let is_locked = Arc::new(AtomicBool::new(true));
    backend.writer().failpoints.set({
        let is_locked = Arc::clone(&is_locked);
        move |point, _| match point {
            Failpoint::Answered => {
                is_answered.store(true, Ordering::SeqCst);
                Ok(())
            }
            // The first transaction after a write belongs to the index.
            Failpoint::Exchanging
                if is_answered.load(Ordering::SeqCst) && !has_failed.swap(true, Ordering::SeqCst) =>
            {
                Err(ffi::SQLITE_CORRUPT)
            }
            // A writer that rebuilds the index disables it here.
            Failpoint::Exchanging
                if has_failed.load(Ordering::SeqCst) && is_locked.load(Ordering::SeqCst) =>
            {
                Err(ffi::SQLITE_CORRUPT)
            }
            _ => Ok(()),
        }
    });
    let path = backend.writer().path().to_owned();
    let store = Store::over(backend);
    crate::file_guard::remember_unreadable(&path);
    let good = maintenance.health();
    store.add("a").await.unwrap();
    let bad = maintenance.health_other_than(&good).await;
    assert_eq!((bad.failures, bad.alarms), (0, vec![Alarm::DiskUnreadable]));
    is_locked.store(false, Ordering::SeqCst);
    store.add("b").await.unwrap();
    let found = async {
        while store.db.search(SearchMessages::new("a", 10)).await.unwrap().hits.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("the index goes on");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disk_is_read_again_before_a_damaged_index_is_dropped() {
    let backend = SqliteOptions::new().search(true).temporary().await.unwrap();
    let (is_answered, has_failed) = (AtomicBool::new(false), AtomicBool::new(false));
    backend.writer().failpoints.set(move |point, _| match point {
        Failpoint::Answered => {
            is_answered.store(true, Ordering::SeqCst);
            Ok(())
        }
        // The first transaction after a write belongs to the index.
        Failpoint::Exchanging
            if is_answered.load(Ordering::SeqCst) && !has_failed.swap(true, Ordering::SeqCst) =>
        {
            Err(ffi::SQLITE_CORRUPT)
        }
        _ => Ok(()),
    });
    let path = backend.writer().path().to_owned();
    let store = Store::over(backend);
    let remembered = crate::file_guard::remember_readable(&path);
    store.add("a").await.unwrap();
    let found = async {
        while store.db.search(SearchMessages::new("a", 10)).await.unwrap().hits.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("the index is rebuilt");
    assert!(crate::file_guard::scanned_at(&path) > remembered);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_index_is_rebuilt_although_the_lock_was_held_at_that_moment() {
    let backend = SqliteOptions::new().search(true).temporary().await.unwrap();
    let (is_answered, begun) = (AtomicBool::new(false), AtomicI32::new(0));
    backend.writer().failpoints.set(move |point, _| match point {
        Failpoint::Answered => {
            is_answered.store(true, Ordering::SeqCst);
            Ok(())
        }
        // The first transaction after a write belongs to the index, and the second one to its rebuild.
        Failpoint::Exchanging if is_answered.load(Ordering::SeqCst) => {
            match begun.fetch_add(1, Ordering::SeqCst) {
                0 => Err(ffi::SQLITE_CORRUPT),
                1 => Err(ffi::SQLITE_BUSY),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    });
    let store = Store::over(backend);
    store.add("a").await.unwrap();
    let found = async {
        while store.db.search(SearchMessages::new("a", 10)).await.unwrap().hits.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("the index goes on");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_finds_the_store_busy_is_no_failure() {
    let Watched { store, maintenance, code, path } = watched(SqliteOptions::new()).await;
    let good = maintenance.health();
    code.store(ffi::SQLITE_IOERR_FSYNC, Ordering::SeqCst);
    let doubtful = tokio::spawn({
        let db = store.db.clone();
        async move { db.thread("t").add(message("doubtful")).await.map(drop) }
    });
    let bad = maintenance.health_other_than(&good).await;
    assert_eq!((bad.condition, bad.alarms.as_slice()), (Condition::ReadOnly, [].as_slice()));
    // It acts as a second library, which the next probe meets.
    let second = std::fs::File::open(crate::writer::with_suffix(&path, "-shm")).unwrap();
    let busy = maintenance.health_other_than(&bad).await;
    assert_eq!((busy.condition, busy.alarms), (Condition::ReadOnly, vec![Alarm::SecondLibrary]));
    code.store(0, Ordering::SeqCst);
    drop(second);
    let writable = async {
        while !maintenance.health().is_good() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), writable).await.expect("a probe succeeds");
    let last = maintenance.health().last_failure.unwrap();
    assert!(last.contains("the disk failed"), "{last}");
    doubtful.await.unwrap().unwrap_err();
}
