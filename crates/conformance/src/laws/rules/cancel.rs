//! Callers that leave, and callers that come at once.

use std::sync::Arc;

use throughline_core::NewMessage;
use tokio::sync::Semaphore;

use crate::{
    laws::{bench::Bench, law::laws, probe::Act},
    shorthand::everything,
    turned::settle,
};

laws! {
    All "law.drop" "callers that leave while nothing was handed over leave nothing behind: more of them than any limit" => drop_early;
    All "law.drop-late" "a caller that leaves after the hand-over does not stop the write" => drop_late;
    All "law.at-once" "one call that hangs holds up no other" => at_once;
    All "law.close" "the pipeline can be closed when all calls have ended or were left" => close,
        core alone: "what the end waits for is counted at the edge: a layer cannot hold it up without failing the calls before";
}

/// More than any layer lets in at once.
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
}

async fn drop_late(bench: Bench) {
    let told = Arc::new(Semaphore::new(0));
    leave(&bench, Act::HoldAfter(Arc::clone(&told))).await;
    assert_eq!(everything(&bench.db.thread("left")).await.len(), 1, "the write is made");
    told.add_permits(1);
    settle().await;
    // Not only the write: the layers around it see it through, or what they count and hold would be left behind.
    let outside = bench.outside.visits();
    assert!(outside[0].answer.is_some(), "the layer was stopped half way");
    bench.db.thread("t").add(NewMessage::user("x")).await.expect("the next call");
}

async fn at_once(bench: Bench) {
    bench.inside.act([Act::Hang]);
    let hangs = tokio::spawn(bench.db.thread("hangs").add(NewMessage::user("x")).into_future());
    settle().await;
    assert!(!hangs.is_finished());
    let others = (0..64).map(|_| tokio::spawn(bench.db.thread("t").add(NewMessage::user("x")).into_future()));
    for other in others.collect::<Vec<_>>() {
        bench.in_time(other).await.expect("no panic").expect("it is not held up");
    }
    assert!(!hangs.is_finished());
    hangs.abort();
    assert_eq!(everything(&bench.db.thread("t")).await.len(), 64);
}

async fn close(bench: Bench) {
    bench.db.thread("t").add(NewMessage::user("x")).await.expect("it is added");
    for _ in 0..3 {
        leave(&bench, Act::Hang).await;
    }
    bench.db.close().await.expect("it closes");
    bench.db.thread("t").add(NewMessage::user("x")).await.expect_err("closed");
}
