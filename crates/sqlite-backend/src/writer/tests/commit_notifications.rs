//! The notifications for commits of other processes.

use throughline_core::backend::Backend as _;

use super::*;

/// Returns whether a future is not ready yet.
fn is_pending(future: impl Future) -> bool {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::pin!(future).poll(&mut cx).is_pending()
}

/// A writer that always has a write to apply does not poll for the commits of others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_writer_notifies_of_the_commits_of_other_processes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.db");
    let backend = SqliteBackend::open(&path).await.unwrap();
    let thread = ChangeScope::Thread("other".parse().unwrap());
    let mut commits =
        backend.commit_notifications().unwrap().narrowed_to(&"default".parse().unwrap(), &thread);
    let store = Store::over(backend);
    let other = Persistence::builder().backend(SqliteBackend::open(&path).await.unwrap()).build().unwrap();

    let (reached, answered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    store.faults.set_hook(Failpoint::Answered, move |_| {
        reached.send(()).unwrap();
        // The end of the test releases it for good.
        released.recv().unwrap_or_default();
    });
    // From its first write on, the writer of the store is never idle: it waits at the failpoint until the next write is
    // in its queue. An idle writer polls, and its first poll notifies every subscriber.
    let mut answers = vec![store.push("first", far())];
    tokio::task::block_in_place(|| answered.recv().unwrap());
    commits.mark_seen();
    answers.push(store.push("second", far()));
    release.send(()).unwrap();
    tokio::task::block_in_place(|| answered.recv().unwrap());
    assert!(is_pending(commits.changed()), "a commit to another thread");
    other.thread("other").add(message("foreign")).await.unwrap();
    answers.push(store.push("third", far()));
    release.send(()).unwrap();
    tokio::task::block_in_place(|| answered.recv().unwrap());
    assert_eq!(at_once(commits.changed()), Some(Position::new(4)));
    answers.push(store.push("fourth", far()));
    release.send(()).unwrap();
    tokio::task::block_in_place(|| answered.recv().unwrap());
    assert!(is_pending(commits.changed()), "no commit of another process");
    drop(release);
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
}
