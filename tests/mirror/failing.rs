//! A mirror retries transient errors of a store, and stops at permanent ones.

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

/// Longer than any operation of these tests takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns a store that refuses the next `times` calls that match.
fn fails(times: usize, kind: ErrorKind, matches: fn(&PersistArgs) -> bool) -> Persistence {
    let left = Arc::new(AtomicUsize::new(times));
    let layer = from_fn("fails", Phase::Route, move |request: PersistRequest, next: NextRequest| {
        let left = Arc::clone(&left);
        async move {
            let is_left = || left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
            if matches(&request.args) && is_left() {
                return Err(PersistError::new(kind, "for a while").with_effect(Effect::NotApplied));
            }
            next.run(request).await
        }
    });
    Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap()
}

async fn assert_retried(from: Persistence, to: Persistence, kind: ErrorKind) {
    fill(&from, 2, 5).await;
    let mirror = Mirror::start(from.clone(), to.clone()).await.unwrap();
    let proceed = timeout(TIMEOUT, mirror.reached(position(&from).await)).await;
    assert_eq!(proceed, Ok(true), "{:?}", mirror.status());
    let status = mirror.stop().await;
    assert_eq!((status.failures, status.last_failure.map(|error| error.kind())), (2, Some(kind)));
    equal(&from, &to).await;
}

#[tokio::test]
async fn transient_errors_of_either_store_are_retried() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Overloaded, ErrorKind::Timeout, ErrorKind::Busy] {
        let reads = |args: &PersistArgs| matches!(args, PersistArgs::Read(ReadArgs::Images(_)));
        assert_retried(fails(2, kind, reads), memory("to"), kind).await;
        let applies = |args: &PersistArgs| matches!(args, PersistArgs::Replica(ReplicaArgs::Apply(_)));
        assert_retried(memory("from"), fails(2, kind, applies), kind).await;
    }
}

#[tokio::test]
async fn a_permanent_error_stops_the_mirror_and_is_its_reason() {
    for kind in [ErrorKind::Denied, ErrorKind::TooLarge, ErrorKind::Unsupported, ErrorKind::Stale] {
        let applies = |args: &PersistArgs| matches!(args, PersistArgs::Replica(ReplicaArgs::Apply(_)));
        let (from, to) = (memory("from"), fails(1, kind, applies));
        fill(&from, 1, 5).await;
        let mirror = Mirror::start(from.clone(), to).await.unwrap();
        let proceed = timeout(TIMEOUT, mirror.reached(position(&from).await)).await;
        assert_eq!(proceed, Ok(false), "{kind}");
        assert_stopped_with(&mirror, kind);
    }
}

/// The capture ends while the mirror runs: the copy must be rebuilt, and the mirror reports this.
#[tokio::test]
async fn a_mirror_whose_capture_was_ended_stops_with_too_old() {
    let (from, to) = (memory("from"), memory("to"));
    fill(&from, 1, 5).await;
    let mirror = copy(&from, &to).await;
    from.on_replica(EndCapture {}).await.unwrap();
    from.thread("t0").add(NewMessage::user("unseen")).await.unwrap();
    let never = Position::new(u64::MAX);
    assert_eq!(timeout(TIMEOUT, mirror.reached(never)).await, Ok(false));
    assert_stopped_with(&mirror, ErrorKind::TooOld);
}

fn assert_stopped_with(mirror: &Mirror, kind: ErrorKind) {
    match mirror.status().state {
        MirrorState::Stopped { why: Some(why) } => assert_eq!(why.kind(), kind),
        state => panic!("{kind}: {state:?}"),
    }
}
