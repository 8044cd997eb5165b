//! Detects warnings of the server.
//!
//! A commit waits for a synchronous standby. If that wait is cancelled, the server reports success with a warning.
//! The driver only logs warnings. So this module subscribes to log events while a commit runs, only in its task. It
//! forwards the events to the former subscriber.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    sync::OnceLock,
};

use tracing::{
    Dispatch, Event, Level, Metadata, Subscriber, dispatcher,
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};

/// The log target of the driver for notices of the server.
const NOTICES: &str = "sqlx::postgres::notice";

thread_local! {
    /// The number of warnings on this thread while `listen` runs.
    static WARNINGS: Cell<u64> = const { Cell::new(0) };
    /// The subscriber that receives the forwarded events.
    static OUTER: RefCell<Dispatch> = RefCell::new(Dispatch::none());
}

/// Runs a future, and returns whether the server warned in the meantime.
pub(crate) async fn listen<T>(work: impl Future<Output = T>) -> (T, bool) {
    let mut work = pin!(work);
    let mut warned = false;
    let answer = poll_fn(|context| {
        let (polled, heard) =
            listening(dispatcher::get_default(Clone::clone), || work.as_mut().poll(context));
        warned |= heard;
        polled
    })
    .await;
    (answer, warned)
}

/// Returns whether warnings arrive at all. They do not if the host disabled log events at compile time.
pub(crate) fn are_enabled() -> bool {
    listening(Dispatch::none(), || tracing::event!(target: NOTICES, Level::WARN, "a rehearsal")).1
}

fn listening<T>(former: Dispatch, work: impl FnOnce() -> T) -> (T, bool) {
    // For the whole process: each new dispatcher makes every call site register again. And two of them: next to a single one,
    // `tracing` asks only the subscriber of the thread on which a call site is first used, and disables the call site for all
    // threads if that thread has none. The first warning of a server may arrive outside of `listen`.
    static SUBSCRIBERS: OnceLock<[Dispatch; 2]> = OnceLock::new();
    // Inside another call of this function, the former subscriber is that of the outer call.
    let former = if former.is::<WarningSubscriber>() { outer() } else { former };
    let [subscriber, _] = SUBSCRIBERS.get_or_init(|| [(); 2].map(|()| Dispatch::new(WarningSubscriber)));
    let before = WARNINGS.get();
    let _back = Back(OUTER.replace(former));
    let done = dispatcher::with_default(subscriber, work);
    (done, WARNINGS.get() != before)
}

/// Restores the former subscriber, also after a panic.
struct Back(Dispatch);

impl Drop for Back {
    fn drop(&mut self) {
        OUTER.replace(std::mem::replace(&mut self.0, Dispatch::none()));
    }
}

struct WarningSubscriber;

fn outer() -> Dispatch {
    OUTER.with_borrow(Clone::clone)
}

fn is_warning(metadata: &Metadata<'_>) -> bool {
    metadata.target() == NOTICES && *metadata.level() <= Level::WARN
}

impl Subscriber for WarningSubscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Events for the former subscriber are forwarded; this subscriber has no interest of its own in them.
        if is_warning(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_warning(metadata) || (!metadata.is_span() && outer().enabled(metadata))
    }

    fn event(&self, event: &Event<'_>) {
        if is_warning(event.metadata()) {
            WARNINGS.set(WARNINGS.get() + 1);
        }
        let outer = outer();
        if outer.enabled(event.metadata()) {
            outer.event(event);
        }
    }

    // The driver has no spans, so none needs to be forwarded.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A subscriber that keeps the levels of events.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<Level>>>);

    impl Subscriber for Log {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::DEBUG
        }

        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn enter(&self, _: &Id) {}

        fn exit(&self, _: &Id) {}
    }

    #[tokio::test]
    async fn warning_is_seen_only_by_its_own_task_and_is_forwarded() {
        let log = Log::default();
        let _guard = dispatcher::set_default(&Dispatch::new(log.clone()));
        assert!(are_enabled());
        let warn = async {
            tokio::task::yield_now().await;
            tracing::event!(target: NOTICES, Level::WARN, "the wait was cancelled");
            1
        };
        let (one, two) = tokio::join!(
            listen(warn),
            listen(async {
                tokio::task::yield_now().await;
                tracing::event!(target: NOTICES, Level::INFO, "a notice");
                tracing::warn!("from another task");
                tracing::debug!("from another task");
                tracing::trace!("below the level");
                2
            })
        );
        assert_eq!((one, two), ((1, true), (2, false)));
        let mut logged = log.0.lock().unwrap().clone();
        logged.sort();
        assert_eq!(logged, [Level::WARN, Level::WARN, Level::INFO, Level::DEBUG]);
        // Outside of `listen`, warnings have no effect.
        tracing::event!(target: NOTICES, Level::WARN, "late");
        assert!(!listen(async {}).await.1);
    }

    #[tokio::test]
    async fn nested_calls_detect_a_warning_and_forward_it_once() {
        let log = Log::default();
        let _guard = dispatcher::set_default(&Dispatch::new(log.clone()));
        let warn = async { tracing::event!(target: NOTICES, Level::WARN, "the wait was cancelled") };
        assert_eq!(listen(listen(warn)).await, (((), true), true));
        assert_eq!(*log.0.lock().unwrap(), [Level::WARN]);
    }

    /// The server can warn a connection as it opens, for instance of a collation of another version.
    #[test]
    fn warning_is_seen_after_the_first_one_came_on_a_thread_that_does_not_listen() {
        assert!(are_enabled());
        let warn = || tracing::event!(target: NOTICES, Level::WARN, "a warning");
        std::thread::spawn(warn).join().unwrap();
        assert!(listening(Dispatch::none(), warn).1);
    }
}
