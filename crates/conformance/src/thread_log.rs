//! Reads the log events of one thread.

use std::{
    fmt,
    sync::{Arc, Mutex, OnceLock},
};

use tracing::{
    Dispatch, Level, Metadata, Subscriber, dispatcher,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

/// Lets every thread receive its warnings. Called before the first check of the process.
///
/// Next to fewer than two subscribers, `tracing` asks only the subscriber of the thread on which a call site is first used, and keeps its
/// answer for all threads. So without these two, a check that warns on a thread without a subscriber disables the warning in another check.
pub(crate) fn prepare() {
    static SUBSCRIBERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
    SUBSCRIBERS.get_or_init(|| [(); 2].map(|()| Dispatch::new(FailedObservers::default())));
}

/// A log event about a failed observer.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FailedObserver {
    observer: String,
    /// The operation of the call.
    operation: String,
    why: String,
}

impl From<(&str, &str, &str)> for FailedObserver {
    fn from((observer, operation, why): (&str, &str, &str)) -> Self {
        Self { observer: observer.to_owned(), operation: operation.to_owned(), why: why.to_owned() }
    }
}

/// The log events about failed observers.
#[derive(Debug, Clone, Default)]
pub(crate) struct FailedObservers(Arc<Mutex<Vec<FailedObserver>>>);

impl FailedObservers {
    /// Collects those of the current thread until the thread ends: a warning is logged after its observer has returned.
    pub(crate) fn collect(&self) {
        std::mem::forget(dispatcher::set_default(&Dispatch::new(self.clone())));
    }

    /// All of them, sorted.
    pub(crate) fn sorted(&self) -> Vec<FailedObserver> {
        let mut all = self.0.lock().expect("the warnings").clone();
        all.sort();
        all
    }
}

impl Visit for FailedObserver {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "observer" => value.clone_into(&mut self.observer),
            "operation" => value.clone_into(&mut self.operation),
            "why" => value.clone_into(&mut self.why),
            _ => {}
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

impl Subscriber for FailedObservers {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut failed = FailedObserver::default();
        event.record(&mut failed);
        self.0.lock().expect("the warnings").push(failed);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
