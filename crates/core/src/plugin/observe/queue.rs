//! The thread of an observer, and its bounded queue.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use super::{Event, Observe};
use crate::{OpKind, error::SiteName};

/// The most events that wait for an observer.
const QUEUE: usize = 4096;

/// The counters of an observer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObserverStats {
    /// Events that the observer received.
    pub observed: u64,
    /// Events on which the observer failed or panicked.
    pub failed: u64,
    /// Events that the observer did not receive, because its queue was full.
    pub dropped: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    observed: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Counters {
    pub(super) fn stats(&self) -> ObserverStats {
        ObserverStats {
            observed: self.observed.load(Ordering::Acquire),
            failed: self.failed.load(Ordering::Acquire),
            dropped: self.dropped.load(Ordering::Acquire),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Queue {
    events: SyncSender<Event>,
    counters: Arc<Counters>,
}

impl Queue {
    /// Starts the thread. It ends when the last pipeline of the observer is dropped.
    pub(super) fn start(
        name: &SiteName,
        observer: impl Observe,
        counters: Arc<Counters>,
    ) -> std::io::Result<Self> {
        let (events, inbox) = sync_channel(QUEUE);
        let site = Arc::clone(name);
        let theirs = Arc::clone(&counters);
        thread::Builder::new()
            .name(format!("observe {name}"))
            .spawn(move || work(&site, observer, &inbox, &theirs))?;
        Ok(Self { events, counters })
    }

    /// Queues the event, or drops and counts it if the queue is full. Never blocks.
    pub(super) fn report_event(&self, event: Event) {
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.events.try_send(event) {
            self.counters.dropped.fetch_add(1, Ordering::Release);
        }
    }
}

fn work(site: &SiteName, mut observer: impl Observe, inbox: &Receiver<Event>, counters: &Counters) {
    let mut reported: Vec<OpKind> = Vec::new();
    for event in inbox {
        let kind = event.kind();
        let failed = match catch_unwind(AssertUnwindSafe(|| observer.observe(&event))) {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("it panicked".to_owned()),
        };
        if let Some(why) = failed {
            counters.failed.fetch_add(1, Ordering::Release);
            if !reported.contains(&kind) {
                reported.push(kind);
                report(site, kind, &why);
            }
        }
        counters.observed.fetch_add(1, Ordering::Release);
    }
}

/// Logs the first failure of each operation, so that a broken observer does not flood the log.
#[cfg(feature = "tracing")]
fn report(site: &SiteName, kind: OpKind, why: &str) {
    tracing::warn!(
        observer = &**site,
        operation = kind.as_str(),
        why,
        "an observer failed; the call is not affected"
    );
}

#[cfg(not(feature = "tracing"))]
fn report(_: &SiteName, _: OpKind, _: &str) {}
