//! A process that forks with a store open: the child has the handle and none of the threads behind it.

use std::{
    fs,
    future::{Future, IntoFuture as _},
    pin::pin,
    sync::{Mutex, mpsc},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};
#[cfg(target_os = "linux")]
use std::{path::Path, time::Instant};

#[cfg(target_os = "linux")]
use rusqlite::Connection;
use throughline_core::{
    Backend as _, Effect, ErrorKind, MessageId, NewMessage, PersistError, Persistence,
    backend::{Inherit, PerProcess},
    messages::PageFrom,
};
use throughline_postgres::PostgresBackend;
use throughline_postgres_cluster::{Cluster, Installation};
use throughline_reliability::skipped;
use throughline_sqlite::SqliteBackend;
#[cfg(target_os = "linux")]
use throughline_sqlite::{ForkGuard, OpenError};
use tokio::{runtime::Runtime, time::timeout};

/// A timeout far above the duration of any step.
const FAR: Duration = Duration::from_secs(60);

/// Runs `check` in a forked child, and answers the number that it ends with. The child is killed after ten seconds.
fn in_forked_child(check: impl FnOnce() -> i32) -> Option<i32> {
    // SAFETY: fork takes no arguments; the child runs `check`, which waits for no other thread, and ends without destructors.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        // SAFETY: alarm takes a number of seconds; its signal ends the child.
        unsafe { libc::alarm(10) };
        let code = check();
        // SAFETY: it ends the child at once, and runs none of the destructors of the parent's threads.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: `status` outlives the call, and `child` was forked above.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(waited, child);
    libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
}

/// 0 if the first poll refuses the call as one of a forked child, 1 if it answers otherwise, 2 if it waits.
fn refusal<T>(call: impl Future<Output = Result<T, PersistError>>) -> i32 {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Err(error))
            if error.kind() == ErrorKind::Invalid
                && error.effect() == Effect::NotApplied
                && error.detail().contains("forked") =>
        {
            0
        }
        Poll::Ready(_) => 1,
        Poll::Pending => 2,
    }
}

/// How many descriptors of the store a forked child has fewer after `call` was refused; -1 where it was not.
#[cfg(target_os = "linux")]
fn closed_by_a_refusal(store: &Path, call: impl FnOnce() -> i32) -> i32 {
    let store = store.to_str().unwrap();
    let open = || {
        let links =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        links.filter(|link| link.to_str().unwrap().starts_with(store)).count() as i32
    };
    let before = open();
    if call() == 0 { before - open() } else { -1 }
}

#[test]
fn forked_child_is_refused_and_the_parent_continues() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fork.db");
    let open = async {
        let backend = SqliteBackend::open(&path).await.unwrap();
        let db = Persistence::builder().backend(backend).build().unwrap();
        db.thread("t").add(NewMessage::user("before")).await.unwrap();
        db
    };
    let db = runtime.block_on(open);
    let thread = db.thread("t");

    let write = || refusal(thread.add(NewMessage::user("child")).into_future());
    assert_eq!(in_forked_child(write), Some(0), "a write of a forked child");
    #[cfg(target_os = "linux")]
    assert_eq!(
        in_forked_child(|| closed_by_a_refusal(&path, write)),
        Some(3),
        "the descriptors of the locks"
    );
    let read = || refusal(thread.page(PageFrom::Start, 10).into_future());
    assert_eq!(in_forked_child(read), Some(0), "a read of a forked child");
    assert_eq!(in_forked_child(|| refusal(db.close())), Some(0), "a close by a forked child");
    let temporary = runtime.block_on(SqliteBackend::temporary()).unwrap();
    let dropped = || {
        // The parent keeps its own; the bytes of the handle are the same in the child.
        // SAFETY: the child ends without using or dropping the original.
        drop(unsafe { std::ptr::read(&raw const temporary) });
        0
    };
    assert_eq!(in_forked_child(dropped), Some(0), "a drop in a forked child");
    drop(temporary);

    runtime.block_on(async {
        thread.add(NewMessage::user("after")).await.unwrap();
        assert_eq!(thread.page(PageFrom::Start, 10).await.unwrap().messages.len(), 2);
        db.close().await.unwrap();
    });
}

/// Opens a store in a forked child. Returns 0 if it is open, 1 if it is refused as open in the parent, and 2 otherwise.
#[cfg(target_os = "linux")]
fn opened(path: &Path) -> i32 {
    // Another runtime is the parent's, without its threads.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(SqliteBackend::open(path)) {
        Ok(backend) => {
            std::mem::forget(backend);
            0
        }
        Err(OpenError::Forked { .. }) => 1,
        Err(_) => 2,
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_forked_child_opens_no_file_that_its_parent_has_open() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let [path, other, link] = ["fork.db", "other.db", "link.db"].map(|name| directory.path().join(name));
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let backend = runtime.block_on(SqliteBackend::open(&path)).unwrap();
    let maintenance = backend.maintenance();
    for path in [&path, &link] {
        assert_eq!(in_forked_child(|| opened(path)), Some(1), "a file that is open in the parent");
    }
    assert_eq!(
        in_forked_child(|| in_forked_child(|| opened(&path)).unwrap_or(3)),
        Some(1),
        "a child of the child"
    );
    assert_eq!(
        in_forked_child(|| refusal(maintenance.verify())),
        Some(0),
        "maintenance of the parent's store"
    );
    runtime.block_on(backend.close()).unwrap();
    assert_eq!(in_forked_child(|| opened(&path)), Some(0), "a file that was closed before the fork");
    assert_eq!(in_forked_child(|| opened(&other)), Some(0), "a file that was never open");
}

/// Opens a store in a forked child that drops a copy of the guard first. Returns 0 if it is open, 1 if it is refused because a store used
/// SQLite at the fork, and 2 otherwise.
#[cfg(target_os = "linux")]
fn opened_after(guard: &ForkGuard, path: &Path) -> i32 {
    // SAFETY: the child ends without dropping the original.
    drop(unsafe { std::ptr::read(guard) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(SqliteBackend::open(path)) {
        Ok(backend) => {
            std::mem::forget(backend);
            0
        }
        Err(OpenError::ForkedInUse { .. }) => 1,
        Err(_) => 2,
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_child_forked_while_a_store_uses_sqlite_opens_no_store() {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let [path, other] = ["fork.db", "other.db"].map(|name| directory.path().join(name));
    let db = runtime.block_on(async {
        let backend = SqliteBackend::open(&path).await.unwrap();
        Persistence::builder().backend(backend).build().unwrap()
    });
    let lock = Connection::open(&path).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The writer waits for the lock inside of SQLite.
    let write = runtime.spawn({
        let thread = db.thread("t");
        async move { thread.add(NewMessage::user("x")).await }
    });
    let begun = Instant::now();
    let busy = loop {
        let guard = ForkGuard::new(Duration::ZERO);
        if !guard.is_quiet() {
            break guard;
        }
        assert!(begun.elapsed() < FAR, "the writer never used SQLite");
    };
    assert_eq!(in_forked_child(|| opened_after(&busy, &other)), Some(1), "a store is busy");
    drop(busy);
    lock.execute_batch("ROLLBACK").unwrap();
    runtime.block_on(write).unwrap().unwrap();
    let quiet = ForkGuard::new(FAR);
    assert!(quiet.is_quiet());
    assert_eq!(in_forked_child(|| opened_after(&quiet, &other)), Some(0), "all stores are idle");
    drop(quiet);
    runtime.block_on(db.close()).unwrap();
}

#[derive(Default)]
struct Number(u32);

impl Inherit for Number {
    fn inherit(_: &Mutex<Self>) -> Self {
        Self(7)
    }
}

#[test]
fn a_child_does_not_inherit_a_lock_that_another_thread_holds() {
    static NUMBER: PerProcess<Number> = PerProcess::new();
    let (held, is_held) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let holder = thread::spawn(move || {
        NUMBER.lock().0 = 3;
        let number = NUMBER.lock();
        held.send(()).unwrap();
        assert!(released.recv().is_err());
        drop(number);
    });
    is_held.recv().unwrap();
    let number = || i32::try_from(NUMBER.lock().0).unwrap();
    assert_eq!(in_forked_child(number), Some(7));
    assert_eq!(in_forked_child(|| in_forked_child(number).unwrap_or(1)), Some(7), "a child of the child");
    drop(release);
    holder.join().unwrap();
    assert_eq!(number(), 3);
}

#[test]
fn two_children_make_different_ids() {
    let directory = tempfile::tempdir().unwrap();
    // The thread that forks has made one.
    let parent = MessageId::mint();
    let ids = ["first", "second"].map(|name| {
        let file = directory.path().join(name);
        let write = || i32::from(fs::write(&file, MessageId::mint().as_str()).is_err());
        assert_eq!(in_forked_child(write), Some(0));
        fs::read_to_string(file).unwrap()
    });
    // The last 48 bits are random, and not the time.
    let random = |id: &str| id[24..].to_owned();
    assert_ne!(random(&ids[0]), random(&ids[1]));
    assert_ne!(random(&ids[0]), random(MessageId::mint().as_str()));
    assert_ne!(random(&ids[0]), random(parent.as_str()));
}

#[test]
fn forked_child_of_a_postgres_store_is_refused_and_the_parent_continues() {
    let Some(installation) = Installation::find() else {
        return skipped("a fork with a Postgres store open", "PostgreSQL 15 or newer is not installed");
    };
    let cluster = Cluster::start(&installation).unwrap();
    let runtime = Runtime::new().unwrap();
    // The timeout of an unanswered connection is longer than that of the test.
    let open = || {
        let options = PostgresBackend::builder().answer_limit(10 * FAR);
        runtime.block_on(options.open(&cluster.url("postgres"))).unwrap()
    };
    let backend = open();
    let db = runtime.block_on(async { Persistence::builder().backend(backend).build().unwrap() });
    let count = |expected: usize| {
        let read = async { db.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len() };
        assert_eq!(runtime.block_on(async { timeout(FAR, read).await }), Ok(expected));
    };
    runtime.block_on(async { db.thread("t").add(NewMessage::user("before")).await }).unwrap();
    // Its connection is idle from now on.
    count(1);

    let write = || refusal(db.thread("t").add(NewMessage::user("child")).into_future());
    assert_eq!(in_forked_child(write), Some(0), "a write of a forked child");
    let read = || refusal(db.thread("t").page(PageFrom::Start, 10).into_future());
    assert_eq!(in_forked_child(read), Some(0), "a read of a forked child");
    assert_eq!(in_forked_child(|| refusal(db.close())), Some(0), "a close by a forked child");
    let followed = open();
    assert!(followed.commit_notifications().is_some());
    assert_eq!(
        in_forked_child(|| followed.commit_notifications().is_some().into()),
        Some(0),
        "notifications in a forked child"
    );
    drop(followed);
    let dropped = || {
        // The parent keeps its own; the bytes of the handle are the same in the child.
        // SAFETY: the child ends without using or dropping the original.
        drop(unsafe { std::ptr::read(&raw const db) });
        0
    };
    assert_eq!(in_forked_child(dropped), Some(0), "a drop in a forked child");

    count(1);
    let write = async { db.thread("t").add(NewMessage::user("after")).await.unwrap() };
    runtime.block_on(async { timeout(FAR, write).await }).unwrap();
    count(2);
    runtime.block_on(db.close()).unwrap();
}
