//! Another program truncates or overwrites the WAL while the store is open.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use throughline_core::{Effect, ErrorKind, NewMessage, Persistence};
use throughline_sqlite::{Condition, Failpoint, SqliteBackend, SqliteOptions};
use tokio::time::timeout;

/// `SQLITE_BUSY`: another connection holds a lock.
const BUSY: i32 = 5;

/// A timeout far above the duration of any step.
const FAR: Duration = Duration::from_secs(60);

fn wal_of(path: &Path) -> (File, u64) {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let log = OpenOptions::new().read(true).write(true).open(PathBuf::from(name)).unwrap();
    let len = log.metadata().unwrap().len();
    assert!(len > 2 * 4096, "there is something in it");
    (log, len)
}

/// Changes the WAL of an open store, and expects that the store refuses every later write.
async fn expect_refused(how: &str, tamper: impl Fn(&File, u64)) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let backend = open_without_checkpoints(&path).await;
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    for n in 0..20 {
        db.thread("t").add(NewMessage::user(&format!("before {n}"))).await.unwrap();
    }
    let (wal, len) = wal_of(&path);
    tamper(&wal, len);
    for n in 0..3 {
        let error = db.thread("t").add(NewMessage::user(&format!("after {n}"))).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.effect()),
            (ErrorKind::Unavailable, Effect::NotApplied),
            "{how}: {error}"
        );
        assert!(error.to_string().contains("the WAL was "), "{how}: {error}");
    }
    let read_only = async {
        let mut health = maintenance.health();
        while health.condition == Condition::Writable {
            // Each write that is refused is a failure of the writer.
            db.thread("t").add(NewMessage::user("again")).await.unwrap_err();
            health = maintenance.health();
        }
        health
    };
    let health = timeout(FAR, read_only).await.expect("the writer stops");
    assert_eq!(health.condition, Condition::ReadOnly);
    assert!(health.last_failure.unwrap().contains("the WAL was "), "{how}");
    expect_close_names_the_wal(&db, how).await;
}

async fn expect_close_names_the_wal(db: &Persistence, how: &str) {
    let error = db.close().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown), "{how}: {error}");
    let text = error.to_string();
    assert!(text.contains("lacks acknowledged writes") && text.contains("the WAL was "), "{how}: {error}");
}

/// Opens a store that runs no checkpoints, so that the WAL has every page.
async fn open_without_checkpoints(path: &Path) -> SqliteBackend {
    let refuse = |point| if point == Failpoint::Checkpointing { Err(BUSY) } else { Ok(()) };
    SqliteOptions::new().failpoints(refuse).open(path).await.unwrap()
}

#[tokio::test]
async fn close_fails_after_the_wal_was_truncated() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let backend = open_without_checkpoints(&path).await;
    let db = Persistence::builder().backend(backend).build().unwrap();
    db.thread("t").add(NewMessage::user("acknowledged")).await.unwrap();
    wal_of(&path).0.set_len(0).unwrap();
    expect_close_names_the_wal(&db, "without a later write").await;
}

#[tokio::test]
async fn writes_are_refused_after_the_wal_was_truncated() {
    expect_refused("to nothing", |log, _| log.set_len(0).unwrap()).await;
    expect_refused("by one byte", |log, len| log.set_len(len - 1).unwrap()).await;
    expect_refused("to half", |log, len| log.set_len(len / 2).unwrap()).await;
}

#[tokio::test]
async fn writes_are_refused_after_the_wal_was_overwritten() {
    let noise = |len| vec![0xa5; len];
    expect_refused("all of it", |log, len| log.write_all_at(&noise(len as usize), 0).unwrap()).await;
    expect_refused("its header", |log, _| log.write_all_at(&noise(32), 0).unwrap()).await;
    expect_refused("a bit of its header", |log, _| log.write_all_at(&[0], 5).unwrap()).await;
    expect_refused("its last frame", |log, len| {
        log.write_all_at(&noise(4096 + 24), len - 4096 - 24).unwrap();
    })
    .await;
}
