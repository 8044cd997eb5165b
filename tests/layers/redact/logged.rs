//! Everything that is logged, at every level.

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

/// Takes down every field of every span and event.
struct TakesDown;

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

impl Subscriber for TakesDown {
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

/// From now on everything is taken down.
pub(crate) fn begin() {
    drop(tracing::subscriber::set_global_default(TakesDown));
}

/// What was logged so far.
pub(crate) fn so_far() -> String {
    LOGGED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
