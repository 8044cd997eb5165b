//! REL-18: a layer that never answers, blocks its thread, spins, or answers when nobody waits any more.

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

/// What the layer does to calls of the thread of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Hangs,
    Blocks,
    Spins,
    /// Waits, and only then passes the call on.
    LateBefore,
    /// Passes it on, and keeps the answer.
    LateAfter,
}

impl How {
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

/// What the layer and the test tell each other.
struct Signals {
    /// A permit for each call that the layer has in its hands.
    arrived: Semaphore,
    /// Lets those go that wait as tasks do.
    late: Semaphore,
    held: Semaphore,
    blocked: (Mutex<bool>, Condvar),
    spins: AtomicBool,
}

impl Signals {
    async fn arrivals(&self, number: u32) {
        self.arrived.acquire_many(number).await.unwrap().forget();
    }

    fn let_go(&self) {
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

/// Makes one call that the layer does this to, and looks at everything else meanwhile and afterwards. How the call ended.
async fn others_go_on(how: How) -> Result<(), (ErrorKind, Effect)> {
    let mut store = Store::fresh();
    let signals = Arc::new(Signals {
        arrived: Semaphore::new(0),
        late: Semaphore::new(0),
        held: Semaphore::new(0),
        blocked: (Mutex::new(true), Condvar::new()),
        spins: AtomicBool::new(true),
    });
    let told = Arc::clone(&signals);
    let layer = from_fn("hostile", Phase::Route, move |request, next| {
        let signals = Arc::clone(&told);
        async move { signals.pass(request, next).await }
    });
    let db = Persistence::builder()
        .layer(layer)
        .backend(store.open().await)
        .admission(Admission { writes: WRITES as usize, reads: 1, waiting: 10_000 })
        .build()
        .unwrap();
    // It only has to pass; nothing is measured by it.
    let deadline = Duration::from_millis(20);
    let add = db.thread(how.thread()).add(message("hostile")).deadline(deadline);
    let hostile: JoinHandle<Result<_>> = tokio::spawn(add.into_future());
    signals.arrivals(1).await;
    // All of these begin and end while the layer has the call in its hands.
    for number in 0..50 {
        let id = format!("other-{number}");
        let answer = db.thread("other").add(message(&id)).await;
        store.told(&id, &answer);
        answer.expect("others are not held up");
        let read = db.thread("other").get(id.parse().unwrap()).await.expect("nor are reads");
        assert!(read.is_some());
    }
    let at_once = matches!(how, How::Blocks | How::Spins);
    if at_once {
        // The thread of its caller is held: nobody can answer in its place.
        assert!(!hostile.is_finished());
        signals.let_go();
    }
    let ended = hostile.await.unwrap();
    store.told("hostile", &ended);
    signals.let_go();
    every_place_is_free(&db, &signals, &mut store).await;
    db.close().await.unwrap();
    store.keeps_its_word(&[how.thread(), "other", "held"]).await;
    ended.map(drop).map_err(|error| (error.kind(), error.effect()))
}

/// As many writes as there are places get in at once.
async fn every_place_is_free(db: &Persistence, signals: &Signals, store: &mut Store) {
    let held: Vec<_> = (0..WRITES)
        .map(|number| tokio::spawn(db.thread("held").add(message(&format!("held-{number}"))).into_future()))
        .collect();
    signals.arrivals(WRITES).await;
    signals.held.add_permits(WRITES as usize);
    for (number, held) in held.into_iter().enumerate() {
        let answer = held.await.unwrap();
        store.told(&format!("held-{number}"), &answer);
        answer.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_18_a_layer_that_never_answers_is_ended_by_the_deadline_and_gives_its_place_back() {
    assert_eq!(others_go_on(How::Hangs).await, Err((ErrorKind::Timeout, Effect::NotApplied)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_18_a_layer_that_blocks_its_thread_holds_up_no_other_call() {
    // Whether the deadline has passed by the time that it goes on is a matter of the machine.
    let ended = others_go_on(How::Blocks).await;
    assert!(ended.is_ok() || matches!(ended, Err((ErrorKind::Timeout, _))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_18_a_layer_that_spins_holds_up_no_other_call() {
    // Whether the deadline has passed by the time that it goes on is a matter of the machine.
    let ended = others_go_on(How::Spins).await;
    assert!(ended.is_ok() || matches!(ended, Err((ErrorKind::Timeout, _))), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_18_a_layer_that_passes_a_call_on_after_its_deadline_writes_nothing() {
    assert_eq!(others_go_on(How::LateBefore).await, Err((ErrorKind::Timeout, Effect::NotApplied)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rel_18_a_layer_that_keeps_an_answer_past_the_deadline_loses_no_write() {
    assert_eq!(others_go_on(How::LateAfter).await, Err((ErrorKind::Timeout, Effect::Applied)));
}
