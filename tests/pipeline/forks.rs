//! A fork that fails leaves nothing behind, unless it can continue.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use throughline::{
    Content, Effect, ErrorKind, NewMessage, NewThread, PersistArgs, PersistError, PersistRequest,
    Persistence, Phase, Result, Role, Thread, ThreadId, Timestamp,
    memory::MemoryBackend,
    messages::{Import, ImportRow},
    plugin::{NextRequest, from_fn},
    threads::{Forked, ListThreads, ThreadArgs},
};
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::kind_effect_site;

/// The failure of the second import of a fork.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fails {
    Never,
    With(ErrorKind),
    /// Imports of more messages than this are refused as too large.
    Beyond(usize),
    /// The import waits for the test.
    Hangs,
    /// The import waits for the test, and is then denied.
    DeniedLate,
    /// The import waits, and the next import (of another caller) is denied.
    HangsAndDeniesTheNext,
    /// The import is denied when the test says so; the third import of another caller waits until then.
    DeniedLateBehindAnother,
    /// Another writer adds to the new thread before the import.
    ToOthers,
    /// The thread is published, but the answer is lost.
    AfterPublishing,
}

struct Host {
    thread: Thread,
    /// The thread that the last fork created.
    created: Arc<Mutex<Option<ThreadId>>>,
    /// The number of deleted threads.
    deleted: Arc<AtomicUsize>,
    barrier_permits: Arc<Semaphore>,
}

impl Host {
    /// Creates a thread with more messages than a fork copies in one import.
    async fn new(fails: Fails) -> Self {
        let (created, imports) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
        let barrier_permits = Arc::new(Semaphore::new(0));
        let (seen, barrier) = (Arc::clone(&created), Arc::clone(&barrier_permits));
        let deleted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&deleted);
        let layer = from_fn("fails", Phase::Route, move |request: PersistRequest, next: NextRequest| {
            let (mut is_hit, mut number) = (false, 0);
            if let PersistArgs::Thread(ThreadArgs::Create(create)) = &request.args {
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(create.thread.clone());
            }
            if let PersistArgs::Import(import) = &request.args {
                // The first import fills the thread to fork.
                number = imports.fetch_add(1, Ordering::SeqCst);
                is_hit = match fails {
                    Fails::Beyond(rows) => number > 0 && import.rows.len() > rows,
                    _ => number == 2,
                };
            }
            let publishes = matches!(request.args, PersistArgs::Thread(ThreadArgs::Publish(_)));
            let deletes = matches!(request.args, PersistArgs::Thread(ThreadArgs::Delete(_)));
            let (barrier, count) = (Arc::clone(&barrier), Arc::clone(&count));
            async move {
                let error = |kind, effect| Err(PersistError::new(kind, "planned").with_effect(effect));
                match (fails, number) {
                    (Fails::Hangs | Fails::HangsAndDeniesTheNext, 2)
                    | (Fails::DeniedLateBehindAnother, 5) => {
                        barrier.acquire().await.unwrap().forget();
                        return next.run(request).await;
                    }
                    (Fails::DeniedLate | Fails::DeniedLateBehindAnother, 2) => {
                        barrier.acquire().await.unwrap().forget();
                        return error(ErrorKind::Denied, Effect::NotApplied);
                    }
                    (Fails::HangsAndDeniesTheNext, 3) => return error(ErrorKind::Denied, Effect::NotApplied),
                    _ => {}
                }
                match fails {
                    Fails::Beyond(_) if is_hit => error(ErrorKind::TooLarge, Effect::NotApplied),
                    Fails::With(kind) if is_hit => error(kind, Effect::NotApplied),
                    Fails::ToOthers if is_hit => {
                        let mut request = request;
                        if let PersistArgs::Import(import) = &mut request.args {
                            import.rows[0].content = Content::text("of another writer");
                            import.rows[0].id = "m1".parse().unwrap();
                        }
                        next.run(request).await
                    }
                    Fails::AfterPublishing if publishes => {
                        next.run(request).await?;
                        error(ErrorKind::Denied, Effect::Unknown)
                    }
                    _ => {
                        let answer = next.run(request).await?;
                        count.fetch_add(usize::from(deletes), Ordering::SeqCst);
                        Ok(answer)
                    }
                }
            }
        });
        let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
        let at = Timestamp::from_micros(0);
        let row = |n| ImportRow::new(format!("m{n}").parse().unwrap(), Role::User, Content::text("x"), at);
        db.run(Import::new("t".parse().unwrap(), (0..450).map(row).collect())).await.unwrap();
        Self { thread: db.thread("t"), created, deleted, barrier_permits }
    }

    fn created(&self) -> Thread {
        let created = self.created.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.thread.persistence().thread(created.expect("a thread was created"))
    }

    /// Starts a fork with a given id, and lets it run until it waits.
    async fn begin(&self) -> JoinHandle<Result<Forked>> {
        let thread = self.thread.clone();
        let fork = tokio::spawn(async move { thread.fork(&"m420".parse().unwrap(), named()).await });
        // The clock is paused, so it advances when every task waits.
        tokio::time::sleep(Duration::from_millis(1)).await;
        fork
    }

    async fn listed_threads(&self) -> usize {
        self.thread.persistence().threads(ListThreads::new(10)).await.unwrap().threads.len()
    }
}

fn named() -> NewThread {
    NewThread::new().with_id("f".parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_failed_fork_removes_its_new_thread() {
    let last = "m420".parse().unwrap();
    for (to, kind) in [
        (named(), ErrorKind::Denied),
        (NewThread::new(), ErrorKind::Denied),
        (NewThread::new(), ErrorKind::StorageFull),
        // A fork with a generated id cannot continue.
        (NewThread::new(), ErrorKind::Unavailable),
    ] {
        let host = Host::new(Fails::With(kind)).await;
        let error = host.thread.fork(&last, to).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(host.created().summary().await.unwrap(), None, "{error}");
        assert_eq!(host.listed_threads().await, 1);
        let again = host.thread.fork(&last, NewThread::new()).await.unwrap();
        assert_eq!(again.messages, 421);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fork_with_a_given_id_continues_after_a_transient_failure() {
    let last = "m420".parse().unwrap();
    for kind in [ErrorKind::Busy, ErrorKind::StorageFull] {
        let host = Host::new(Fails::With(kind)).await;
        host.thread.fork(&last, named()).await.unwrap_err();
        let hidden = host.created().summary().await.unwrap().unwrap();
        assert!(!hidden.listed && hidden.messages == 200, "{hidden:?}");
        assert_eq!(host.thread.fork(&last, named()).await.unwrap().messages, 421);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_fork_does_not_delete_a_thread_that_a_concurrent_fork_created() {
    let host = Host::new(Fails::HangsAndDeniesTheNext).await;
    let first = host.begin().await;
    let second = host.begin().await.await.unwrap().unwrap_err();
    assert_eq!(kind_effect_site(&second), (ErrorKind::Denied, Effect::NotApplied, "fails"));
    host.barrier_permits.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap().messages, 421);
    assert_eq!((host.listed_threads().await, host.deleted.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_fork_does_not_delete_a_thread_into_which_a_concurrent_fork_copied_more() {
    let host = Host::new(Fails::DeniedLateBehindAnother).await;
    let first = host.begin().await;
    let second = host.begin().await;
    host.barrier_permits.add_permits(1);
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Denied, Effect::NotApplied, "fails"));
    host.barrier_permits.add_permits(1);
    assert_eq!(second.await.unwrap().unwrap().messages, 421);
    assert_eq!((host.listed_threads().await, host.deleted.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_failed_fork_keeps_messages_of_other_writers() {
    let host = Host::new(Fails::DeniedLate).await;
    let fork = host.begin().await;
    let other_writers = host.created().add(NewMessage::user("mine")).await.unwrap().message.id;
    host.barrier_permits.add_permits(1);
    let error = fork.await.unwrap().unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Denied, Effect::NotApplied, "fails"));
    assert!(host.created().get(other_writers).await.unwrap().is_some());
    assert_eq!(host.deleted.load(Ordering::SeqCst), 0);
}

/// No thread was created, so there is none to remove.
#[tokio::test]
async fn the_error_of_a_fork_whose_thread_is_refused_mentions_no_hidden_thread() {
    let denies = from_fn("denies", Phase::Route, |request: PersistRequest, next: NextRequest| async move {
        match request.args {
            PersistArgs::Thread(ThreadArgs::Create(_) | ThreadArgs::Delete(_)) => {
                Err(PersistError::new(ErrorKind::Denied, "planned").with_effect(Effect::NotApplied))
            }
            _ => next.run(request).await,
        }
    });
    let db = Persistence::builder().layer(denies).backend(MemoryBackend::new()).build().unwrap();
    let last = db.thread("t").add(NewMessage::user("x")).await.unwrap().message.id;
    for to in [NewThread::new(), named()] {
        let error = db.thread("t").fork(&last, to).await.unwrap_err();
        assert_eq!(kind_effect_site(&error), (ErrorKind::Denied, Effect::NotApplied, "denies"));
        assert_eq!(error.detail(), "planned");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fork_succeeds_when_the_answer_of_its_publish_is_lost() {
    for to in [named(), NewThread::new()] {
        let host = Host::new(Fails::AfterPublishing).await;
        let forked = host.thread.fork(&"m420".parse().unwrap(), to).await.unwrap();
        assert_eq!((forked.messages, forked.summary.messages, forked.summary.listed), (421, 421, true));
        assert_eq!(host.listed_threads().await, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_fork_with_a_generated_id_is_removed() {
    let host = Host::new(Fails::Hangs).await;
    let last = "m420".parse().unwrap();
    let fork = host.thread.fork(&last, NewThread::new());
    assert!(tokio::time::timeout(Duration::from_secs(1), fork).await.is_err(), "it hangs");
    while host.created().summary().await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    host.barrier_permits.add_permits(1);
    assert_eq!(host.thread.fork(&last, NewThread::new()).await.unwrap().messages, 421);
    assert_eq!(host.listed_threads().await, 2);
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_the_removal_of_a_dropped_fork() {
    let host = Host::new(Fails::Hangs).await;
    let last = "m420".parse().unwrap();
    let fork = host.thread.fork(&last, NewThread::new());
    assert!(tokio::time::timeout(Duration::from_secs(1), fork).await.is_err(), "it hangs");
    host.thread.persistence().close().await.unwrap();
    assert_eq!(host.deleted.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_fork_into_a_thread_with_other_messages_does_not_delete_it() {
    let host = Host::new(Fails::ToOthers).await;
    let error = host.thread.fork(&"m420".parse().unwrap(), NewThread::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(host.created().summary().await.unwrap().is_some());
    host.created().add(NewMessage::user("mine")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fork_retries_with_smaller_imports_when_they_are_too_large() {
    for fails in [Fails::Never, Fails::Beyond(30), Fails::Beyond(1)] {
        let host = Host::new(fails).await;
        assert_eq!(host.thread.fork(&"m420".parse().unwrap(), named()).await.unwrap().messages, 421);
        let first = host.created().page(throughline::messages::PageFrom::Start, 3).await.unwrap().messages;
        let ids: Vec<&str> = first.iter().map(|message| message.id.as_str()).collect();
        assert_eq!(ids, ["m0", "m1", "m2"], "in order");
    }
}
