//! Law 6: observers cannot affect calls.

use std::{
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
    time::Duration,
};

use throughline::{
    BoxError, Effect, ErrorKind, MessageId, NewMessage, OpKind, PersistError, PersistRequest, Persistence,
    Phase, Position,
    memory::MemoryBackend,
    messages::PageFrom,
    plugin::{Event, NextRequest, Observe, ObserverStats, Outcome, from_fn, observe},
};
use tokio::sync::Semaphore;

use crate::{
    blocked::{BlockedStore, OPEN},
    kind_effect_site,
};

/// Waits until the observer has received `count` events; it runs on its own thread.
fn settle(stats: impl Fn() -> ObserverStats, count: u64) -> ObserverStats {
    loop {
        let now = stats();
        if now.observed == count {
            return now;
        }
        std::thread::yield_now();
    }
}

#[tokio::test]
async fn an_observer_receives_the_outcome_of_every_call() {
    let (sender, seen) = channel();
    let watch = observe("watch", move |event: &Event| {
        drop(sender.send((event.kind(), event.message().cloned(), event.outcome)));
    });
    let db = Persistence::builder().layer(watch).backend(MemoryBackend::new()).build().unwrap();
    let thread = db.thread("t");
    let id: MessageId = "m".parse().unwrap();
    let add = || thread.add(NewMessage::user("hello").with_id(id.clone())).key("k");
    add().await.unwrap();
    add().await.unwrap();
    thread.delete("none".parse().unwrap()).await.unwrap_err();
    thread.get(id.clone()).await.unwrap();
    let failed = Outcome::Failed { kind: ErrorKind::NotFound, effect: Effect::NotApplied };
    let expected = [
        (OpKind::Add, Some(id.clone()), answered(Some(1), false)),
        (OpKind::Add, Some(id.clone()), answered(None, true)),
        (OpKind::Delete, Some("none".parse().unwrap()), failed),
        (OpKind::Read, Some(id), answered(None, false)),
    ];
    for expected in expected {
        assert_eq!(seen.recv().unwrap(), expected);
    }
}

fn answered(position: Option<u64>, deduplicated: bool) -> Outcome {
    Outcome::Answered { position: position.map(Position::new), deduplicated }
}

/// Fails, panics and succeeds in turn.
struct Hostile(u32);

impl Observe for Hostile {
    fn observe(&mut self, _: &Event) -> Result<(), BoxError> {
        self.0 += 1;
        match self.0 % 3 {
            0 => Err("broken".into()),
            1 => panic!("planned"),
            _ => Ok(()),
        }
    }
}

#[tokio::test]
async fn an_observer_that_fails_or_panics_affects_no_call() {
    let hostile = observe("hostile", Hostile(0));
    let stats = hostile.stats();
    let db = Persistence::builder().layer(hostile).backend(MemoryBackend::new()).build().unwrap();
    for at in 0..30 {
        let added = db.thread("t").add(NewMessage::user("hello")).await.unwrap();
        assert_eq!(added.message.seq.get(), at + 1);
    }
    let stats = settle(stats, 30);
    assert_eq!((stats.failed, stats.dropped), (20, 0));
}

#[tokio::test]
async fn a_hanging_observer_delays_no_call_and_drops_events_beyond_its_buffer() {
    let (release, hold) = channel::<()>();
    // Hangs on its first event until the test releases it.
    let hung = observe("hung", move |_: &Event| hold.recv().unwrap_or_default());
    let stats = hung.stats();
    let db = Persistence::builder().layer(hung).backend(MemoryBackend::new()).build().unwrap();
    for _ in 0..5000 {
        db.thread("t").page(PageFrom::Start, 1).deadline(Duration::from_secs(30)).await.unwrap();
    }
    // 4096 events are queued and at most one is being observed; the rest is dropped and counted.
    let dropped = stats().dropped;
    assert!((5000 - 4097..=5000 - 4096).contains(&dropped), "{dropped}");
    drop(release);
    let settled = settle(&stats, 5000 - dropped);
    assert_eq!(settled.failed, 0);
}

/// The moment at which the layer outside of the observer drops the call, relative to the store.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Drops {
    Before,
    During,
    After,
}

/// A call that an outer layer drops causes one event, with the effect that is known at that moment.
#[tokio::test]
async fn an_observer_receives_one_event_for_a_call_that_an_outer_layer_drops() {
    let moments = [
        (Drops::Before, Effect::NotApplied),
        (Drops::During, Effect::Unknown),
        (Drops::After, Effect::Applied),
    ];
    for (drops, effect) in moments {
        let (blocked, barriers) = BlockedStore::new(if drops == Drops::During { 0 } else { OPEN }, OPEN);
        let (reached_layer, arrived) = (Arc::new(Semaphore::new(0)), Arc::clone(&barriers));
        let reached = Arc::clone(&reached_layer);
        let dropping =
            from_fn("dropping", Phase::Observe, move |request: PersistRequest, next: NextRequest| {
                let (reached, arrived) = (Arc::clone(&reached), Arc::clone(&arrived));
                async move {
                    let reached = async {
                        match drops {
                            Drops::During => arrived.arrival().await,
                            _ => reached.acquire().await.expect("never closed").forget(),
                        }
                    };
                    tokio::select! {
                        biased;
                        answer = next.run(request) => answer,
                        () = reached => Err(PersistError::new(ErrorKind::Overloaded, "dropped")),
                    }
                }
            });
        let hangs = from_fn("hangs", Phase::Observe, move |request: PersistRequest, next: NextRequest| {
            let reached_layer = Arc::clone(&reached_layer);
            async move {
                if drops == Drops::After {
                    next.run(request).await?;
                } else if drops == Drops::During {
                    return next.run(request).await;
                }
                reached_layer.add_permits(1);
                std::future::pending().await
            }
        });
        let (sender, seen) = channel();
        let sending = |name: &'static str, sender: &Sender<_>| {
            let sender = sender.clone();
            observe(name, move |event: &Event| sender.send((name, event.outcome)).unwrap_or_default())
        };
        let (outside, watch) = (sending("outside", &sender), sending("watch", &sender));
        let stats = [outside.stats(), watch.stats()];
        let stack = Persistence::builder().layer(outside).layer(dropping).layer(watch).layer(hangs);
        let db = stack.backend(blocked).build().unwrap();
        let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
        assert_eq!(kind_effect_site(&error), (ErrorKind::Overloaded, effect, "dropping"), "{drops:?}");
        for stats in &stats {
            settle(stats, 1);
        }
        // The later outcome of the write causes no second event.
        barriers.before.add_permits(OPEN);
        db.close().await.unwrap();
        drop(sender);
        let mut events: Vec<_> = seen.try_iter().collect();
        events.sort_by_key(|(name, _)| *name);
        let failed = Outcome::Failed { kind: ErrorKind::Overloaded, effect };
        assert_eq!(events, [("outside", failed), ("watch", Outcome::Left { effect })], "{drops:?}");
        assert!(stats.iter().all(|stats| stats().observed == 1), "{drops:?}");
    }
}
