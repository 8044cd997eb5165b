//! A caller that leaves leaves nothing half done.

use std::{future::IntoFuture, pin::pin, time::Duration};

use throughline_core::{
    Content, MessageState, NewMessage, Persistence,
    messages::{Batch, UpdateMode},
    pipeline::Admission,
    requests::Request,
};

use crate::{
    check::checks,
    rig::Rig,
    shorthand::{append, everything, id, ids, said},
    tap::PausePoints,
    timers::settle,
};

checks! {
    Core "cancellations.drop_before_hand_over_runs_nothing" ("VL-S9") [Add Read] "a call dropped before the hand-over has no effect, and a call dropped after it is applied" => hand_over;
    Core "cancellations.drop_at_any_await_is_atomic" ("VL-S9") [Add Read] "a call dropped at any await point is applied or absent, and the next call succeeds" => every_await;
    Extended "cancellations.outcome_is_known_by_key" ("VL-S9") [Add Read; keys] "after a drop at any await point the key reveals the outcome" => by_key;
    Extended "cancellations.dropped_batch_is_atomic" ("VL-S9") [Add UpdateContent Batch Read; keys] "a dropped batch is applied as a whole or not at all" => batch;
    Core "cancellations.dropped_calls_return_their_permits" ("VL-S9") [Add Read] "dropped callers return their permits, whether they wait or run" => slots;
}

/// Only a hang reaches it; then the check says so instead of waiting for its own end.
const HANG: Duration = Duration::from_secs(20);

/// One permit for each kind of call, so that the next call fails if a permit is not returned.
const ONE: Admission = Admission { writes: 1, reads: 1, waiting: 8 };

async fn pausable(rig: &Rig) -> (Persistence, std::sync::Arc<PausePoints>) {
    let pauses = PausePoints::new();
    let backend = rig.tapped(&pauses).await;
    (rig.builder().admission(ONE).backend(backend).build().unwrap(), pauses)
}

async fn hand_over(rig: Rig) {
    let (db, pauses) = pausable(&rig).await;
    let thread = db.thread("t");
    // Never polled: nothing happened.
    drop(thread.add(said("never", "x")).into_future());
    for (name, stop) in [("before", &pauses.before), ("after", &pauses.after)] {
        stop.pause();
        let left = tokio::spawn(thread.add(said(name, "x")).into_future());
        stop.arrived().await;
        left.abort();
        assert!(left.await.expect_err("aborted").is_cancelled());
        stop.resume();
        // The write holds its permit until it ends, so the next write sees it complete.
        thread.add(said(&format!("next to {name}"), "x")).deadline(HANG).await.expect("a free permit");
    }
    let names = ["before", "next to before", "after", "next to after"];
    assert_eq!(ids(&everything(&thread).await), names);
}

/// Polls a call until it was woken so many times, and drops it then. Whether it had answered.
async fn leave_after<O: throughline_core::Operation>(call: Request<O>, polls: usize) -> bool {
    let mut call = pin!(call.into_future());
    for _ in 0..polls {
        tokio::select! {
            biased;
            answer = &mut call => {
                answer.expect("the write itself is a good one");
                return true;
            }
            () = tokio::task::yield_now() => {}
        }
    }
    false
}

/// How far callers are followed before they leave: past the end of any call that answers by then.
const FAR: usize = 40;

async fn every_await(rig: Rig) {
    let backend = rig.open().await;
    let db = rig.builder().admission(ONE).backend(backend).build().unwrap();
    let thread = db.thread("t");
    for polls in 0..FAR {
        let name = format!("m{polls}");
        let answered = leave_after(thread.add(said(&name, &name)), polls).await;
        thread.add(said(&format!("next to {name}"), "x")).deadline(HANG).await.expect("a free permit");
        match thread.get(id(&name)).await.unwrap() {
            Some(message) => {
                assert_eq!((message.state, message.content), (MessageState::Final, Content::text(&name)));
                assert!(polls > 0, "a call that was never polled was made");
            }
            None => assert!(!answered, "an answered write is not there"),
        }
    }
}

async fn by_key(rig: Rig) {
    let backend = rig.open().await;
    let db = rig.builder().admission(ONE).backend(backend).build().unwrap();
    let thread = db.thread("t");
    for polls in 0..FAR {
        let key = format!("k{polls}");
        let call = || thread.add(NewMessage::user(&key)).key(key.as_str());
        let answered = leave_after(call(), polls).await;
        let learnt = call().deadline(HANG).await.expect("the outcome");
        assert!(learnt.deduplicated || !answered, "an answered write was applied again");
        assert_eq!(the_only(&db, polls + 1).await, learnt.message.id);
    }
}

/// The id of the last message of `t`, which has so many.
async fn the_only(db: &Persistence, count: usize) -> throughline_core::MessageId {
    let read = everything(&db.thread("t")).await;
    assert_eq!(read.len(), count, "each key has one row");
    read.last().expect("at least one").id.clone()
}

async fn batch(rig: Rig) {
    let db = rig.db().await;
    for polls in 0..FAR {
        let name = format!("m{polls}");
        let batch = || {
            let thread: throughline_core::ThreadId = "t".parse().unwrap();
            let change = |text| {
                throughline_core::messages::UpdateContent::new(
                    thread.clone(),
                    id(&name),
                    append(text),
                    UpdateMode::Edit,
                )
            };
            let add = throughline_core::messages::Add::new(thread.clone(), said(&name, "a"));
            db.batch(Batch::new().with(add).with(change("b")).with(change("c"))).key(name.as_str())
        };
        leave_after(batch(), polls).await;
        if let Some(message) = db.thread("t").get(id(&name)).await.unwrap() {
            assert_eq!(message.content, Content::text("abc"), "half a batch");
        }
        assert_eq!(batch().await.expect("the outcome").outputs.len(), 3);
        let message = db.thread("t").get(id(&name)).await.unwrap().expect("made by now");
        assert_eq!(message.content, Content::text("abc"));
    }
}

async fn slots(rig: Rig) {
    let (db, pauses) = pausable(&rig).await;
    let thread = db.thread("t");
    pauses.before.pause();
    let running = tokio::spawn(thread.add(said("running", "x")).into_future());
    pauses.before.arrived().await;
    // All calls wait for the one permit, up to the limit of waiting calls.
    for round in 0..3 {
        let waiting: Vec<_> = (0..8)
            .map(|number| tokio::spawn(thread.add(said(&format!("{round}.{number}"), "x")).into_future()))
            .collect();
        settle().await;
        for call in waiting {
            call.abort();
            assert!(call.await.expect_err("aborted").is_cancelled());
        }
    }
    // Reads have permits of their own.
    assert_eq!(everything(&thread).await.len(), 0);
    pauses.before.resume();
    running.await.expect("no panic").expect("it was let through");
    thread.add(said("next", "x")).deadline(HANG).await.expect("a free permit");
    assert_eq!(ids(&everything(&thread).await), ["running", "next"]);
}
