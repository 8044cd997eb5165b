//! Law 6: observers cannot hurt.

use std::{sync::mpsc::channel, time::Duration};

use throughline::{
    BoxError, ErrorKind, MessageId, NewMessage, OpKind, PageFrom, Persistence, Position,
    memory::MemoryBackend,
    plugin::{Event, Observe, ObserverStats, Outcome, observe},
};

/// Waits until the observer was told of `count` events: it runs on a thread of its own.
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
async fn an_observer_is_told_of_every_end() {
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
    let failed = Outcome::Failed { kind: ErrorKind::NotFound, effect: throughline::Effect::NotApplied };
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

/// Fails, panics and blocks by turns.
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
async fn an_observer_that_fails_and_panics_changes_nothing() {
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
async fn an_observer_that_hangs_delays_no_call_and_drops_what_it_cannot_keep() {
    let (release, hold) = channel::<()>();
    // Hangs on its first event until the test lets go.
    let hung = observe("hung", move |_: &Event| hold.recv().unwrap_or_default());
    let stats = hung.stats();
    let db = Persistence::builder().layer(hung).backend(MemoryBackend::new()).build().unwrap();
    for _ in 0..5000 {
        db.thread("t").page(PageFrom::Start, 1).deadline(Duration::from_secs(30)).await.unwrap();
    }
    // 4096 wait, one is being looked at, the rest is dropped and counted.
    let dropped = stats().dropped;
    assert!((5000 - 4097..=5000 - 4096).contains(&dropped), "{dropped}");
    drop(release);
    let told = settle(&stats, 5000 - dropped);
    assert_eq!(told.failed, 0);
}
