//! Retries: every operation, with the id and the key of the first attempt, within a budget.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use throughline::{
    Content, Effect, ErrorKind, IdempotencyKey, MessageId, MetadataPatch, NewMessage, NewReservation,
    PersistArgs, PersistError, PersistRequest, Persistence, Phase, Role,
    layers::retry::RetryLayer,
    memory::MemoryBackend,
    messages::{Batch, ContentChange, Delete, PageFrom, Reserve, Update, UpdateContent, UpdateMode},
    plugin::{AsyncRequestFn, FromFn, NextRequest, from_fn},
};

use crate::kind_effect_site;

/// The number, the key and the message of an attempt.
type Attempt = (u32, Option<IdempotencyKey>, Option<MessageId>);

/// Fails the first `failures` attempts of each call with this kind, before or after the store has run it.
fn flaky(
    failures: u32,
    kind: ErrorKind,
    effect: Effect,
    seen: Arc<Mutex<Vec<Attempt>>>,
) -> FromFn<impl AsyncRequestFn> {
    from_fn("flaky", Phase::Route, move |request: PersistRequest, next: NextRequest| {
        let context = request.context.clone();
        let key = context.idempotency().map(|idempotency| idempotency.key.clone());
        seen.lock().unwrap().push((context.attempt(), key, context.message().cloned()));
        async move {
            if context.attempt() > failures {
                return next.run(request).await;
            }
            if effect == Effect::Unknown {
                next.run(request).await?;
            }
            Err(PersistError::new(kind, "planned").with_effect(effect))
        }
    })
}

fn stack(retry: RetryLayer, flaky: FromFn<impl AsyncRequestFn>) -> Persistence {
    Persistence::builder().layer(retry).layer(flaky).backend(MemoryBackend::new()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn every_operation_is_retried_with_the_id_and_the_key_of_the_first_attempt() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let flaky = flaky(3, ErrorKind::Busy, Effect::NotApplied, Arc::clone(&seen));
    let db = stack(RetryLayer::new(), flaky);
    let thread = || "t".parse().unwrap();
    let id = |id: &str| id.parse::<MessageId>().unwrap();
    let update = |change, mode| UpdateContent::new(thread(), id("r"), change, mode);
    let operations: Vec<PersistArgs> = vec![
        throughline::messages::Add::new(thread(), NewMessage::user("a")).into(),
        Reserve::new(thread(), NewReservation::new(Role::Assistant).with_id(id("r"))).into(),
        update(ContentChange::Replace(Content::text("b")), UpdateMode::Partial).into(),
        update(ContentChange::none(), UpdateMode::Final).into(),
        Update::new(thread(), id("r"), MetadataPatch::new()).into(),
        Batch::new().with(Delete::new(thread(), id("r"))).into(),
        throughline::messages::GetMessage { thread: thread(), id: id("r") }.into(),
    ];
    for (at, args) in operations.into_iter().enumerate() {
        let kind = args.kind();
        match args {
            PersistArgs::Add(op) => drop(db.run(op).key(format!("k{at}")).await.unwrap()),
            PersistArgs::Reserve(op) => drop(db.run(op).key(format!("k{at}")).await.unwrap()),
            PersistArgs::UpdateContent(op) => drop(db.run(op).key(format!("k{at}")).await.unwrap()),
            PersistArgs::Update(op) => drop(db.run(op).key(format!("k{at}")).await.unwrap()),
            PersistArgs::Batch(op) => drop(db.run(op).key(format!("k{at}")).await.unwrap()),
            PersistArgs::Read(op) => drop(db.run(op).await.unwrap()),
            other => panic!("unexpected operation {other:?}"),
        }
        let attempts = std::mem::take(&mut *seen.lock().unwrap());
        let numbers: Vec<u32> = attempts.iter().map(|attempt| attempt.0).collect();
        assert_eq!(numbers, [1, 2, 3, 4], "{kind}");
        assert!(
            attempts.iter().all(|attempt| attempt.1 == attempts[0].1 && attempt.2 == attempts[0].2),
            "{kind}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_retried_only_with_a_key() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let db = stack(RetryLayer::new(), flaky(2, ErrorKind::Unavailable, Effect::Unknown, Arc::clone(&seen)));
    let thread = db.thread("t");
    let error = thread.add(NewMessage::user("a")).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.effect(), error.attempts()),
        (ErrorKind::Unavailable, Effect::Unknown, 1)
    );
    assert_eq!(seen.lock().unwrap().len(), 1);
    let added = thread.add(NewMessage::user("b")).key("k").await.unwrap();
    assert!(added.deduplicated, "the first attempt had written it");
    assert_eq!(thread.page(PageFrom::Start, 10).await.unwrap().messages.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_retry_returns_the_last_error_with_the_number_of_attempts() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let flaky = || flaky(u32::MAX, ErrorKind::Busy, Effect::NotApplied, Arc::clone(&seen));
    let error = stack(RetryLayer::new(), flaky()).thread("t").add(NewMessage::user("a")).await.unwrap_err();
    assert_eq!(kind_effect_site(&error), (ErrorKind::Busy, Effect::NotApplied, "flaky"));
    assert!(error.is_transient());
    assert_eq!((error.attempts(), seen.lock().unwrap().len()), (4, 4));
    // The shared budget: two retries in total for all calls.
    seen.lock().unwrap().clear();
    let db = stack(RetryLayer::new().budget(0, 2), flaky());
    for _ in 0..5 {
        db.thread("t").add(NewMessage::user("a")).await.unwrap_err();
    }
    assert_eq!(seen.lock().unwrap().len(), 5 + 2);
}

#[tokio::test(start_paused = true)]
async fn a_permanent_error_is_not_retried() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let db = stack(RetryLayer::new(), flaky(1, ErrorKind::Denied, Effect::NotApplied, Arc::clone(&seen)));
    let error = db.thread("t").add(NewMessage::user("a")).key("k").await.unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::Denied, 1));
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_whose_delay_exceeds_the_deadline_is_not_attempted() {
    let calls = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&calls);
    let slow = from_fn("slow", Phase::Route, move |_: PersistRequest, _: NextRequest| {
        count.fetch_add(1, Ordering::Relaxed);
        async {
            Err(PersistError::new(ErrorKind::Overloaded, "later")
                .with_effect(Effect::NotApplied)
                .with_retry_after(Duration::from_secs(60)))
        }
    });
    let db = stack(RetryLayer::new(), slow);
    let error = db.thread("t").add(NewMessage::user("a")).deadline(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "the original error, not a timeout");
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

/// The first attempt is applied with an unknown outcome, the second is refused: the refusal must not hide the first.
#[tokio::test(start_paused = true)]
async fn a_refused_retry_keeps_the_effect_of_an_earlier_attempt() {
    let turn = from_fn("turn", Phase::Route, |request: PersistRequest, next: NextRequest| async move {
        if request.context.attempt() == 1 {
            next.run(request).await?;
            return Err(PersistError::new(ErrorKind::Unavailable, "lost").with_effect(Effect::Unknown));
        }
        Err(PersistError::new(ErrorKind::Busy, "locked").with_effect(Effect::NotApplied))
    });
    let db = stack(RetryLayer::new().attempts(2), turn);
    let error = db.thread("t").add(NewMessage::user("a")).key("k").await.unwrap_err();
    assert_eq!((error.kind(), error.effect(), error.attempts()), (ErrorKind::Busy, Effect::Applied, 2));
}
