//! Errors name the cause of a failure of SQLite: a page that the disk cannot read, or exhausted file descriptors.
#![cfg(target_os = "linux")]

use std::{
    env, fs,
    future::{Future as _, IntoFuture as _},
    path::{Path, PathBuf},
    pin::pin,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    task::{Context, Waker},
    time::Duration,
};

use rusqlite::ffi;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use throughline_core::{Effect, ErrorKind, NewMessage, Persistence, messages::PageFrom};
use throughline_reliability::{health_when, preload_library, skipped};
use throughline_sqlite::{Alarm, Condition, Failpoint, SqliteBackend, SqliteOptions};
use tokio::{runtime::Runtime, time::timeout};

/// A timeout far above the duration of any step.
const FAR: Duration = Duration::from_secs(60);

/// Fails every read of these bytes of `chat.db` with `EIO`, while there is a file at the path in `UNREADABLE`: those from
/// `UNREADABLE_FROM` to `UNREADABLE_TO`.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int fails(int fd, off_t at, size_t n_bytes) {
  char link[64], name[4096];
  const char *flag = getenv("UNREADABLE");
  if (!flag || access(flag, F_OK) != 0) return 0;
  if (at + (off_t)n_bytes <= atoll(getenv("UNREADABLE_FROM")) || at >= atoll(getenv("UNREADABLE_TO"))) return 0;
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
    if (fails(fd, at, n)) { errno = EIO; return -1; } \
    return behind(fd, buffer, n, at); \
  }
SHIM(pread)
SHIM(pread64)
ssize_t read(int fd, void *buffer, size_t n) {
  static ssize_t (*behind)(int, void *, size_t);
  if (!behind) behind = dlsym(RTLD_NEXT, "read");
  const char *flag = getenv("UNREADABLE");
  if (flag && access(flag, F_OK) == 0 && fails(fd, lseek(fd, 0, SEEK_CUR), n)) { errno = EIO; return -1; }
  return behind(fd, buffer, n);
}
"#;

const PART: &str = "THROUGHLINE_UNREADABLE_STORE";

/// Says that this process is the one that runs out of descriptors.
const LIMITED: &str = "THROUGHLINE_WITHOUT_DESCRIPTORS";

#[test]
fn a_page_that_the_disk_cannot_read_is_unavailable_and_not_corrupt() {
    if let Some(store) = env::var_os(PART) {
        return Runtime::new().unwrap().block_on(read_unreadable_page(Path::new(&store)));
    }
    let directory = tempfile::tempdir().unwrap();
    let Some(shim) = preload_library(directory.path(), SHIM).unwrap() else {
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
    // All but the first two pages.
    run_with_unreadable(
        "a_page_that_the_disk_cannot_read_is_unavailable_and_not_corrupt",
        &store,
        &shim,
        (8192, 1 << 40),
    );
}

/// Runs a test again, in a process that cannot read these bytes of the store.
fn run_with_unreadable(test: &str, store: &Path, shim: &Path, (from, to): (u64, u64)) {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args([test, "--exact", "--nocapture"]);
    child.env(PART, store).env("LD_PRELOAD", shim).env("UNREADABLE", store.with_extension("flag"));
    child.env("UNREADABLE_FROM", from.to_string()).env("UNREADABLE_TO", to.to_string());
    assert!(child.status().unwrap().success());
}

async fn read_unreadable_page(store: &Path) {
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
    health_when(&maintenance, FAR, |health| !health.alarms.contains(&Alarm::DiskUnreadable)).await;
    assert_eq!(db.thread("t").page(PageFrom::Start, 200).await.unwrap().messages.len(), 100);
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    db.close().await.unwrap();
}

/// The text of the message whose page cannot be read.
const MARKER: &str = "the message in the bad sector ";

#[test]
fn an_unreadable_page_of_one_tenant_fails_no_write_of_another() {
    if let Some(store) = env::var_os(PART) {
        return Runtime::new().unwrap().block_on(write_next_to_unreadable_page(Path::new(&store)));
    }
    let directory = tempfile::tempdir().unwrap();
    let Some(shim) = preload_library(directory.path(), SHIM).unwrap() else {
        return skipped("a page that the disk cannot read", "there is no C compiler");
    };
    let store = directory.path().join("chat.db");
    Runtime::new().unwrap().block_on(async {
        let backend = SqliteBackend::open(&store).await.unwrap();
        let db = Persistence::builder().backend(backend).build().unwrap();
        let thread = db.for_tenant("a".parse().unwrap()).thread("t");
        for n in 0..100 {
            let text = if n == 50 { MARKER.repeat(100) } else { "x".repeat(3000) };
            let message = NewMessage::user(&text).with_id(format!("m{n}").parse().unwrap());
            thread.add(message).await.unwrap();
        }
        db.close().await.unwrap();
    });
    let bytes = fs::read(&store).unwrap();
    let at = bytes.windows(MARKER.len()).position(|window| window == MARKER.as_bytes()).unwrap() as u64;
    let page = at / 4096 * 4096;
    let test = "an_unreadable_page_of_one_tenant_fails_no_write_of_another";
    run_with_unreadable(test, &store, &shim, (page, page + 4096));
}

async fn write_next_to_unreadable_page(store: &Path) {
    let (holds, held) = mpsc::channel::<()>();
    let held = Mutex::new(Some(held));
    let begun = Arc::<AtomicU64>::default();
    let options = SqliteOptions::new().failpoints({
        let begun = Arc::clone(&begun);
        move |point| {
            if point == Failpoint::Begun {
                begun.fetch_add(1, Ordering::SeqCst);
                let held = held.lock().unwrap().take();
                // Until the test drops the other end.
                if let Some(held) = held {
                    held.recv().unwrap_err();
                }
            }
            Ok(())
        }
    });
    let backend = options.open(store).await.unwrap();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let tenants = ["a", "b"].map(|tenant| db.for_tenant(tenant.parse().unwrap()));
    let seen = maintenance.health();
    fs::write(env::var_os("UNREADABLE").unwrap(), "").unwrap();

    let [a, b] = tenants.each_ref().map(|tenant| tenant.thread("t"));
    let mut delete = pin!(a.delete("m50".parse().unwrap()).into_future());
    let mut add = pin!(b.add(NewMessage::user("x")).into_future());
    // Both wait for the writer before it takes the first one.
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(add.as_mut().poll(cx).is_pending() && delete.as_mut().poll(cx).is_pending());
    drop(holds);
    let error = timeout(FAR, delete).await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied), "{error}");
    assert!(error.to_string().contains("the disk could not read `"), "{error}");
    timeout(FAR, add).await.unwrap().unwrap();
    // One transaction of both, and one of each alone.
    assert_eq!(begun.load(Ordering::SeqCst), 3);

    let health = timeout(FAR, maintenance.health_other_than(&seen)).await.unwrap();
    assert_eq!((health.failures, health.alarms), (0, vec![Alarm::DiskUnreadable]));
    for _ in 0..5 {
        let error = a.delete("m50".parse().unwrap()).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    }
    b.add(NewMessage::user("y")).await.unwrap();
    assert_eq!((maintenance.health().failures, maintenance.health().condition), (0, Condition::Writable));
    db.close().await.unwrap();
}

/// In a child process: the limit is one of the whole process.
#[test]
fn reads_continue_without_a_free_file_descriptor() {
    if env::var_os(LIMITED).is_some() {
        return Runtime::new().unwrap().block_on(write_without_descriptors());
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["reads_continue_without_a_free_file_descriptor", "--exact", "--nocapture"]).env(LIMITED, "");
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

    assert_eq!(db.thread("t").page(PageFrom::End, 9).await.unwrap().messages.len(), 1);

    // The connection that failed is closed, and another cannot be opened.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limit }).unwrap();
    ARMED.store(true, Ordering::SeqCst);
    let error = db.thread("t").add(NewMessage::user("fails")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let failure = maintenance.health().last_failure.unwrap();
    assert!(failure.contains("no file descriptor is left"), "{failure}");
    // The store becomes read-only. Its reader goes on, with the connection that it has.
    let tried = async {
        let mut probes_from = None;
        loop {
            let health = maintenance.health();
            if health.condition == Condition::ReadOnly {
                let from = *probes_from.get_or_insert(health.failures);
                if health.failures >= from + 3 {
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(FAR, tried).await.unwrap();
    assert_eq!(db.thread("t").page(PageFrom::End, 9).await.unwrap().messages.len(), 1);
    setrlimit(Resource::Nofile, limit).unwrap();
    let again = async { while db.thread("t").add(NewMessage::user("again")).await.is_err() {} };
    timeout(FAR, again).await.unwrap();
    db.close().await.unwrap();
}
