//! Concurrent histories of one message: is there an order in which they could have happened one by one?

mod linear;
mod spec;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use throughline_core::{
    Delta, Effect, MessageState, Persistence, Revision, Thread,
    messages::{ContentChange, UpdateContent, UpdateMode},
};
use tokio::sync::Barrier;

use self::{
    linear::{Event, is_linearizable},
    spec::{Answer, Call},
};
use crate::{
    check::checks,
    rig::Rig,
    shorthand::{id, said},
};

checks! {
    Core "concurrency.calls_to_one_message_are_linearizable" [Add UpdateContent Delete Read; threads] "the answers to concurrent calls on one message fit some sequential order of these calls" => history;
}

const ROUNDS: u64 = 24;
const CALLERS: u64 = 4;
const CALLS: u64 = 4;

async fn history(rig: Rig) {
    let db = rig.db().await;
    for round in 0..ROUNDS {
        let events = record(&db, round).await;
        if !is_linearizable(&events) {
            let reported: Vec<String> = events.iter().map(|event| format!("  {event:?}")).collect();
            panic!("round {round}: there is no order for\n{}", reported.join("\n"));
        }
    }
}

/// Lets callers loose on the message `m` of a thread of their own.
async fn record(db: &Persistence, round: u64) -> Vec<Event> {
    let clock = Arc::new(AtomicUsize::new(0));
    let start = Arc::new(Barrier::new(usize::try_from(CALLERS).expect("few")));
    let events = Arc::new(Mutex::new(Vec::new()));
    let callers = (0..CALLERS).map(|caller| {
        let (clock, start, events) = (Arc::clone(&clock), Arc::clone(&start), Arc::clone(&events));
        let thread = db.thread(format!("round {round}"));
        tokio::spawn(async move {
            start.wait().await;
            for number in 0..CALLS {
                let call = choose(round, caller, number);
                let invoked = clock.fetch_add(1, Ordering::SeqCst);
                let answer = make(&thread, &call).await;
                let returned = clock.fetch_add(1, Ordering::SeqCst);
                // The outcome and the end of a call with an unknown effect are unknown.
                let returned = answer.as_ref().map(|_| returned);
                let event = Event { call, answer, invoked, returned };
                events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("no caller panics");
    }
    std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner))
}

/// A spread of calls that is the same in every run: what differs is how they meet.
fn choose(round: u64, caller: u64, number: u64) -> Call {
    let mut state = (round * 64 + caller * 8 + number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    state ^= state >> 29;
    state = state.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    state ^= state >> 32;
    let text = format!("{caller}{number}");
    match state % 16 {
        // Adding first: most rounds begin with several who want to be the one.
        _ if number == 0 => Call::Add(text),
        0..=4 => Call::Append { text, expected: None },
        5..=8 => Call::Append { text, expected: Some(1 + state / 16 % 3) },
        9..=13 => Call::Get,
        14 => Call::Add(text),
        _ => Call::Delete,
    }
}

/// Makes a call; nothing where its effect is unknown.
async fn make(thread: &Thread, call: &Call) -> Option<Answer> {
    let refused = |error: throughline_core::PersistError| {
        (error.effect() == Effect::NotApplied).then(|| Answer::Refused(error.kind()))
    };
    match call {
        Call::Add(text) => match thread.add(said("m", text)).await {
            Ok(added) => Some(Answer::Done(added.message.revision.get())),
            Err(error) => refused(error),
        },
        Call::Append { text, expected } => {
            let change = ContentChange::Append(Delta::text(text));
            let name = thread.id().expect("a valid id").clone();
            let mut update = UpdateContent::new(name, id("m"), change, UpdateMode::Edit);
            update.expected = expected.map(Revision::new);
            match thread.persistence().run(update).await {
                Ok(updated) => Some(Answer::Done(updated.revision.get())),
                Err(error) => refused(error),
            }
        }
        Call::Delete => match thread.delete(id("m")).await {
            Ok(deleted) => Some(Answer::Done(deleted.revision.get())),
            Err(error) => refused(error),
        },
        Call::Get => match thread.get(id("m")).await {
            Ok(None) => Some(Answer::Read(None)),
            Ok(Some(message)) => {
                assert_eq!(message.state, MessageState::Final);
                let content = message.content.as_json().to_owned();
                Some(Answer::Read(Some((message.revision.get(), content))))
            }
            // A read has no effect: one that fails says nothing of the message.
            Err(_) => None,
        },
    }
}
