//! REL-18: a layer that never answers, blocks its thread, spins, or answers too late.

use std::{
    future::pending,
    hint::spin_loop,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use throughline::{
    Effect, ErrorKind, PersistRequest, PersistResponse, Persistence, Phase, Result,
    pipeline::Admission,
    plugin::{NextRequest, from_fn},
};
use tokio::{sync::Semaphore, task::JoinHandle};

use crate::store::{Store, message};

/// The behavior of the layer for the thread with this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behavior {
    Hangs,
    Blocks,
    Spins,
    /// The layer waits before it passes the call on.
    LateBefore,
    /// The layer passes the call on, and delays the answer.
    LateAfter,
}

impl Behavior {
    const fn thread(self) -> &'static str {
        match self {
            Self::Hangs => "hangs",
            Self::Blocks => "blocks",
            Self::Spins => "spins",
            Self::LateBefore => "late-before",
            Self::LateAfter => "late-after",
        }
    }
}

/// The signals between the layer and the test.
struct Signals {
    /// One permit for each call that has reached the layer.
    arrived: Semaphore,
    /// Releases the calls that wait as tasks.
    late: Semaphore,
    held: Semaphore,
    blocked: (Mutex<bool>, Condvar),
    spins: AtomicBool,
}

impl Signals {
    async fn arrivals(&self, number: u32) {
        self.arrived.acquire_many(number).await.unwrap().forget();
    }

    fn release(&self) {
        self.late.add_permits(1000);
        *self.blocked.0.lock().unwrap() = false;
        self.blocked.1.notify_all();
        self.spins.store(false, Relaxed);
    }

    async fn pass(&self, request: PersistRequest, next: NextRequest) -> Result<PersistResponse> {
        let thread = request.context.thread().map(ToString::to_string).unwrap_or_default();
        if !["hangs", "blocks", "spins", "late-before", "late-after", "held"].contains(&thread.as_str())
            || !request.kind().is_write()
        {
            return next.run(request).await;
        }
        if thread == "late-after" {
            let answer = next.run(request).await;
            self.arrived.add_permits(1);
            self.late.acquire().await.unwrap().forget();
            return answer;
        }
        self.arrived.add_permits(1);
        match thread.as_str() {
            "hangs" => pending().await,
            "blocks" => {
                let held = self.blocked.0.lock().unwrap();
                drop(self.blocked.1.wait_while(held, |blocked| *blocked).unwrap());
            }
            "spins" => {
                while self.spins.load(Relaxed) {
                    spin_loop();
                }
            }
            "held" => self.held.acquire().await.unwrap().forget(),
            _ => self.late.acquire().await.unwrap().forget(),
        }
        next.run(request).await
    }
}

const WRITES: u32 = 3;

/// Makes one hostile call, and checks all other calls during and after it. Returns the outcome of the hostile call.
async fn run_hostile_call(behavior: Behavior) -> Result<(), (ErrorKind, Effect)> {
    let mut store = Store::fresh();
    let signals = Arc::new(Signals {
        arrived: Semaphore::new(0),
        late: Semaphore::new(0),
        held: Semaphore::new(0),
        blocked: (Mutex::new(true), Condvar::new()),
        spins: AtomicBool::new(true),
    });
    let shared_signals = Arc::clone(&signals);
    let layer = from_fn("hostile", Phase::Route, move |request, next| {
        let signals = Arc::clone(&shared_signals);
        async move { signals.pass(request, next).await }
    });
    let db = Persistence::builder()
        .layer(layer)
        .backend(store.open().await)
        .admission(Admission { writes: WRITES as usize, reads: 1, waiting: 10_000 })
        .build()
        .unwrap();
    // The deadline only has to pass; the test measures no time. The write of a call that is late afterwards has to be applied before.
    let deadline = Duration::from_millis(if behavior == Behavior::LateAfter { 3_000 } else { 20 });
    let add = db.thread(behavior.thread()).add(message("hostile")).deadline(deadline);
    let hostile: JoinHandle<Result<_>> = tokio::spawn(add.into_future());
    signals.arrivals(1).await;
    // These calls begin and end while the layer has the hostile call.
    for number in 0..50 {
        let id = format!("other-{number}");
        let answer = db.thread("other").add(message(&id)).await;
        store.record(&id, &answer);
        answer.expect("other writes are not delayed");
        let read = db.thread("other").get(id.parse().unwrap()).await.expect("reads are not delayed");
        assert!(read.is_some());
    }
    let blocks_thread = matches!(behavior, Behavior::Blocks | Behavior::Spins);
    if blocks_thread {
        // The layer blocks the thread of the caller, so the deadline cannot answer.
        assert!(!hostile.is_finished());
        signals.release();
    }
    let ended = hostile.await.unwrap();
    store.record("hostile", &ended);
    signals.release();
    assert_every_permit_is_free(&db, &signals, &mut store).await;
    db.close().await.unwrap();
    store.assert_consistent(&[behavior.thread(), "other", "held"]).await;
    ended.map(drop).map_err(|error| (error.kind(), error.effect()))
}

/// Checks that all permits are free: this many writes run concurrently.
async fn assert_every_permit_is_free(db: &Persistence, signals: &Signals, store: &mut Store) {
    let held: Vec<_> = (0..WRITES)
        .map(|number| tokio::spawn(db.thread("held").add(message(&format!("held-{number}"))).into_future()))
        .collect();
    signals.arrivals(WRITES).await;
    signals.held.add_permits(WRITES as usize);
    for (number, held) in held.into_iter().enumerate() {
        let answer = held.await.unwrap();
        store.record(&format!("held-{number}"), &answer);
        answer.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_18_a_layer_that_never_answers_is_ended_by_the_deadline_and_returns_its_permit() {
    assert_eq!(run_hostile_call(Behavior::Hangs).await, Err((ErrorKind::Timeout, Effect::NotApplied)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_18_a_layer_that_blocks_its_thread_delays_no_other_call() {
    // The deadline may or may not have passed when the layer continues.
    let ended = run_hostile_call(Behavior::Blocks).await;
    assert!(ended.is_ok() || matches!(ended, Err((ErrorKind::Timeout, _))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_18_a_layer_that_spins_delays_no_other_call() {
    // The deadline may or may not have passed when the layer continues.
    let ended = run_hostile_call(Behavior::Spins).await;
    assert!(ended.is_ok() || matches!(ended, Err((ErrorKind::Timeout, _))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_18_a_layer_that_passes_a_call_on_after_its_deadline_writes_nothing() {
    assert_eq!(run_hostile_call(Behavior::LateBefore).await, Err((ErrorKind::Timeout, Effect::NotApplied)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_18_a_layer_that_delays_an_answer_past_the_deadline_loses_no_write() {
    assert_eq!(run_hostile_call(Behavior::LateAfter).await, Err((ErrorKind::Timeout, Effect::Applied)));
}
