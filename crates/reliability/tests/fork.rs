//! A process that forks with a store open: the child has the handle and none of the threads behind it.

#[cfg(target_os = "linux")]
use std::{fs, path::Path};
use std::{
    future::{Future, IntoFuture as _},
    pin::pin,
    task::{Context, Poll, Waker},
};

use throughline_core::{Effect, ErrorKind, NewMessage, PageFrom, PersistError, Persistence};
use throughline_sqlite::SqliteBackend;

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
fn a_forked_child_is_refused_and_the_parent_goes_on() {
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
