//! A tracing subscriber that stores all events and fields as text.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Mutex},
};

use tracing::{
    Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

/// All events and span fields, in order. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<String>>>);

impl Captured {
    /// Returns all lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Returns the events with this message.
    pub(crate) fn events(&self, message: &str) -> Vec<String> {
        let message = format!("message={message}");
        self.lines().into_iter().filter(|line| line.split(' ').any(|field| field == message)).collect()
    }

    fn keep(&self, metadata: &Metadata<'_>, record: impl FnOnce(&mut Text)) {
        let mut text = Text(format!("{} {}", metadata.level(), metadata.name()));
        record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
}

/// Formats fields as `name=value`.
struct Text(String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {field}={value}");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Captured {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        self.keep(span.metadata(), |text| span.record(text));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        let mut text = Text("record".to_owned());
        values.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn event(&self, event: &tracing::Event<'_>) {
        self.keep(event.metadata(), |text| event.record(text));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}
