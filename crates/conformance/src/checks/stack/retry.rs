//! Transient errors: the retry layer repeats the same call.

use std::{sync::Arc, time::Duration};

use throughline_core::{
    Content, Effect, ErrorKind, MetadataPatch, NewMessage, NewReservation, Persistence, Role,
    messages::{Batch, Reserve, UpdateMode},
};
use throughline_layers::retry::RetryLayer;

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, id, ids, refused, said, the},
    tap::{Fault, Faults},
};

checks! {
    Core "retries.transient_failure_fails_no_operation" ("VL-S16") [Add Reserve UpdateContent Update Delete Read] "a store that is briefly busy or unavailable fails no operation" => passes;
    Extended "retries.transient_failure_fails_no_batch" ("VL-S16") [Add Batch Read] "a store that is briefly busy fails no batch" => batch;
    Core "retries.exhausted_budget_is_a_transient_error" ("VL-S16") [Add Read] "after the retry budget the error is transient, typed, and reports the attempts" => beyond;
    Extended "retries.lost_answer_with_key_is_applied_once" ("VL-S16") [Add UpdateContent Read; keys] "a write with a key whose answer was lost is applied once" => answer_lost;
    Core "retries.lost_answer_without_key_is_not_retried" ("VL-S16") [Add UpdateContent Read] "a write without a key whose answer was lost is not retried" => without_key;
    Core "retries.permanent_errors_are_not_retried" ("VL-S16") [Add Read] "the retry layer does not repeat a call after a permanent error" => refusals;
}

async fn stack(rig: &Rig) -> (Persistence, Arc<Faults>) {
    let faults = Faults::new();
    let backend = rig.tapped(&faults).await;
    let retry = RetryLayer::new().attempts(4).backoff(Duration::from_micros(1), Duration::from_micros(2));
    (rig.builder().layer(retry).backend(backend).build().unwrap(), faults)
}

async fn passes(rig: Rig) {
    let (db, faults) = stack(&rig).await;
    let thread = db.thread("t");
    for (fault, name) in [(Fault::Busy, "a"), (Fault::Unreachable, "b")] {
        let again = || faults.next(fault, 3);
        again();
        let minted = thread.add(NewMessage::user(name)).await.unwrap().message;
        assert_eq!(everything(&thread).await.last(), Some(&minted), "the id of the first attempt");
        thread.delete(minted.id).await.unwrap();
        again();
        let reservation = NewReservation::new(Role::Assistant).with_id(id(name));
        db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
        again();
        thread.update_content(id(name), append("x"), UpdateMode::Partial).await.unwrap();
        again();
        thread.update(id(name), MetadataPatch::new().set("k", &1).unwrap()).await.unwrap();
        again();
        thread.update_content(id(name), append("y"), UpdateMode::Final).await.unwrap();
        assert_eq!(the(&thread, name).await.content, Content::text("xy"));
        again();
        thread.delete(id(name)).await.unwrap();
    }
    assert_eq!(everything(&thread).await, []);
}

async fn batch(rig: Rig) {
    let (db, faults) = stack(&rig).await;
    faults.next(Fault::Busy, 3);
    let add = |name| throughline_core::messages::Add::new("t".parse().unwrap(), said(name, "x"));
    db.batch(Batch::new().with(add("a")).with(add("b"))).await.unwrap();
    assert_eq!(faults.attempts(), 4);
    assert_eq!(ids(&everything(&db.thread("t")).await), ["a", "b"]);
}

async fn beyond(rig: Rig) {
    let (db, faults) = stack(&rig).await;
    let thread = db.thread("t");
    faults.next(Fault::Busy, 4);
    let error = refused(thread.add(said("m", "x")).await, ErrorKind::Busy);
    assert_eq!((error.attempts(), error.is_transient(), faults.attempts()), (4, true, 4));
    assert!(error.to_string().contains("after 4 attempts"), "{error}");
    assert_eq!(thread.get(id("m")).await.unwrap(), None);
    thread.add(said("m", "x")).await.expect("it has passed");
    assert_eq!(faults.attempts(), 1);
}

async fn answer_lost(rig: Rig) {
    let (db, faults) = stack(&rig).await;
    let thread = db.thread("t");
    faults.next(Fault::AnswerLost, 1);
    let added =
        thread.add(NewMessage::user("x")).key("k").await.expect("made once, answered the second time");
    assert_eq!((added.deduplicated, faults.attempts()), (true, 2));
    assert_eq!(everything(&thread).await, std::slice::from_ref(&added.message));
    faults.next(Fault::AnswerLost, 1);
    let edit = thread.update_content(added.message.id.clone(), append("y"), UpdateMode::Edit).key("e").await;
    assert!(edit.unwrap().deduplicated);
    assert_eq!(everything(&thread).await[0].content, Content::text("xy"));
}

async fn without_key(rig: Rig) {
    let (db, faults) = stack(&rig).await;
    let thread = db.thread("t");
    faults.next(Fault::AnswerLost, 1);
    let error = thread.add(said("m", "x")).await.expect_err("the answer is lost");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
    assert_eq!((error.is_transient(), faults.attempts()), (false, 1));
    assert_eq!(the(&thread, "m").await.content, Content::text("x"));
}

async fn refusals(rig: Rig) {
    let (db, faults) = stack(&rig).await;
    let thread = db.thread("t");
    thread.add(said("m", "x")).await.unwrap();
    assert_eq!(faults.attempts(), 1);
    let error = refused(thread.add(said("m", "x")).await, ErrorKind::AlreadyExists);
    assert_eq!((error.attempts(), faults.attempts()), (1, 1));
}
