//! Each call of a draft has one deadline, however many writes it makes, and its error says whether the message is settled.

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
    faults::{Fault, Faults},
    gated::{Gated, Gates, OPEN},
};

/// Far more than a call takes that nothing hinders, and short enough to pass in a test.
const DEADLINE: Duration = Duration::from_millis(200);

/// Never by itself: only a flush, an end or so many bytes.
const BY_HAND: Coalesce = Coalesce { interval: Duration::from_secs(3600), bytes: 1 << 20 };

/// The deadlines of the calls that a stack was asked for.
#[derive(Clone, Default)]
struct Deadlines(Arc<Mutex<BTreeSet<Instant>>>);

impl Deadlines {
    fn take(&self) -> BTreeSet<Instant> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A store whose gate is shut after the reservation, with what deadlines its calls had.
fn gated(deadline: Duration) -> (Persistence, Arc<Gates>, Deadlines) {
    let (gated, gates) = Gated::new(1, OPEN);
    let deadlines = Deadlines::default();
    let seen = deadlines.clone();
    let sees = from_fn("sees", Phase::Observe, move |request: PersistRequest, next: NextRequest| {
        seen.0.lock().unwrap_or_else(PoisonError::into_inner).extend(request.context.deadline());
        next.run(request)
    });
    let db = Persistence::builder().deadline(deadline).layer(sees).backend(gated).build().unwrap();
    (db, gates, deadlines)
}

async fn draft(db: &Persistence, coalesce: Coalesce) -> Draft {
    db.thread("t").reserve(Role::Assistant).coalesce(coalesce).await.unwrap()
}

#[tokio::test]
async fn every_write_of_a_call_has_the_deadline_of_that_call() {
    let (db, gates, deadlines) = gated(Duration::from_secs(3600));
    for call in ["flush", "finish", "abandon"] {
        gates.before.add_permits(OPEN);
        // Each append is a piece of its own, and each piece a write.
        let mut draft = draft(&db, Coalesce { bytes: 1, ..BY_HAND }).await;
        for _ in 0..5 {
            draft.append_blocks(throughline::Content::text("x")).await.unwrap();
        }
        deadlines.take();
        match call {
            "flush" => drop(draft.flush().await.unwrap()),
            "finish" => drop(draft.finish().await.unwrap()),
            _ => drop(draft.abandon("stopped").await.unwrap()),
        }
        // One write may have been under way by itself.
        let seen = deadlines.take();
        assert!((1..=2).contains(&seen.len()), "{call} had {} deadlines", seen.len());
    }
}

#[tokio::test]
async fn an_end_behind_a_write_that_hangs_is_answered_by_its_own_deadline() {
    for call in ["flush", "finish", "abandon"] {
        let (db, gates, deadlines) = gated(DEADLINE);
        let mut draft = draft(&db, Coalesce { bytes: 1, ..BY_HAND }).await;
        gates.arrival().await;
        draft.append("hangs").await.unwrap();
        gates.arrival().await;
        deadlines.take();
        let error = match call {
            "flush" => draft.flush().await.unwrap_err(),
            "finish" => draft.finish().await.unwrap_err(),
            _ => draft.abandon("stopped").await.unwrap_err(),
        };
        // The piece may be in the store; the end was never begun.
        let effect = if call == "flush" { Effect::Unknown } else { Effect::NotApplied };
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, effect), "{call}");
        // What it looked at the outcome with had its own deadline, and no later one.
        assert!(deadlines.take().len() <= 1, "{call}");
        gates.before.add_permits(OPEN);
        while draft.flush().await.is_err() {
            yield_now().await;
        }
        let message = db.thread("t").get(draft.id().clone()).await.unwrap().unwrap();
        assert_eq!(message.state, MessageState::Streaming, "nothing that is still under way ends it");
    }
}

#[tokio::test]
async fn an_end_that_hangs_itself_is_unknown_and_the_next_call_finds_it_out() {
    let (db, gates, _) = gated(DEADLINE);
    let mut draft = draft(&db, BY_HAND).await;
    draft.append("all").await.unwrap();
    let error = draft.finish().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::Unknown));
    gates.before.add_permits(OPEN);
    let finished = loop {
        match draft.finish().await {
            Ok(finished) => break finished,
            Err(error) => assert_eq!(error.effect(), Effect::Unknown, "{error}"),
        }
    };
    assert_eq!((finished.state, finished.revision.get()), (MessageState::Final, 2));
}

#[tokio::test]
async fn an_end_that_fails_at_a_piece_before_it_is_not_applied() {
    let faults = Faults::default();
    let db = Persistence::builder().layer(faults.layer()).backend(MemoryBackend::new()).build().unwrap();
    for planned in [[Fault::NeverArrived, Fault::NeverArrived], [Fault::AnswerLost, Fault::Refused]] {
        let mut draft = draft(&db, BY_HAND).await;
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
