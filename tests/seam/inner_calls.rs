//! Laws 3 to 5 where a layer by hand does more than call once what is inside it: twice, at the same time, in a task of
//! its own.

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
    gated::{Gated, OPEN},
    said,
};

type Answer = Pin<Box<dyn Future<Output = Result<PersistResponse>> + Send>>;

/// A layer `forks` that does `act` with every write, over a layer `inner` and a store.
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

/// Does `first` to the first write that comes, and lets the others through.
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

/// Passes the write on twice, and answers the first or the second time.
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
async fn a_write_made_twice_does_not_hide_that_it_was_made() {
    let db = stack(twice(false), passes(), MemoryBackend::new());
    let error = db.thread("t").add(message()).await.unwrap_err();
    assert_eq!(said(&error), (ErrorKind::AlreadyExists, Effect::Applied, "memory"));
    assert!(!error.is_transient());
    assert!(db.thread("t").get(m()).await.unwrap().is_some());
    // The other way round: the first one is refused, and the second one made.
    let busy = || async { Err(PersistError::new(ErrorKind::Busy, "locked").with_effect(Effect::NotApplied)) };
    let db = stack(twice(true), first_write(busy), MemoryBackend::new());
    let error = db.thread("t").add(message()).await.unwrap_err();
    assert_eq!(said(&error), (ErrorKind::Busy, Effect::Applied, "inner"));
    assert!(!error.is_transient(), "what was made must not simply be made again");
    assert!(db.thread("t").get(m()).await.unwrap().is_some());
}

/// Gives up the first one when it is with the store, and is refused the second time.
#[tokio::test]
async fn a_refusal_does_not_hide_a_write_that_was_let_go() {
    let (gated, gates) = Gated::new(0, OPEN);
    let watched = Arc::clone(&gates);
    let hedges = move |inside: SharedService, request: PersistRequest| {
        let gates = Arc::clone(&watched);
        Box::pin(async move {
            tokio::select! {
                biased;
                _ = inside.clone().oneshot(request) => panic!("the gate is closed"),
                () = gates.arrival() => {}
            }
            Err(PersistError::new(ErrorKind::Busy, "the second one").with_effect(Effect::NotApplied))
        }) as Answer
    };
    let db = stack(hedges, passes(), gated);
    let error = db.thread("t").add(message()).await.unwrap_err();
    assert_eq!(said(&error), (ErrorKind::Busy, Effect::Unknown, "forks"));
    assert_eq!(db.thread("t").get(m()).await.unwrap(), None);
    gates.before.add_permits(OPEN);
    db.close().await.unwrap();
}

#[tokio::test]
async fn of_two_writes_at_once_neither_hides_what_the_other_did() {
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
                assert_eq!(said(&error), (ErrorKind::AlreadyExists, Effect::Applied, "memory"));
                assert!(stored.is_some());
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_writes_at_once_the_one_that_hangs_is_named_and_the_other_ones_effect_is_told() {
    let at_once = |inside: SharedService, request: PersistRequest| {
        Box::pin(async move {
            let hangs = inside.clone().oneshot(request.clone());
            let (first, _) = tokio::join!(hangs, inside.oneshot(request));
            first
        }) as Answer
    };
    let db = stack(at_once, first_write(std::future::pending), MemoryBackend::new());
    let error = db.thread("t").add(message()).deadline(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(said(&error), (ErrorKind::Timeout, Effect::Applied, "inner"));
    assert!(db.thread("t").get(m()).await.unwrap().is_some());
}

/// Passes the write on from a task of its own.
fn spawns(inside: SharedService, request: PersistRequest) -> Answer {
    Box::pin(async move { tokio::spawn(inside.oneshot(request)).await.expect("it is not aborted") })
}

#[tokio::test]
async fn a_failure_in_a_task_of_its_own_is_put_down_to_where_it_happened() {
    type Case = (fn() -> Result<()>, ErrorKind);
    let cases: [Case; 2] = [
        (|| Err(PersistError::new(ErrorKind::Denied, "no")), ErrorKind::Denied),
        (|| panic!("planned"), ErrorKind::Panicked),
    ];
    for (fails, kind) in cases {
        let db = stack(spawns, first_write(move || async move { fails() }), MemoryBackend::new());
        let error = db.thread("t").add(message()).await.unwrap_err();
        assert_eq!(said(&error), (kind, Effect::NotApplied, "inner"));
        db.thread("t").add(message()).await.unwrap();
        let error = db.thread("t").add(message()).await.unwrap_err();
        assert_eq!(said(&error), (ErrorKind::AlreadyExists, Effect::NotApplied, "memory"));
    }
}

#[tokio::test]
async fn what_strays_in_a_task_of_its_own_is_put_down_to_the_layer_that_let_it() {
    let strays = |inside: SharedService, mut request: PersistRequest| {
        if let PersistArgs::Add(add) = &mut request.args {
            add.thread = "other".parse().expect("an id");
        }
        spawns(inside, request)
    };
    let db = stack(strays, passes(), MemoryBackend::new());
    let error = db.thread("t").add(message()).await.unwrap_err();
    assert_eq!(said(&error), (ErrorKind::ContractViolation, Effect::NotApplied, "forks"));
    assert_eq!(db.thread("other").get(m()).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_over_a_task_of_its_own_is_unknown_and_the_write_is_made() {
    let (gated, gates) = Gated::new(0, OPEN);
    let db = stack(spawns, passes(), gated);
    let error = db.thread("t").add(message()).deadline(Duration::from_secs(1)).await.unwrap_err();
    let (kind, effect, site) = said(&error);
    assert_eq!((kind, effect), (ErrorKind::Timeout, Effect::Unknown));
    // The layer waits for its task, and the task for the store.
    assert!(["forks", "gated"].contains(&site), "{site}");
    gates.before.add_permits(OPEN);
    while db.thread("t").get(m()).await.unwrap().is_none() {
        yield_now().await;
    }
    db.close().await.unwrap();
}

/// A task that comes to the store after the caller was told that nothing ran.
#[tokio::test]
async fn a_task_of_its_own_that_comes_late_is_not_let_in() {
    let (go, ended) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (wait, told) = (Arc::clone(&go), Arc::clone(&ended));
    let late = move |inside: SharedService, request: PersistRequest| {
        let (wait, told) = (Arc::clone(&wait), Arc::clone(&told));
        let task = tokio::spawn(async move {
            wait.acquire().await.expect("never closed").forget();
            let answer = inside.oneshot(request).await;
            told.add_permits(1);
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
    assert_eq!(db.thread("t").get(m()).await.unwrap(), None, "its caller had left before anything ran");
    // The narrow twin: one that waits is served.
    go.add_permits(1);
    db.thread("t").add(message()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_strays_beside_another_call_is_put_down_to_the_layer_that_let_it() {
    let (gated, gates) = Gated::new(0, OPEN);
    let strays = |inside: SharedService, request: PersistRequest| {
        let mut other = request.clone();
        if let PersistArgs::Add(add) = &mut other.args {
            add.thread = "other".parse().expect("an id");
        }
        Box::pin(async move {
            tokio::select! {
                biased;
                _ = inside.clone().oneshot(request) => panic!("the gate is closed"),
                strayed = inside.oneshot(other) => strayed,
            }
        }) as Answer
    };
    let db = stack(strays, passes(), gated);
    let error = db.thread("t").add(message()).await.unwrap_err();
    assert_eq!(said(&error), (ErrorKind::ContractViolation, Effect::Unknown, "forks"));
    gates.before.add_permits(OPEN);
    db.close().await.unwrap();
}
