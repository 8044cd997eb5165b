//! Laws 3 to 5 for a layer that calls the rest of the stack more than once: twice, concurrently, or in a spawned task.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::Poll,
    time::Duration,
};

use throughline::{
    Backend, Effect, ErrorKind, MessageId, NewMessage, PersistArgs, PersistError, PersistRequest,
    PersistResponse, Persistence, Phase, Result,
    memory::MemoryBackend,
    pipeline::{LayerList, SharedService},
    plugin::{AsyncRequestFn, FromFn, NextRequest, from_fn},
};
use tokio::{sync::Semaphore, task::yield_now};
use tower::{ServiceExt as _, layer::layer_fn, util::service_fn};

use crate::{
    blocked::{BlockedStore, OPEN},
    kind_effect_site,
};

type Answer = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

/// Builds a stack: a layer `forks` that runs `act` for every write, a layer `inner`, and a store.
fn stack(
    act: impl Fn(SharedService, PersistRequest) -> Answer + Clone + Send + Sync + 'static,
    inner: FromFn<impl AsyncRequestFn>,
    store: impl Backend,
) -> Persistence {
    let forks = layer_fn(move |inside: SharedService| {
        let act = act.clone();
        service_fn(move |request: PersistRequest| {
            if request.kind().is_write() {
                act(inside.clone(), request)
            } else {
                Box::pin(inside.clone().oneshot(request)) as Answer
            }
        })
    });
    let list = LayerList::new().with_as("forks", Phase::Observe, forks).with(inner);
    Persistence::builder().layers(list).backend(store).build().unwrap()
}

/// Runs `first` before the first write, and passes the others.
fn first_write<F>(first: impl Fn() -> F + Clone + Send + Sync + 'static) -> FromFn<impl AsyncRequestFn>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let count = Arc::new(AtomicU32::new(0));
    from_fn("inner", Phase::Route, move |request: PersistRequest, next: NextRequest| {
        let is_first = request.kind().is_write() && count.fetch_add(1, Ordering::SeqCst) == 0;
        let first = first.clone();
        async move {
            if is_first {
                first().await?;
            }
            next.run(request).await
        }
    })
}

fn passes() -> FromFn<impl AsyncRequestFn> {
    first_write(|| async { Ok(()) })
}

fn m() -> MessageId {
    "m".parse().unwrap()
}

fn message() -> NewMessage {
    NewMessage::user("hello").with_id(m())
}

/// Passes the write on twice, and returns the first or the second answer.
fn twice(answers_first: bool) -> impl Fn(SharedService, PersistRequest) -> Answer + Clone {
    move |inside, request| {
        Box::pin(async move {
            let first = inside.clone().oneshot(request.clone()).await;
            let second = inside.oneshot(request).await;
            if answers_first { first } else { second }
        })
    }
}

#[tokio::test]
async fn the_error_of_a_write_called_twice_states_that_it_was_applied() {
    let db = stack(twice(false), passes(), MemoryBackend::new());
    let error = db.thread("t").add(message()).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::AlreadyExists, Effect::Applied, "memory"));
    assert!(!error.is_transient());
    assert!(db.thread("t").get(m()).await.unwrap().is_some());
    // Inverse order: the first write is refused, and the second one is applied.
    let busy = || async { Err(PersistError::new(ErrorKind::Busy, "locked").with_effect(Effect::NotApplied)) };
    let db = stack(twice(true), first_write(busy), MemoryBackend::new());
    let error = db.thread("t").add(message()).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Busy, Effect::Applied, "inner"));
    assert!(!error.is_transient(), "an applied write must not be retried");
    assert!(db.thread("t").get(m()).await.unwrap().is_some());
}

/// Drops the first call when it has reached the store, and refuses afterwards.
#[tokio::test]
async fn the_effect_is_unknown_when_a_layer_drops_a_write_and_returns_a_refusal() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let watched = Arc::clone(&barriers);
    let hedges = move |inside: SharedService, request: PersistRequest| {
        let barriers = Arc::clone(&watched);
        Box::pin(async move {
            tokio::select! {
                biased;
                _ = inside.clone().oneshot(request) => panic!("the barrier is closed"),
                () = barriers.arrival() => {}
            }
            Err(PersistError::new(ErrorKind::Busy, "the second one").with_effect(Effect::NotApplied))
        }) as Answer
    };
    let db = stack(hedges, passes(), blocked);
    let error = db.thread("t").add(message()).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Busy, Effect::Unknown, "forks"));
    assert_eq!(db.thread("t").get(m()).await.unwrap(), None);
    barriers.before.add_permits(OPEN);
    db.close().await.unwrap();
}

#[tokio::test]
async fn of_two_concurrent_writes_the_error_of_one_states_that_the_other_was_applied() {
    for answers_first in [true, false] {
        let at_once = move |inside: SharedService, request: PersistRequest| {
            Box::pin(async move {
                let (first, second) =
                    tokio::join!(inside.clone().oneshot(request.clone()), inside.oneshot(request));
                if answers_first { first } else { second }
            }) as Answer
        };
        let db = stack(at_once, passes(), MemoryBackend::new());
        let answer = db.thread("t").add(message()).await;
        let stored = db.thread("t").get(m()).await.unwrap();
        match answer {
            Ok(added) => assert_eq!(Some(added.message), stored),
            Err(error) => {
                assert_eq!(kind_effect_site(&error), (ErrorKind::AlreadyExists, Effect::Applied, "memory"));
                assert!(stored.is_some());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_names_the_hanging_layer_and_states_the_effect_of_a_concurrent_write() {
    let at_once = |inside: SharedService, request: PersistRequest| {
        Box::pin(async move {
            let hangs = inside.clone().oneshot(request.clone());
            let (first, _) = tokio::join!(hangs, inside.oneshot(request));
            first
        }) as Answer
    };
    let db = stack(at_once, first_write(std::future::pending), MemoryBackend::new());
    let error = db.thread("t").add(message()).deadline(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Timeout, Effect::Applied, "inner"));
    assert!(db.thread("t").get(m()).await.unwrap().is_some());
}

/// Passes the write on in a spawned task.
fn spawns(inside: SharedService, request: PersistRequest) -> Answer {
    Box::pin(async move { tokio::spawn(inside.oneshot(request)).await.expect("it is not aborted") })
}

#[tokio::test]
async fn a_failure_in_a_spawned_task_names_the_layer_that_failed() {
    type Case = (fn() -> Result<()>, ErrorKind);
    let cases: [Case; 2] = [
        (|| Err(PersistError::new(ErrorKind::Denied, "no")), ErrorKind::Denied),
        (|| panic!("planned"), ErrorKind::Panicked),
    ];
    for (fails, kind) in cases {
        let db = stack(spawns, first_write(move || async move { fails() }), MemoryBackend::new());
        let error = db.thread("t").add(message()).await.unwrap_err();
        assert_eq!(kind_effect_site(&error), (kind, Effect::NotApplied, "inner"));
        db.thread("t").add(message()).await.unwrap();
        let error = db.thread("t").add(message()).await.unwrap_err();
        assert_eq!(kind_effect_site(&error), (ErrorKind::AlreadyExists, Effect::NotApplied, "memory"));
    }
}

#[tokio::test]
async fn a_call_for_another_thread_in_a_spawned_task_names_the_layer_that_changed_it() {
    let changes_thread = |inside: SharedService, mut request: PersistRequest| {
        if let PersistArgs::Add(add) = &mut request.args {
            add.thread = "other".parse().expect("an id");
        }
        spawns(inside, request)
    };
    let db = stack(changes_thread, passes(), MemoryBackend::new());
    let error = db.thread("t").add(message()).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::ContractViolation, Effect::NotApplied, "forks"));
    assert_eq!(db.thread("other").get(m()).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_over_a_spawned_write_is_unknown_and_the_write_completes() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let db = stack(spawns, passes(), blocked);
    let error = db.thread("t").add(message()).deadline(Duration::from_secs(1)).await.unwrap_err();
    let (kind, effect, site) = kind_effect_site(&error);
    assert_eq!((kind, effect), (ErrorKind::Timeout, Effect::Unknown));
    // The layer waits for its task, and the task waits for the store.
    assert!(["forks", "blocked"].contains(&site), "{site}");
    barriers.before.add_permits(OPEN);
    while db.thread("t").get(m()).await.unwrap().is_none() {
        yield_now().await;
    }
    db.close().await.unwrap();
}

/// A task that reaches the store after its caller was dropped.
#[tokio::test]
async fn a_spawned_call_that_starts_after_its_caller_left_writes_nothing() {
    let (go, ended) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (wait, completed) = (Arc::clone(&go), Arc::clone(&ended));
    let late = move |inside: SharedService, request: PersistRequest| {
        let (wait, completed) = (Arc::clone(&wait), Arc::clone(&completed));
        let task = tokio::spawn(async move {
            wait.acquire().await.expect("never closed").forget();
            let answer = inside.oneshot(request).await;
            completed.add_permits(1);
            answer
        });
        Box::pin(async move { task.await.expect("it is not aborted") }) as Answer
    };
    let db = stack(late, passes(), MemoryBackend::new());
    {
        let mut add = pin!(db.thread("t").add(message()).into_future());
        assert!(poll_fn(|cx| Poll::Ready(add.as_mut().poll(cx).is_pending())).await);
    }
    go.add_permits(1);
    ended.acquire().await.unwrap().forget();
    assert_eq!(db.thread("t").get(m()).await.unwrap(), None, "the caller left before the store was called");
    // The counterpart: a call whose caller waits is served.
    go.add_permits(1);
    db.thread("t").add(message()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_for_another_thread_during_the_original_call_names_the_layer_that_changed_it() {
    let (blocked, barriers) = BlockedStore::new(0, OPEN);
    let changes_thread = |inside: SharedService, request: PersistRequest| {
        let mut other = request.clone();
        if let PersistArgs::Add(add) = &mut other.args {
            add.thread = "other".parse().expect("an id");
        }
        Box::pin(async move {
            tokio::select! {
                biased;
                _ = inside.clone().oneshot(request) => panic!("the barrier is closed"),
                changed = inside.oneshot(other) => changed,
            }
        }) as Answer
    };
    let db = stack(changes_thread, passes(), blocked);
    let error = db.thread("t").add(message()).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::ContractViolation, Effect::Unknown, "forks"));
    barriers.before.add_permits(OPEN);
    db.close().await.unwrap();
}
