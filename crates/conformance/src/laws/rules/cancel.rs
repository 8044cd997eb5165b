//! The laws about cancelled and concurrent calls.

use std::{sync::Arc, time::Duration};

use throughline_core::{
    Effect, ErrorKind, NewMessage, PersistArgs, PersistError, sessions::SessionArgs, threads::ThreadArgs,
};
use tokio::sync::Semaphore;

use crate::{
    laws::{bench::Bench, every_field, law::laws, probe::Act},
    shorthand::everything,
    timers::settle,
};

laws! {
    All "laws.callers_dropped_before_hand_over_leave_no_trace" "many callers that are dropped before the hand-over have no effect and hold no permit" => drop_early;
    All "laws.caller_dropped_after_hand_over_does_not_stop_the_write" "a caller that is dropped after the hand-over does not stop its write" => drop_late;
    All "laws.hanging_call_does_not_block_others" "one call that hangs does not block other calls" => at_once;
    All "laws.pipeline_closes_after_all_calls_end" "the pipeline can be closed after all calls have ended or were dropped" => close,
        core alone: "the edge counts the calls that a close waits for: a layer cannot delay the close without failing earlier calls";
}

/// More calls than any layer admits at once.
const MANY: usize = 300;

async fn leave(bench: &Bench, act: Act) {
    bench.inside.act([act]);
    let before = bench.inside.count();
    let call = tokio::spawn(bench.db.thread("left").add(NewMessage::user("x")).into_future());
    bench
        .in_time(async {
            while bench.inside.count() == before {
                tokio::task::yield_now().await;
            }
        })
        .await;
    settle().await;
    call.abort();
    assert!(call.await.expect_err("aborted").is_cancelled());
}

async fn drop_early(bench: Bench) {
    for _ in 0..MANY {
        leave(&bench, Act::Hang).await;
    }
    bench
        .in_time(bench.db.thread("t").add(NewMessage::user("x")).into_future())
        .await
        .expect("the next call");
    assert_eq!(everything(&bench.db.thread("left")).await, []);
    if bench.is_one_layer() {
        for (case, args) in every_field::writes("x").into_iter().chain(every_field::reads()) {
            leave_before(&bench, case, args).await;
        }
    }
}

fn not_found() -> PersistError {
    PersistError::new(ErrorKind::NotFound, "from inside").with_effect(Effect::NotApplied)
}

/// The caller drops a call that waits before the store: the call never reaches the store, even after its release.
async fn leave_before(bench: &Bench, case: &str, args: PersistArgs) {
    let held = Arc::new(Semaphore::new(0));
    drop(bench.inside.visits());
    bench.inside.script(every_field::name_of(&args), Act::HoldBefore(Arc::clone(&held), not_found()));
    let call = tokio::spawn({
        let (bench, args) = (bench.clone(), args.clone());
        async move { bench.call(args, None).await }
    });
    bench
        .in_time(async {
            while !call.is_finished() && !bench.inside.is_visited(every_field::name_of(&args)) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    call.abort();
    // A call that the layer refuses itself has already ended.
    drop(call.await);
    held.add_permits(1);
    settle().await;
    assert_eq!(bench.inside.went_on(), 0, "{case} went on after its caller had left");
    bench.inside.behave();
}

async fn drop_late(bench: Bench) {
    let reported = Arc::new(Semaphore::new(0));
    leave(&bench, Act::HoldAfter(Arc::clone(&reported))).await;
    assert_eq!(everything(&bench.db.thread("left")).await.len(), 1, "the write is made");
    reported.add_permits(1);
    settle().await;
    // The outer layers also complete the call. Otherwise their permits and counters would leak.
    let outside = bench.outside.visits();
    assert!(outside[0].answer.is_some(), "the layer was stopped half way");
    bench.db.thread("t").add(NewMessage::user("x")).await.expect("the next call");
}

async fn at_once(bench: Bench) {
    bench.inside.act([Act::Hang]);
    let hangs = tokio::spawn(bench.db.thread("hangs").add(NewMessage::user("x")).into_future());
    settle().await;
    assert!(!hangs.is_finished(), "an addition that hangs in the store has ended before it was let go");
    let others = (0..64).map(|_| tokio::spawn(bench.db.thread("t").add(NewMessage::user("x")).into_future()));
    for other in others.collect::<Vec<_>>() {
        bench.in_time(other).await.expect("no panic").expect("it is not held up");
    }
    assert!(!hangs.is_finished(), "the addition that hangs in the store has ended with the others");
    hangs.abort();
    assert_eq!(everything(&bench.db.thread("t")).await.len(), 64);
    if bench.is_one_layer() {
        for (case, args) in every_field::writes("x").into_iter().chain(every_field::reads()) {
            if !is_bulk(&args) {
                at_once_with(&bench, case, args).await;
            }
        }
    }
}

/// The operations that a layer can run one at a time.
fn is_bulk(args: &PersistArgs) -> bool {
    matches!(
        args,
        PersistArgs::Batch(_)
            | PersistArgs::Import(_)
            | PersistArgs::Replica(_)
            | PersistArgs::Thread(ThreadArgs::Prune(_) | ThreadArgs::Purge(_) | ThreadArgs::Rebuild(_))
            | PersistArgs::Session(
                SessionArgs::Backfill(_) | SessionArgs::DropAgent(_) | SessionArgs::DropRuntime(_)
            )
    )
}

/// One call hangs in the store, and the same calls of other tenants succeed.
async fn at_once_with(bench: &Bench, case: &str, args: PersistArgs) {
    let name = every_field::name_of(&args);
    drop(bench.inside.visits());
    bench.inside.script(name, Act::Hang);
    let call = |bench: Bench| {
        let args = args.clone();
        tokio::spawn(async move { bench.call(args, None).await })
    };
    let hangs = call(bench.clone());
    bench
        .in_time(async {
            while !hangs.is_finished() && !bench.inside.is_visited(name) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    bench.inside.script(name, Act::Fail(not_found()));
    for number in 0..3 {
        let other = call(bench.for_tenant(&format!("other{number}")));
        let served = tokio::time::timeout(HELD_UP, other).await;
        assert!(served.is_ok(), "{case} of another tenant waits for one that hangs in the store");
    }
    hangs.abort();
    drop(hangs.await);
    bench.inside.behave();
}

/// The deadline that only a blocked call reaches.
const HELD_UP: Duration = Duration::from_secs(5);

async fn close(bench: Bench) {
    bench.db.thread("t").add(NewMessage::user("x")).await.expect("it is added");
    for _ in 0..3 {
        leave(&bench, Act::Hang).await;
    }
    bench.db.close().await.expect("it closes");
    bench.db.thread("t").add(NewMessage::user("x")).await.expect_err("closed");
}
