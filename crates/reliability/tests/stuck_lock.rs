//! Locks that the operating system fails to take or to give back.
#![cfg(target_os = "linux")]

use std::{
    ffi::{c_int, c_void},
    future::IntoFuture as _,
    sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering},
    time::Duration,
};

use rusqlite::ffi;
use throughline_core::{Effect, ErrorKind, NewMessage, Persistence, messages::PageFrom};
use throughline_sqlite::{Failpoint, SqliteOptions};
use tokio::time::timeout;

/// A timeout far above the duration of any step.
const FAR: Duration = Duration::from_secs(60);

static ARMED: AtomicBool = AtomicBool::new(false);
static FAILS: AtomicBool = AtomicBool::new(false);
static FAILED: AtomicU64 = AtomicU64::new(0);
static BEHIND: AtomicPtr<c_void> = AtomicPtr::new(std::ptr::null_mut());

type Fcntl = unsafe extern "C" fn(c_int, c_int, *mut c_void) -> c_int;

/// `fcntl` as SQLite calls it.
unsafe extern "C" fn failing(file: c_int, command: c_int, argument: *mut c_void) -> c_int {
    if command == libc::F_SETLK && FAILS.load(Ordering::SeqCst) {
        FAILED.fetch_add(1, Ordering::SeqCst);
        set_errno(libc::EIO);
        return -1;
    }
    let behind = BEHIND.load(Ordering::SeqCst);
    // SAFETY: it is the function that SQLite had before.
    let behind = unsafe { std::mem::transmute::<*mut c_void, Fcntl>(behind) };
    // SAFETY: SQLite vouches for the arguments.
    unsafe { behind(file, command, argument) }
}

fn set_errno(value: c_int) {
    // SAFETY: the function returns a valid pointer to the `errno` of this thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe { *errno = value };
}

/// Installs the failing call in front of that of SQLite.
fn install() {
    // SAFETY: SQLite is initialized by the call, and has a file system.
    let vfs = unsafe { ffi::sqlite3_vfs_find(std::ptr::null()) };
    // SAFETY: there is one, and it lives as long as the process.
    let methods = unsafe { &*vfs };
    let (get, set) = (methods.xGetSystemCall.unwrap(), methods.xSetSystemCall.unwrap());
    // SAFETY: the name is one of its calls.
    let behind = unsafe { get(vfs, c"fcntl".as_ptr()) };
    BEHIND.store(behind.expect("SQLite calls it") as *mut c_void, Ordering::SeqCst);
    // SAFETY: a function is passed as one without its type, which SQLite calls with the type that it has.
    let function = unsafe { std::mem::transmute::<Fcntl, unsafe extern "C" fn()>(failing) };
    // SAFETY: no connection is open that could be in a call.
    assert_eq!(unsafe { set(vfs, c"fcntl".as_ptr(), Some(function)) }, ffi::SQLITE_OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_is_released_after_the_unlock_failed_for_a_while() {
    install();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let options = SqliteOptions::new().wait_limit(Duration::from_secs(3)).failpoints(|point| {
        // The next commit takes the lock, and cannot release it.
        if point == Failpoint::Committing && ARMED.swap(false, Ordering::SeqCst) {
            FAILS.store(true, Ordering::SeqCst);
        }
        Ok(())
    });
    let backend = options.open(&path).await.unwrap();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    db.thread("t").add(NewMessage::user("before")).await.unwrap();
    db.thread("t").page(PageFrom::End, 9).await.unwrap();

    ARMED.store(true, Ordering::SeqCst);
    db.thread("t").add(NewMessage::user("committed")).await.unwrap();
    let error = timeout(FAR, db.thread("t").add(NewMessage::user("refused")).into_future())
        .await
        .unwrap()
        .unwrap_err();
    assert!(FAILED.load(Ordering::SeqCst) > 0);
    assert!(matches!(error.kind(), ErrorKind::Busy | ErrorKind::Unavailable), "{error}");
    assert_eq!(error.effect(), Effect::NotApplied);
    let health = maintenance.health();
    assert!(health.failures > 0, "{health:?}");
    assert!(health.last_failure.unwrap().contains("lock"), "the health names the failure");

    FAILS.store(false, Ordering::SeqCst);
    let again = async { while db.thread("t").add(NewMessage::user("again")).await.is_err() {} };
    timeout(FAR, again).await.expect("the store is written to again, without being opened again");
    let health = maintenance.health();
    assert!(health.is_good() && health.failures == 0, "{health:?}");
    let page = db.thread("t").page(PageFrom::Start, 1000).await.unwrap();
    assert_eq!(page.messages.len(), 3);
    db.close().await.unwrap();
}
