//! A fork that fails leaves nothing, unless it can go on.

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

use crate::said;

/// How the second import of a fork goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fails {
    Never,
    With(ErrorKind),
    /// No import of more than so many messages is let in.
    Beyond(usize),
    /// It is waited for until the test says otherwise.
    Hangs,
    /// It is denied, when the test says so.
    DeniedLate,
    /// It hangs, and the import after it, of another caller, is denied.
    HangsAndDeniesTheNext,
    /// It is denied when the test says so, and the third import of another caller hangs until then.
    DeniedLateBehindAnother,
    /// Others write to the new thread first.
    ToOthers,
    /// The thread is published, and the answer is lost.
    AfterPublishing,
}

struct Host {
    thread: Thread,
    /// The thread that a fork made.
    made: Arc<Mutex<Option<ThreadId>>>,
    /// How many threads were deleted.
    deleted: Arc<AtomicUsize>,
    let_go: Arc<Semaphore>,
}

impl Host {
    /// A thread of more messages than a fork copies at once.
    async fn new(fails: Fails) -> Self {
        let (made, imports) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
        let let_go = Arc::new(Semaphore::new(0));
        let (seen, gate) = (Arc::clone(&made), Arc::clone(&let_go));
        let deleted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&deleted);
        let layer = from_fn("fails", Phase::Route, move |request: PersistRequest, next: NextRequest| {
            let (mut strikes, mut number) = (false, 0);
            if let PersistArgs::Thread(ThreadArgs::Create(create)) = &request.args {
                *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(create.thread.clone());
            }
            if let PersistArgs::Import(import) = &request.args {
                // The first one fills the thread that is forked.
                number = imports.fetch_add(1, Ordering::SeqCst);
                strikes = match fails {
                    Fails::Beyond(rows) => number > 0 && import.rows.len() > rows,
                    _ => number == 2,
                };
            }
            let publishes = matches!(request.args, PersistArgs::Thread(ThreadArgs::Publish(_)));
            let deletes = matches!(request.args, PersistArgs::Thread(ThreadArgs::Delete(_)));
            let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
            async move {
                let error = |kind, effect| Err(PersistError::new(kind, "planned").with_effect(effect));
                match (fails, number) {
                    (Fails::Hangs | Fails::HangsAndDeniesTheNext, 2)
                    | (Fails::DeniedLateBehindAnother, 5) => {
                        gate.acquire().await.unwrap().forget();
                        return next.run(request).await;
                    }
                    (Fails::DeniedLate | Fails::DeniedLateBehindAnother, 2) => {
                        gate.acquire().await.unwrap().forget();
                        return error(ErrorKind::Denied, Effect::NotApplied);
                    }
                    (Fails::HangsAndDeniesTheNext, 3) => return error(ErrorKind::Denied, Effect::NotApplied),
                    _ => {}
                }
                match fails {
                    Fails::Beyond(_) if strikes => error(ErrorKind::TooLarge, Effect::NotApplied),
                    Fails::With(kind) if strikes => error(kind, Effect::NotApplied),
                    Fails::ToOthers if strikes => {
                        let mut request = request;
                        if let PersistArgs::Import(import) = &mut request.args {
                            import.rows[0].content = Content::text("theirs");
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
        Self { thread: db.thread("t"), made, deleted, let_go }
    }

    fn made(&self) -> Thread {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.thread.persistence().thread(made.expect("a thread was made"))
    }

    /// Begins a fork under the name, and lets it go on until it waits.
    async fn begin(&self) -> JoinHandle<Result<Forked>> {
        let thread = self.thread.clone();
        let fork = tokio::spawn(async move { thread.fork(&"m420".parse().unwrap(), named()).await });
        // The clock is paused: it goes on when every task waits.
        tokio::time::sleep(Duration::from_millis(1)).await;
        fork
    }

    async fn listed(&self) -> usize {
        self.thread.persistence().threads(ListThreads::new(10)).await.unwrap().entries.len()
    }
}

fn named() -> NewThread {
    NewThread::new().with_id("f".parse().unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_fork_that_fails_removes_what_it_has_written() {
    let last = "m420".parse().unwrap();
    for (to, kind) in [
        (named(), ErrorKind::Denied),
        (NewThread::new(), ErrorKind::Denied),
        (NewThread::new(), ErrorKind::StorageFull),
        // Where the id was minted, there is no way to go on.
        (NewThread::new(), ErrorKind::Unavailable),
    ] {
        let host = Host::new(Fails::With(kind)).await;
        let error = host.thread.fork(&last, to).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert_eq!(host.made().entry().await.unwrap(), None, "{error}");
        assert_eq!(host.listed().await, 1);
        let again = host.thread.fork(&last, NewThread::new()).await.unwrap();
        assert_eq!(again.messages, 421);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fork_whose_id_was_named_goes_on_after_a_failure_that_passes() {
    let last = "m420".parse().unwrap();
    for kind in [ErrorKind::Busy, ErrorKind::StorageFull] {
        let host = Host::new(Fails::With(kind)).await;
        host.thread.fork(&last, named()).await.unwrap_err();
        let hidden = host.made().entry().await.unwrap().unwrap();
        assert!(!hidden.listed && hidden.messages == 200, "{hidden:?}");
        assert_eq!(host.thread.fork(&last, named()).await.unwrap().messages, 421);
    }
}

#[tokio::test(start_paused = true)]
async fn a_named_fork_that_fails_leaves_the_thread_to_the_call_that_made_it() {
    let host = Host::new(Fails::HangsAndDeniesTheNext).await;
    let first = host.begin().await;
    let second = host.begin().await.await.unwrap().unwrap_err();
    assert_eq!(said(&second), (ErrorKind::Denied, Effect::NotApplied, "fails"));
    host.let_go.add_permits(1);
    assert_eq!(first.await.unwrap().unwrap().messages, 421);
    assert_eq!((host.listed().await, host.deleted.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_named_fork_that_fails_leaves_the_thread_to_a_call_that_has_copied_more() {
    let host = Host::new(Fails::DeniedLateBehindAnother).await;
    let first = host.begin().await;
    let second = host.begin().await;
    host.let_go.add_permits(1);
    let error = first.await.unwrap().unwrap_err();
    assert_eq!(said(&error), (ErrorKind::Denied, Effect::NotApplied, "fails"));
    host.let_go.add_permits(1);
    assert_eq!(second.await.unwrap().unwrap().messages, 421);
    assert_eq!((host.listed().await, host.deleted.load(Ordering::SeqCst)), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_named_fork_that_fails_keeps_what_others_have_added() {
    let host = Host::new(Fails::DeniedLate).await;
    let fork = host.begin().await;
    let theirs = host.made().add(NewMessage::user("mine")).await.unwrap().message.id;
    host.let_go.add_permits(1);
    let error = fork.await.unwrap().unwrap_err();
    assert_eq!(said(&error), (ErrorKind::Denied, Effect::NotApplied, "fails"));
    assert!(host.made().get(theirs).await.unwrap().is_some());
    assert_eq!(host.deleted.load(Ordering::SeqCst), 0);
}

/// Nothing was made, and so there is nothing to remove.
#[tokio::test]
async fn a_fork_whose_thread_is_refused_speaks_of_no_hidden_thread() {
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
        assert_eq!(said(&error), (ErrorKind::Denied, Effect::NotApplied, "denies"));
        assert_eq!(error.detail(), "planned");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fork_whose_last_answer_was_lost_is_whole() {
    for to in [named(), NewThread::new()] {
        let host = Host::new(Fails::AfterPublishing).await;
        let forked = host.thread.fork(&"m420".parse().unwrap(), to).await.unwrap();
        assert_eq!((forked.messages, forked.entry.messages, forked.entry.listed), (421, 421, true));
        assert_eq!(host.listed().await, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_fork_that_was_dropped_is_removed_where_its_id_was_minted() {
    let host = Host::new(Fails::Hangs).await;
    let last = "m420".parse().unwrap();
    let fork = host.thread.fork(&last, NewThread::new());
    assert!(tokio::time::timeout(Duration::from_secs(1), fork).await.is_err(), "it hangs");
    while host.made().entry().await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    host.let_go.add_permits(1);
    assert_eq!(host.thread.fork(&last, NewThread::new()).await.unwrap().messages, 421);
    assert_eq!(host.listed().await, 2);
}

#[tokio::test(start_paused = true)]
async fn closing_waits_for_the_removal_of_a_fork_that_was_dropped() {
    let host = Host::new(Fails::Hangs).await;
    let last = "m420".parse().unwrap();
    let fork = host.thread.fork(&last, NewThread::new());
    assert!(tokio::time::timeout(Duration::from_secs(1), fork).await.is_err(), "it hangs");
    host.thread.persistence().close().await.unwrap();
    assert_eq!(host.deleted.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_fork_that_others_have_written_to_is_left_to_them() {
    let host = Host::new(Fails::ToOthers).await;
    let error = host.thread.fork(&"m420".parse().unwrap(), NewThread::new()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    assert!(host.made().entry().await.unwrap().is_some());
    host.made().add(NewMessage::user("mine")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fork_of_more_than_is_let_in_at_once_is_made_in_smaller_steps() {
    for fails in [Fails::Never, Fails::Beyond(30), Fails::Beyond(1)] {
        let host = Host::new(fails).await;
        assert_eq!(host.thread.fork(&"m420".parse().unwrap(), named()).await.unwrap().messages, 421);
        let first = host.made().page(throughline::messages::PageFrom::Start, 3).await.unwrap().messages;
        let ids: Vec<&str> = first.iter().map(|message| message.id.as_str()).collect();
        assert_eq!(ids, ["m0", "m1", "m2"], "in their order");
    }
}
