//! Observers cannot hurt.

use std::sync::mpsc::{Receiver, channel};

use throughline_core::{
    BoxError, Content, NewReservation, Role,
    plugin::{Event, Observe, ObserverStats, observe},
};

use crate::{
    check::checks,
    rig::Rig,
    runner::ON_PURPOSE,
    shorthand::{everything, id, ids, said, the},
    thread_log::{FailedObserver, FailedObservers},
};

checks! {
    Core "observers.faulty_observers_do_not_affect_writes" ("VL-S20") [Add Reserve UpdateContent Read] "observers that fail, panic or block on every event do not fail, delay or change a write" => observers;
    Core "observers.failure_is_reported_once_per_event_kind" ("VL-S20") [Add Read] "a failing or panicking observer is reported once for each event kind" => once,
        core alone: "the report is made on the thread of the observer, where neither a store nor a layer comes by";
    Core "observers.every_call_is_reported_with_its_outcome" ("VL-S20") [Add Read] "an observer receives every ended call with its outcome and its position" => reported;
}

struct Fails;

impl Observe for Fails {
    fn observe(&mut self, _: &Event) -> Result<(), BoxError> {
        Err(ON_PURPOSE.into())
    }
}

/// Waits until the check is over: a sleep that no write could have waited for.
struct Blocks(Receiver<()>);

impl Observe for Blocks {
    fn observe(&mut self, _: &Event) -> Result<(), BoxError> {
        // The sender is dropped when the check is over.
        self.0.recv().or(Ok(()))
    }
}

async fn observers(rig: Rig) {
    let (release, blocked) = channel::<()>();
    let fails = observe("fails", Fails);
    let panics = observe("panics", |_: &Event| panic!("{ON_PURPOSE}"));
    let blocks = observe("blocks", Blocks(blocked));
    let stats = [fails.stats(), panics.stats()];
    let blocking = blocks.stats();
    let stack = rig.builder().layer(fails).layer(panics).layer(blocks);
    let db = stack.backend(rig.open().await).build().unwrap();
    let thread = db.thread("t");
    for number in 0..10 {
        thread.add(said(&format!("m{number}"), "x")).await.expect("no observer can fail it");
    }
    let mut draft = thread.reserve(NewReservation::new(Role::Assistant).with_id(id("d"))).await.unwrap();
    draft.append("streamed").await.unwrap();
    draft.finish().await.unwrap();
    assert_eq!(the(&thread, "d").await.content, Content::text("streamed"));
    assert_eq!(everything(&thread).await.len(), 11);
    // All of this while one observer is still at its first event.
    assert_eq!(blocking().observed, 0);
    for stats in stats {
        // Ten, a reservation, an end, and two reads.
        settled(stats, |stats| stats.failed >= 14 && stats.observed == stats.failed).await;
    }
    drop(release);
    settled(blocking, |stats| stats.observed >= 14 && stats.failed == 0).await;
    assert_eq!(ids(&everything(&thread).await).len(), 11);
}

/// Collects the warnings of its thread, and fails at every event.
struct Reported {
    warnings: Option<FailedObservers>,
    panics: bool,
}

impl Observe for Reported {
    fn observe(&mut self, _: &Event) -> Result<(), BoxError> {
        if let Some(warnings) = self.warnings.take() {
            warnings.collect();
        }
        assert!(!self.panics, "{ON_PURPOSE}");
        Err(ON_PURPOSE.into())
    }
}

async fn once(rig: Rig) {
    const EACH: u64 = 5;
    let warnings = FailedObservers::default();
    let observer = |panics| Reported { warnings: Some(warnings.clone()), panics };
    let (fails, panics) = (observe("fails", observer(false)), observe("panics", observer(true)));
    let stats = [fails.stats(), panics.stats()];
    let db = rig.builder().layer(fails).layer(panics).backend(rig.open().await).build().unwrap();
    let thread = db.thread("t");
    let panicked = "it panicked";
    let all = [
        ("fails", "add", ON_PURPOSE),
        ("fails", "read", ON_PURPOSE),
        ("panics", "add", panicked),
        ("panics", "read", panicked),
    ];
    // Turn by turn: that the last one was of the same kind is not what keeps a report back.
    for number in 0..EACH {
        thread.add(said(&format!("m{number}"), "x")).await.expect("no observer can fail it");
        thread.get(id("m0")).await.expect("no observer can fail it");
        for stats in &stats {
            let events = 2 * (number + 1);
            settled(stats, |stats| stats.failed == events && stats.observed == events).await;
        }
        // From the first failure on, and never again.
        assert_eq!(warnings.sorted(), all.map(FailedObserver::from), "after {number} more of each kind");
    }
}

/// Waits for the thread of an observer.
async fn settled(stats: impl Fn() -> ObserverStats, done: impl Fn(ObserverStats) -> bool) {
    while !done(stats()) {
        tokio::task::yield_now().await;
    }
}

async fn reported(rig: Rig) {
    let (sender, events) = channel();
    let layer = observe("watches", move |event: &Event| drop(sender.send(event.clone())));
    let db = rig.builder().layer(layer).backend(rig.open().await).build().unwrap();
    let thread = db.thread("t");
    let reply = thread.add(said("m", "x")).reply().await.unwrap();
    thread.add(said("m", "x")).await.unwrap_err();
    thread.get(id("m")).await.unwrap();
    let reported: Vec<Event> = events.iter().take(3).collect();
    let outcomes: Vec<String> = reported.iter().map(|event| format!("{:?}", event.outcome)).collect();
    let position = reply.receipt.position;
    assert_eq!(outcomes[0], format!("Answered {{ position: {position:?}, deduplicated: false }}"));
    assert_eq!(outcomes[1], "Failed { kind: AlreadyExists, effect: NotApplied }");
    assert_eq!(outcomes[2], "Answered { position: None, deduplicated: false }");
    assert!(reported.iter().all(|event| event.message() == Some(&id("m")) && event.tenant() == db.tenant()));
}
