//! Each call of a draft has one deadline for all its writes, and its error says whether the message is settled.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use throughline::{
    Draft, Effect, ErrorKind, MessageState, PersistRequest, Persistence, Phase, Role,
    memory::MemoryBackend,
    messages::Coalesce,
    plugin::{NextRequest, from_fn},
};
use tokio::task::yield_now;

use crate::{
    blocked::{Barriers, BlockedStore, OPEN},
    faults::{Fault, Faults},
};

/// Much longer than an unblocked call takes, and short enough for a test to wait.
const DEADLINE: Duration = Duration::from_millis(200);

/// Disables the timer: only a flush, an end or the size limit causes a write.
const ONLY_ON_FLUSH: Coalesce = Coalesce { interval: Duration::from_secs(3600), bytes: 1 << 20 };

/// The deadlines of all calls that reached the stack.
#[derive(Clone, Default)]
struct Deadlines(Arc<Mutex<BTreeSet<Instant>>>);

impl Deadlines {
    fn take(&self) -> BTreeSet<Instant> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A store that blocks after the reservation, with the deadlines of its calls.
fn blocked(deadline: Duration) -> (Persistence, Arc<Barriers>, Deadlines) {
    let (blocked, barriers) = BlockedStore::new(1, OPEN);
    let deadlines = Deadlines::default();
    let seen = deadlines.clone();
    let recorder = from_fn("recorder", Phase::Observe, move |request: PersistRequest, next: NextRequest| {
        seen.0.lock().unwrap_or_else(PoisonError::into_inner).extend(request.context.deadline());
        next.run(request)
    });
    let db = Persistence::builder().deadline(deadline).layer(recorder).backend(blocked).build().unwrap();
    (db, barriers, deadlines)
}

async fn draft(db: &Persistence, coalesce: Coalesce) -> Draft {
    db.thread("t").reserve(Role::Assistant).coalesce(coalesce).await.unwrap()
}

#[tokio::test]
async fn every_write_of_a_call_has_the_deadline_of_that_call() {
    let (db, barriers, deadlines) = blocked(Duration::from_secs(3600));
    for call in ["flush", "finish", "abandon"] {
        barriers.before.add_permits(OPEN);
        // With this limit each append is a write of its own.
        let mut draft = draft(&db, Coalesce { bytes: 1, ..ONLY_ON_FLUSH }).await;
        for _ in 0..5 {
            draft.append_blocks(throughline::Content::text("x")).await.unwrap();
        }
        deadlines.take();
        match call {
            "flush" => drop(draft.flush().await.unwrap()),
            "finish" => drop(draft.finish().await.unwrap()),
            _ => drop(draft.abandon("stopped").await.unwrap()),
        }
        // A background write may have its own deadline.
        let seen = deadlines.take();
        assert!((1..=2).contains(&seen.len()), "{call} had {} deadlines", seen.len());
    }
}

#[tokio::test]
async fn a_call_behind_a_hanging_write_times_out_at_its_own_deadline() {
    for call in ["flush", "finish", "abandon"] {
        let (db, barriers, deadlines) = blocked(DEADLINE);
        let mut draft = draft(&db, Coalesce { bytes: 1, ..ONLY_ON_FLUSH }).await;
        barriers.arrival().await;
        draft.append("hangs").await.unwrap();
        barriers.arrival().await;
        deadlines.take();
        let error = match call {
            "flush" => draft.flush().await.unwrap_err(),
            "finish" => draft.finish().await.unwrap_err(),
            _ => draft.abandon("stopped").await.unwrap_err(),
        };
        // The append may be in the store, but the end was never attempted.
        let effect = if call == "flush" { Effect::Unknown } else { Effect::NotApplied };
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, effect), "{call}");
        // The read of the outcome has at most one deadline: its own.
        assert!(deadlines.take().len() <= 1, "{call}");
        barriers.before.add_permits(OPEN);
        while draft.flush().await.is_err() {
            yield_now().await;
        }
        let message = db.thread("t").get(draft.id().clone()).await.unwrap().unwrap();
        assert_eq!(message.state, MessageState::Streaming, "no running write settles the message");
    }
}

#[tokio::test]
async fn a_finish_that_times_out_is_unknown_and_the_next_finish_learns_the_outcome() {
    let (db, barriers, _) = blocked(DEADLINE);
    let mut draft = draft(&db, ONLY_ON_FLUSH).await;
    draft.append("all").await.unwrap();
    let error = draft.finish().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    barriers.before.add_permits(OPEN);
    let finished = loop {
        match draft.finish().await {
            Ok(finished) => break finished,
            Err(error) => assert_eq!(error.effect(), Effect::Unknown, "{error}"),
        }
    };
    assert_eq!((finished.state, finished.revision.get()), (MessageState::Final, 2));
}

#[tokio::test]
async fn a_finish_that_fails_at_an_earlier_append_is_not_applied() {
    let faults = Faults::default();
    let db = Persistence::builder().layer(faults.layer()).backend(MemoryBackend::new()).build().unwrap();
    for planned in [[Fault::NeverArrived, Fault::NeverArrived], [Fault::AnswerLost, Fault::Refused]] {
        let mut draft = draft(&db, ONLY_ON_FLUSH).await;
        for _ in 0..2 {
            draft.append_blocks(throughline::Content::text("x")).await.unwrap();
        }
        faults.next(throughline::OpKind::UpdateContent, &planned);
        let error = draft.finish().await.unwrap_err();
        assert_eq!(error.effect(), Effect::NotApplied, "{planned:?}: {error}");
        draft.finish().await.unwrap();
        let message = db.thread("t").get(draft.id().clone()).await.unwrap().unwrap();
        assert_eq!((message.content.blocks().len(), message.state), (2, MessageState::Final));
    }
}
