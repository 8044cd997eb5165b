//! A deadline answers what is known, and abandons nothing.

use std::time::Duration;

use throughline_core::{
    Content, Effect, ErrorKind, IdempotencyKey, NewMessage, Thread, messages::PageFrom, pipeline::Admission,
};
use throughline_layers::timeout::TimeoutLayer;

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{id, said, the},
    tap::{PausePoint, PausePoints},
    timers::{advance_timers, on_other_runtime},
};

checks! {
    Extended "deadlines.timeout_during_commit_is_unknown_until_retried" ("VL-S10") [Add Read; keys] "a deadline during the commit answers `Effect::Unknown` with the key, and a retry finds one row" => committed;
    Extended "deadlines.timeout_after_hand_over_is_unknown" ("VL-S10") [Add Read; keys] "a deadline between the hand-over and the commit answers `Effect::Unknown`" => handed_over;
    Core "deadlines.outcome_without_key_is_known_by_id" ("VL-S10") [Add Read] "after a timeout without a key the message id reveals the outcome" => without_key;
    Extended "deadlines.inner_timeout_abandons_no_write" ("VL-S10") [Add Read; keys] "a timeout layer inside the stack does not abandon a write that the store has received" => attempt;
    Core "deadlines.expired_deadline_prevents_the_call" ("VL-S10") [Add Read] "a call whose deadline has already passed has no effect" => passed;
    Core "deadlines.unreached_deadline_changes_nothing" ("VL-S10") [Add Read] "a deadline that is not reached does not affect the call" => in_time;
}

const DEADLINE: Duration = Duration::from_secs(3600);

async fn committed(rig: Rig) {
    by_key(&rig, |pauses| &pauses.after).await;
}

async fn handed_over(rig: Rig) {
    by_key(&rig, |pauses| &pauses.before).await;
}

async fn by_key(rig: &Rig, stop: fn(&PausePoints) -> &PausePoint) {
    let pauses = PausePoints::new();
    let stop = stop(&pauses);
    let backend = rig.tapped(&pauses).await;
    // One write permit: the next write sees the late one complete.
    let one = Admission { writes: 1, ..Admission::default() };
    let db = rig.builder().admission(one).backend(backend).build().unwrap();
    let thread = db.thread("t");
    stop.pause();
    let call = thread.add(NewMessage::user("x")).key("k").deadline(DEADLINE);
    let late = tokio::spawn(call.into_future());
    stop.arrived().await;
    advance_timers(DEADLINE + Duration::from_secs(1)).await;
    let error = late.await.expect("no panic").expect_err("the deadline passed");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown), "{error}");
    assert_eq!(error.idempotency_key().map(IdempotencyKey::as_str), Some("k"));
    assert_eq!(error.site().map(throughline_core::Site::name), db.describe().names().last());
    assert!(error.is_transient());
    stop.resume();
    one_row(&thread).await;
}

/// The same call with the same key answers the one row that there is.
async fn one_row(thread: &Thread) {
    let thread = thread.clone();
    let (learnt, read) = on_other_runtime(async move {
        let learnt = thread.add(NewMessage::user("x")).key("k").await;
        (learnt, thread.page(PageFrom::Start, 10).await)
    })
    .await;
    assert_eq!(read.expect("a page").messages, [learnt.expect("the outcome").message]);
}

async fn without_key(rig: Rig) {
    let pauses = PausePoints::new();
    let backend = rig.tapped(&pauses).await;
    let db = rig.builder().backend(backend).build().unwrap();
    let thread = db.thread("t");
    pauses.after.pause();
    let late = tokio::spawn(thread.add(said("m", "x")).deadline(DEADLINE).into_future());
    pauses.after.arrived().await;
    advance_timers(DEADLINE + Duration::from_secs(1)).await;
    let error = late.await.expect("no panic").expect_err("the deadline passed");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown), "{error}");
    assert_eq!(error.message(), Some(&id("m")));
    assert!(!error.is_transient(), "without a key it cannot be repeated safely");
    pauses.after.resume();
    let learnt = on_other_runtime(async move { thread.get(id("m")).await }).await.expect("a read");
    assert_eq!(learnt.expect("it was committed").content, Content::text("x"));
}

async fn attempt(rig: Rig) {
    let pauses = PausePoints::new();
    let backend = rig.tapped(&pauses).await;
    let db = rig.builder().layer(TimeoutLayer::new(DEADLINE)).backend(backend).build().unwrap();
    let thread = db.thread("t");
    pauses.before.pause();
    let late = tokio::spawn(thread.add(NewMessage::user("x")).key("k").into_future());
    pauses.before.arrived().await;
    advance_timers(DEADLINE + Duration::from_secs(1)).await;
    let error = late.await.expect("no panic").expect_err("the time is over");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown), "{error}");
    assert_eq!(error.site().map(throughline_core::Site::name), Some("timeout"));
    // The permit is already free. The pause point behind the store shows that the late write has ended.
    pauses.after.pause();
    pauses.before.resume();
    pauses.after.arrived().await;
    pauses.after.resume();
    one_row(&thread).await;
}

async fn passed(rig: Rig) {
    let db = rig.db().await;
    let thread = db.thread("t");
    let error = thread.add(said("m", "x")).deadline(Duration::ZERO).await.expect_err("no time at all");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied), "{error}");
    assert_eq!(thread.get(id("m")).await.unwrap(), None);
    thread.add(said("m", "x")).await.expect("it was never made");
}

async fn in_time(rig: Rig) {
    let db = rig.db().await.with_deadline(DEADLINE);
    let added = db.thread("t").add(said("m", "x")).await.unwrap().message;
    assert_eq!(the(&db.thread("t"), "m").await, added);
    assert_eq!(db.thread("t").get(id("m")).deadline(Duration::MAX).await.unwrap(), Some(added));
}
