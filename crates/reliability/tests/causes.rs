//! What is behind a failure of SQLite is named: a page that the disk cannot read, and descriptors that have run out.
#![cfg(target_os = "linux")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use rusqlite::ffi;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use throughline_core::{ErrorKind, NewMessage, PageFrom, Persistence};
use throughline_reliability::skipped;
use throughline_sqlite::{Alarm, Failpoint, SqliteBackend, SqliteOptions};
use tokio::{runtime::Runtime, time::timeout};

/// Far more than anything here takes.
const FAR: Duration = Duration::from_secs(60);

/// Fails every read of `chat.db` behind its second page with `EIO`, while there is a file at the path in `UNREADABLE`.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int fails(int fd, off_t end) {
  char link[64], name[4096];
  const char *flag = getenv("UNREADABLE");
  if (!flag || access(flag, F_OK) != 0 || end <= 8192) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, name, sizeof name - 1);
  if (n < 7) return 0;
  name[n] = 0;
  return strcmp(name + n - 7, "chat.db") == 0;
}
#define SHIM(name) \
  ssize_t name(int fd, void *buffer, size_t n, off_t at) { \
    static ssize_t (*behind)(int, void *, size_t, off_t); \
    if (!behind) behind = dlsym(RTLD_NEXT, #name); \
    if (fails(fd, at + n)) { errno = EIO; return -1; } \
    return behind(fd, buffer, n, at); \
  }
SHIM(pread)
SHIM(pread64)
ssize_t read(int fd, void *buffer, size_t n) {
  static ssize_t (*behind)(int, void *, size_t);
  if (!behind) behind = dlsym(RTLD_NEXT, "read");
  const char *flag = getenv("UNREADABLE");
  if (flag && access(flag, F_OK) == 0 && fails(fd, lseek(fd, 0, SEEK_CUR) + n)) { errno = EIO; return -1; }
  return behind(fd, buffer, n);
}
"#;

const PART: &str = "THROUGHLINE_UNREADABLE_STORE";

/// Says that this process is the one that runs out of descriptors.
const LIMITED: &str = "THROUGHLINE_WITHOUT_DESCRIPTORS";

/// Builds the shim; nothing where there is no compiler.
fn shim(directory: &Path) -> Option<PathBuf> {
    let (source, library) = (directory.join("shim.c"), directory.join("shim.so"));
    fs::write(&source, SHIM).unwrap();
    let mut compiler = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-shared", "-fPIC", "-o"]).args([&library, &source]).arg("-ldl");
    compiler.status().is_ok_and(|status| status.success()).then_some(library)
}

#[test]
fn a_page_that_the_disk_cannot_read_is_unavailable_and_not_corrupt() {
    if let Some(store) = env::var_os(PART) {
        return Runtime::new().unwrap().block_on(read_what_cannot_be_read(Path::new(&store)));
    }
    let directory = tempfile::tempdir().unwrap();
    let Some(shim) = shim(directory.path()) else {
        return skipped("a page that the disk cannot read", "there is no C compiler");
    };
    let store = directory.path().join("chat.db");
    Runtime::new().unwrap().block_on(async {
        let backend = SqliteBackend::open(&store).await.unwrap();
        let db = Persistence::builder().backend(backend).build().unwrap();
        for _ in 0..100 {
            db.thread("t").add(NewMessage::user(&"x".repeat(3000))).await.unwrap();
        }
        db.close().await.unwrap();
    });
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["a_page_that_the_disk_cannot_read_is_unavailable_and_not_corrupt", "--exact", "--nocapture"]);
    child.env(PART, &store).env("LD_PRELOAD", shim).env("UNREADABLE", directory.path().join("flag"));
    assert!(child.status().unwrap().success());
}

async fn read_what_cannot_be_read(store: &Path) {
    let flag = PathBuf::from(env::var_os("UNREADABLE").unwrap());
    let backend = SqliteBackend::open(store).await.unwrap();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let seen = maintenance.health();
    assert!(seen.is_good());

    fs::write(&flag, "").unwrap();
    let error = db.thread("t").page(PageFrom::Start, 100).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("the disk could not read `"), "{error}");
    let error = db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let health = timeout(FAR, maintenance.health_other_than(&seen)).await.unwrap();
    assert!(health.alarms.contains(&Alarm::DiskUnreadable), "{health:?}");

    fs::remove_file(&flag).unwrap();
    let good = async {
        let mut health = maintenance.health();
        while health.alarms.contains(&Alarm::DiskUnreadable) {
            health = maintenance.health_other_than(&health).await;
        }
    };
    timeout(FAR, good).await.expect("that it is over is told");
    assert_eq!(db.thread("t").page(PageFrom::Start, 200).await.unwrap().messages.len(), 100);
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    db.close().await.unwrap();
}

/// In a child process: the limit is one of the whole process.
#[test]
fn that_no_descriptor_is_left_is_named() {
    if env::var_os(LIMITED).is_some() {
        return Runtime::new().unwrap().block_on(write_without_descriptors());
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["that_no_descriptor_is_left_is_named", "--exact", "--nocapture"]).env(LIMITED, "");
    assert!(child.status().unwrap().success());
}

async fn write_without_descriptors() {
    static ARMED: AtomicBool = AtomicBool::new(false);
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new().wait_limit(Duration::from_secs(2)).failpoints(|point| {
        let fails = point == Failpoint::Committing && ARMED.swap(false, Ordering::SeqCst);
        if fails { Err(ffi::SQLITE_IOERR_WRITE) } else { Ok(()) }
    });
    let backend = options.open(directory.path().join("chat.db")).await.unwrap();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    db.thread("t").add(NewMessage::user("before")).await.unwrap();

    // The connection that failed is closed, and another cannot be opened.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limit }).unwrap();
    ARMED.store(true, Ordering::SeqCst);
    let error = db.thread("t").add(NewMessage::user("fails")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let told = maintenance.health().last_failure.unwrap();
    assert!(told.contains("no file descriptor is left"), "{told}");
    setrlimit(Resource::Nofile, limit).unwrap();
    let again = async { while db.thread("t").add(NewMessage::user("again")).await.is_err() {} };
    timeout(FAR, again).await.unwrap();
    db.close().await.unwrap();
}
