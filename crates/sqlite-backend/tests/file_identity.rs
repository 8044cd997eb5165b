//! Files that are removed or replaced while their store is open.
#![cfg(unix)]

use std::{fs, path::PathBuf, time::Duration};

use throughline_core::{Effect, ErrorKind, NewMessage, Persistence, messages::PageFrom};
use throughline_sqlite::{Condition, Maintenance, SqliteBackend};

struct Store {
    db: Persistence,
    maintenance: Maintenance,
    directory: tempfile::TempDir,
}

impl Store {
    /// Returns a store with `count` messages.
    async fn with(count: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let backend = SqliteBackend::open(directory.path().join("chat.db")).await.unwrap();
        let maintenance = backend.maintenance();
        let db = Persistence::builder().backend(backend).build().unwrap();
        for _ in 0..count {
            db.thread("t").add(NewMessage::user("hello")).await.unwrap();
        }
        Self { db, maintenance, directory }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Expects that writes are refused until the store is read-only and after that.
    async fn refuses_writes(&self) {
        // While it writes, the writer checks the file and the wal-index every 10 ms.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let good = self.maintenance.health();
        let refused = async |id: &str| {
            let message = NewMessage::user("lost").with_id(id.parse().unwrap());
            let error = self.db.thread("t").add(message).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.effect()),
                (ErrorKind::Unavailable, Effect::NotApplied),
                "{error}"
            );
        };
        refused("first").await;
        assert_eq!(self.maintenance.health_other_than(&good).await.condition, Condition::ReadOnly);
        refused("second").await;
    }

    async fn count(db: &Persistence) -> usize {
        db.thread("t").page(PageFrom::Start, 1000).await.unwrap().messages.len()
    }
}

#[tokio::test]
async fn a_deleted_wal_loses_no_acknowledged_write() {
    let store = Store::with(50).await;
    fs::remove_file(store.file("chat.db-wal")).unwrap();
    store.refuses_writes().await;
    assert_eq!(Store::count(&store.db).await, 50);
    store.db.close().await.unwrap();
    let again = SqliteBackend::open(store.file("chat.db")).await.unwrap();
    let again = Persistence::builder().backend(again).build().unwrap();
    assert_eq!(Store::count(&again).await, 50);
    again.thread("t").add(NewMessage::user("again")).await.unwrap();
}

#[tokio::test]
async fn writes_are_refused_after_the_wal_index_was_deleted() {
    let store = Store::with(5).await;
    fs::remove_file(store.file("chat.db-shm")).unwrap();
    store.refuses_writes().await;
    assert_eq!(Store::count(&store.db).await, 5);
    store.db.close().await.unwrap();
    let again = SqliteBackend::open(store.file("chat.db")).await.unwrap();
    assert_eq!(Store::count(&Persistence::builder().backend(again).build().unwrap()).await, 5);
}

#[tokio::test]
async fn closing_does_not_delete_a_replaced_wal() {
    for lost in ["chat.db-wal", "chat.db-shm"] {
        let store = Store::with(5).await;
        fs::remove_file(store.file(lost)).unwrap();
        store.refuses_writes().await;
        fs::remove_file(store.file("chat.db-wal")).ok();
        fs::write(store.file("chat.db-wal"), "another").unwrap();
        store.db.close().await.unwrap();
        assert_eq!(fs::read(store.file("chat.db-wal")).unwrap(), b"another", "{lost}");
    }
}

#[tokio::test]
async fn a_replacement_file_is_not_opened() {
    let (store, other) = (Store::with(3).await, Store::with(1).await);
    other.db.close().await.unwrap();
    fs::rename(store.file("chat.db"), store.file("moved.db")).unwrap();
    fs::copy(other.file("chat.db"), store.file("chat.db")).unwrap();
    store.refuses_writes().await;
    assert_eq!(Store::count(&store.db).await, 3);
    // With the file at its path again, the store works again.
    let bad = store.maintenance.health();
    fs::rename(store.file("moved.db"), store.file("chat.db")).unwrap();
    assert_eq!(store.maintenance.health_other_than(&bad).await.condition, Condition::Writable);
    store.db.thread("t").add(NewMessage::user("again")).await.unwrap();
    assert_eq!(Store::count(&store.db).await, 4);
}

#[tokio::test]
async fn a_link_to_the_file_is_the_file() {
    let store = Store::with(1).await;
    let link = store.file("link.db");
    std::os::unix::fs::symlink(store.file("chat.db"), &link).unwrap();
    let linked = Persistence::builder().backend(SqliteBackend::open(&link).await.unwrap()).build().unwrap();
    linked.thread("t").add(NewMessage::user("through the link")).await.unwrap();
    assert_eq!(Store::count(&store.db).await, 2);
    assert!(!store.file("link.db-wal").exists());
}

#[tokio::test]
async fn a_deleted_wal_and_wal_index_lose_no_acknowledged_write() {
    for is_noticed in [true, false] {
        let store = Store::with(50).await;
        for name in ["chat.db-wal", "chat.db-shm"] {
            fs::remove_file(store.file(name)).unwrap();
        }
        if is_noticed {
            store.refuses_writes().await;
        }
        store.db.close().await.unwrap();
        let again = SqliteBackend::open(store.file("chat.db")).await.unwrap();
        let again = Persistence::builder().backend(again).build().unwrap();
        assert_eq!(Store::count(&again).await, 50, "noticed before the close: {is_noticed}");
    }
}

#[tokio::test]
async fn closing_a_store_whose_file_was_deleted_or_moved_is_an_error() {
    for is_moved in [true, false] {
        let store = Store::with(50).await;
        if is_moved {
            fs::rename(store.file("chat.db"), store.file("moved.db")).unwrap();
        } else {
            fs::remove_file(store.file("chat.db")).unwrap();
        }
        let error = store.db.close().await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
        assert!(error.to_string().contains("lacks acknowledged writes"), "{error}");
        if is_moved {
            // The moved file has all messages.
            let moved = SqliteBackend::open(store.file("moved.db")).await.unwrap();
            assert_eq!(Store::count(&Persistence::builder().backend(moved).build().unwrap()).await, 50);
        }
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_truncated_file_refuses_writes_and_closing_it_is_an_error() {
    let store = Store::with(50).await;
    store.db.close().await.unwrap();
    let backend = SqliteBackend::open(store.file("chat.db")).await.unwrap();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let store = Store { db, maintenance, ..store };
    store.db.thread("t").add(NewMessage::user("before")).await.unwrap();
    let file = fs::File::options().write(true).open(store.file("chat.db")).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    while store.maintenance.health().condition == Condition::Writable {
        // Each refused write is a failure of the writer.
        let error = store.db.thread("t").add(NewMessage::user("lost")).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied), "{error}");
    }
    let health = store.maintenance.health();
    assert!(health.last_failure.unwrap().contains("the file was truncated"));
    let error = store.db.close().await.unwrap_err();
    assert!(error.to_string().contains("the file was truncated"), "{error}");
    drop(file);
}
