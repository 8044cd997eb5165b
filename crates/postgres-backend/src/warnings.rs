//! Hears whether the server has warned.
//!
//! A commit waits for a synchronous standby. When that wait is cancelled, the server answers with a success and a warning, and the
//! driver hands warnings to the log and to nobody else. So the log is listened to, while a commit runs and in its task alone: what is
//! logged goes on to where it would have gone.

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

/// Where the driver logs what the server says beside its answers.
const NOTICES: &str = "sqlx::postgres::notice";

thread_local! {
    /// How many warnings there were, on this thread and while somebody listened.
    static HEARD: Cell<u64> = const { Cell::new(0) };
    /// Where everything goes on to.
    static OUTER: RefCell<Dispatch> = RefCell::new(Dispatch::none());
}

/// Runs something, and says whether the server has warned meanwhile.
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

/// Whether warnings are heard at all. They are not where logging was left out when the host was compiled.
pub(crate) fn are_heard() -> bool {
    listening(Dispatch::none(), || tracing::event!(target: NOTICES, Level::WARN, "a rehearsal")).1
}

fn listening<T>(outer: Dispatch, work: impl FnOnce() -> T) -> (T, bool) {
    // One for ever: for each that is made, every place that logs is asked anew whom it interests.
    static EAR: OnceLock<Dispatch> = OnceLock::new();
    let ear = EAR.get_or_init(|| Dispatch::new(Ear));
    let before = HEARD.get();
    let _back = Back(OUTER.replace(outer));
    let done = dispatcher::with_default(ear, work);
    (done, HEARD.get() != before)
}

/// Puts back what was there before, also after a panic.
struct Back(Dispatch);

impl Drop for Back {
    fn drop(&mut self) {
        OUTER.replace(std::mem::replace(&mut self.0, Dispatch::none()));
    }
}

struct Ear;

fn outer() -> Dispatch {
    OUTER.with_borrow(Clone::clone)
}

fn is_warning(metadata: &Metadata<'_>) -> bool {
    metadata.target() == NOTICES && *metadata.level() <= Level::WARN
}

impl Subscriber for Ear {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // What interests somebody else is passed on, and is none of its own.
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
            HEARD.set(HEARD.get() + 1);
        }
        let outer = outer();
        if outer.enabled(event.metadata()) {
            outer.event(event);
        }
    }

    // The driver has no spans; one that began here would end where nobody passes it on.
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

    /// Keeps the levels of what it is told.
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
    async fn a_warning_is_heard_by_its_own_task_alone_and_goes_on() {
        let log = Log::default();
        let _guard = dispatcher::set_default(&Dispatch::new(log.clone()));
        assert!(are_heard());
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
                tracing::warn!("of somebody else");
                tracing::debug!("of somebody else");
                tracing::trace!("nobody wants it");
                2
            })
        );
        assert_eq!((one, two), ((1, true), (2, false)));
        let mut logged = log.0.lock().unwrap().clone();
        logged.sort();
        assert_eq!(logged, [Level::WARN, Level::WARN, Level::INFO, Level::DEBUG]);
        // Outside it is nobody's business.
        tracing::event!(target: NOTICES, Level::WARN, "late");
        assert!(!listen(async {}).await.1);
    }
}
