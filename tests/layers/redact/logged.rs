//! Captures everything that is logged, at every level.

use std::{
    fmt::{self, Write as _},
    sync::{Mutex, PoisonError},
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

static LOGGED: Mutex<String> = Mutex::new(String::new());

/// A subscriber that records every field of every span and event.
struct CaptureAll;

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{}={value:?} ", field.name());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, "{}={value} ", field.name());
    }
}

fn with(take: impl FnOnce(&mut Fields<'_>)) {
    let mut logged = LOGGED.lock().unwrap_or_else(PoisonError::into_inner);
    take(&mut Fields(&mut logged));
    logged.push('\n');
}

impl Subscriber for CaptureAll {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        with(|fields| span.record(fields));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        with(|fields| values.record(fields));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        with(|fields| event.record(fields));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Installs the subscriber.
pub(crate) fn install() {
    drop(tracing::subscriber::set_global_default(CaptureAll));
}

/// Returns the captured log.
pub(crate) fn captured() -> String {
    LOGGED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
