//! What a mirror does when a store fails: what passes is tried again, and what lasts stops it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use throughline::{
    Effect, ErrorKind, NewMessage, PersistArgs, PersistError, PersistRequest, Persistence, Phase, Position,
    ReadArgs,
    memory::MemoryBackend,
    mirror::{Mirror, MirrorState},
    plugin::{NextRequest, from_fn},
    replication::{EndCapture, ReplicaArgs},
};
use tokio::time::timeout;

use super::support::{copy, equal, fill, memory, position};

/// Longer than anything takes here that comes to an end.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A store that answers so many of what a mirror asks of it with an error, without doing it.
fn fails(times: usize, kind: ErrorKind, is_asked: fn(&PersistArgs) -> bool) -> Persistence {
    let left = Arc::new(AtomicUsize::new(times));
    let layer = from_fn("fails", Phase::Route, move |request: PersistRequest, next: NextRequest| {
        let left = Arc::clone(&left);
        async move {
            let is_left = || left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            if is_asked(&request.args) && is_left() {
                return Err(PersistError::new(kind, "for a while").with_effect(Effect::NotApplied));
            }
            next.run(request).await
        }
    });
    Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap()
}

async fn is_tried_again(from: Persistence, to: Persistence, kind: ErrorKind) {
    fill(&from, 2, 5).await;
    let mirror = Mirror::start(from.clone(), to.clone()).await.unwrap();
    let goes_on = timeout(TIMEOUT, mirror.reached(position(&from).await)).await;
    assert_eq!(goes_on, Ok(true), "{:?}", mirror.status());
    let status = mirror.stop().await;
    assert_eq!((status.failures, status.last_failure.map(|error| error.kind())), (2, Some(kind)));
    equal(&from, &to).await;
}

#[tokio::test]
async fn a_store_that_is_not_there_for_a_while_is_asked_again() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Overloaded, ErrorKind::Timeout, ErrorKind::Busy] {
        let reads = |args: &PersistArgs| matches!(args, PersistArgs::Read(ReadArgs::Images(_)));
        is_tried_again(fails(2, kind, reads), memory("to"), kind).await;
        let puts = |args: &PersistArgs| matches!(args, PersistArgs::Replica(ReplicaArgs::Apply(_)));
        is_tried_again(memory("from"), fails(2, kind, puts), kind).await;
    }
}

#[tokio::test]
async fn what_is_refused_for_good_stops_it_and_says_why() {
    for kind in [ErrorKind::Denied, ErrorKind::TooLarge, ErrorKind::Unsupported, ErrorKind::Stale] {
        let puts = |args: &PersistArgs| matches!(args, PersistArgs::Replica(ReplicaArgs::Apply(_)));
        let (from, to) = (memory("from"), fails(1, kind, puts));
        fill(&from, 1, 5).await;
        let mirror = Mirror::start(from.clone(), to).await.unwrap();
        let goes_on = timeout(TIMEOUT, mirror.reached(position(&from).await)).await;
        assert_eq!(goes_on, Ok(false), "{kind}");
        stopped_for(&mirror, kind);
    }
}

/// Somebody ends what the copy hangs on: it has to be made anew, and the mirror does not pretend otherwise.
#[tokio::test]
async fn a_copy_that_was_ended_under_it_is_too_old() {
    let (from, to) = (memory("from"), memory("to"));
    fill(&from, 1, 5).await;
    let mirror = copy(&from, &to).await;
    from.on_replica(EndCapture {}).await.unwrap();
    from.thread("t0").add(NewMessage::user("unseen")).await.unwrap();
    let never = Position::new(u64::MAX);
    assert_eq!(timeout(TIMEOUT, mirror.reached(never)).await, Ok(false));
    stopped_for(&mirror, ErrorKind::TooOld);
}

fn stopped_for(mirror: &Mirror, kind: ErrorKind) {
    match mirror.status().state {
        MirrorState::Stopped { why: Some(why) } => assert_eq!(why.kind(), kind),
        state => panic!("{kind}: {state:?}"),
    }
}
