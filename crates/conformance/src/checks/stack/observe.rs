//! Observers cannot hurt.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, channel},
    },
};

use throughline_core::{
    BoxError, Content, NewReservation, Role,
    plugin::{Event, Observe, ObserverStats, observe},
};
use tracing::{
    Dispatch, Level, Metadata, Subscriber, dispatcher,
    field::{Field, Visit},
    span,
};

use crate::{
    check::checks,
    rig::Rig,
    runner::ON_PURPOSE,
    shorthand::{everything, id, ids, said, the},
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

/// The log events on the thread of an observer: the failed observer and the call.
#[derive(Debug, Clone, Default)]
struct Reports(Arc<Mutex<Vec<(String, String)>>>);

impl Reports {
    /// Listens to this thread for as long as it lives: a report is made after its observer has returned.
    fn listen(&self) {
        std::mem::forget(dispatcher::set_default(&Dispatch::new(self.clone())));
    }

    /// All of them, in an order of their own.
    fn sorted(&self) -> Vec<(String, String)> {
        let mut reports = self.0.lock().expect("the reports").clone();
        reports.sort();
        reports
    }
}

/// The two fields of a report that say who and what.
#[derive(Default)]
struct Report(String, String);

impl Visit for Report {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "observer" => self.0 = value.to_owned(),
            "operation" => self.1 = value.to_owned(),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl Subscriber for Reports {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut report = Report::default();
        event.record(&mut report);
        self.0.lock().expect("the reports").push((report.0, report.1));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// Listens to its thread, and then fails at every event, in its own way.
struct Reported {
    reports: Option<Reports>,
    panics: bool,
}

impl Observe for Reported {
    fn observe(&mut self, _: &Event) -> Result<(), BoxError> {
        if let Some(reports) = self.reports.take() {
            reports.listen();
        }
        assert!(!self.panics, "{ON_PURPOSE}");
        Err(ON_PURPOSE.into())
    }
}

async fn once(rig: Rig) {
    const EACH: u64 = 5;
    let reports = Reports::default();
    let observer = |panics| Reported { reports: Some(reports.clone()), panics };
    let (fails, panics) = (observe("fails", observer(false)), observe("panics", observer(true)));
    let stats = [fails.stats(), panics.stats()];
    let db = rig.builder().layer(fails).layer(panics).backend(rig.open().await).build().unwrap();
    let thread = db.thread("t");
    // Turn by turn: that the last one was of the same kind is not what keeps a report back.
    for number in 0..EACH {
        thread.add(said(&format!("m{number}"), "x")).await.expect("no observer can fail it");
        thread.get(id("m0")).await.expect("no observer can fail it");
    }
    for stats in stats {
        settled(stats, |stats| stats.failed == 2 * EACH && stats.observed == stats.failed).await;
    }
    let each = [("fails", "add"), ("fails", "read"), ("panics", "add"), ("panics", "read")];
    assert_eq!(reports.sorted(), each.map(|(actor, case)| (actor.to_owned(), case.to_owned())));
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
