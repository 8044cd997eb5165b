//! The end of a pipeline.

use throughline_core::{Effect, ErrorKind};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{everything, id, ids, refused, said},
    tap::PausePoints,
    timers::settle,
};

checks! {
    Core "pipelines.closed_pipeline_refuses_calls" [Add Read] "a closed pipeline refuses every call as unavailable, without effect" => refuses;
    Core "pipelines.close_waits_for_detached_writes" [Add] "close waits for a write whose caller was dropped" => waits;
    Extended "pipelines.detached_write_survives_close" [Add Read; durable] "a write whose caller was dropped is stored after close" => keeps;
}

async fn refuses(rig: Rig) {
    let db = rig.db().await;
    let other = db.clone();
    db.thread("t").add(said("m", "x")).await.unwrap();
    db.close().await.expect("it closes");
    refused(other.thread("t").add(said("n", "x")).await, ErrorKind::Unavailable);
    let error = other.thread("t").get(id("m")).await.expect_err("closed");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    other.close().await.expect("closing again is the same");
}

/// Leaves a write behind that the backend is at work on, closes, and lets the backend go on only then.
async fn leave_and_close(rig: &Rig) {
    let pauses = PausePoints::new();
    let backend = rig.tapped(&pauses).await;
    let db = rig.builder().backend(backend).build().unwrap();
    pauses.before.pause();
    let left = tokio::spawn(db.thread("t").add(said("m", "x")).into_future());
    pauses.before.arrived().await;
    left.abort();
    assert!(left.await.expect_err("aborted").is_cancelled());
    let closing = tokio::spawn(async move { db.close().await });
    settle().await;
    assert!(!closing.is_finished(), "it closed over a write in flight");
    pauses.before.resume();
    closing.await.expect("no panic").expect("it closes");
}

async fn waits(rig: Rig) {
    leave_and_close(&rig).await;
}

async fn keeps(rig: Rig) {
    leave_and_close(&rig).await;
    let db = rig.db().await;
    assert_eq!(ids(&everything(&db.thread("t")).await), ["m"]);
}
