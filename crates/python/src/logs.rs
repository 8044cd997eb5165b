//! The events of the layers `trace` and `slow_log`, as records of Python's `logging`.
//!
//! The thread of a call puts the text of an event into a bounded channel; a thread of this module hands it to `logging`, so that no
//! call waits for the interpreter. A full channel drops events.

use std::{
    cell::RefCell,
    collections::HashMap,
    fmt::{self, Write as _},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread,
};

use pyo3::{intern, prelude::*};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::set_global_default,
};

/// The events that wait for the interpreter.
const WAITING: usize = 4096;

struct Line {
    logger: &'static str,
    level: u8,
    text: String,
}

/// Starts the hand-over to `logging`, once for the process.
pub(crate) fn start() {
    static STARTED: OnceLock<()> = OnceLock::new();
    STARTED.get_or_init(|| {
        let (sender, receiver) = sync_channel::<Line>(WAITING);
        let spawned = thread::Builder::new().name("throughline-log".to_owned()).spawn(move || {
            for line in receiver {
                // `None` while the interpreter ends.
                if Python::try_attach(|py| drop(log(py, &line))).is_none() {
                    return;
                }
            }
        });
        if spawned.is_ok() {
            drop(set_global_default(Logging {
                lines: sender,
                spans: Mutex::default(),
                next: AtomicU64::new(1),
            }));
        }
    });
}

fn log(py: Python<'_>, line: &Line) -> PyResult<()> {
    let logger = py.import("logging")?.call_method1(intern!(py, "getLogger"), (line.logger,))?;
    logger.call_method1(intern!(py, "log"), (line.level, "%s", line.text.as_str()))?;
    Ok(())
}

/// The subscriber of the library. The library is part of this extension alone, so that no other subscriber is replaced.
struct Logging {
    lines: SyncSender<Line>,
    spans: Mutex<HashMap<u64, Span>>,
    next: AtomicU64,
}

struct Span {
    text: String,
    handles: usize,
}

thread_local! {
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

fn logger_of(metadata: &Metadata<'_>) -> Option<&'static str> {
    let target = metadata.target();
    if target.starts_with("throughline_layers::slow_log") {
        Some("throughline.slow_log")
    } else if target.starts_with("throughline_layers::trace") {
        Some("throughline.trace")
    } else {
        None
    }
}

/// Writes fields as `name=value`.
struct Text<'a>(&'a mut String);

impl Visit for Text<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let space = if self.0.is_empty() { "" } else { " " };
        // A string takes every text.
        _ = match field.name() {
            "message" => write!(self.0, "{space}{value:?}"),
            name => write!(self.0, "{space}{name}={value:?}"),
        };
    }
}

impl Subscriber for Logging {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        logger_of(metadata).is_some() && *metadata.level() <= Level::DEBUG
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut text = String::new();
        span.record(&mut Text(&mut text));
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Span { text, handles: 1 });
        Id::from_u64(id)
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        if let Some(span) =
            self.spans.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&span.into_u64())
        {
            values.record(&mut Text(&mut span.text));
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(logger) = logger_of(event.metadata()) else { return };
        let mut text = String::new();
        event.record(&mut Text(&mut text));
        let entered = ENTERED.with(|entered| entered.borrow().last().copied());
        if let Some(span) = entered {
            let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(span) = spans.get(&span) {
                text.push(' ');
                text.push_str(&span.text);
            }
        }
        let level = match *event.metadata().level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            _ => 10,
        };
        // A full channel drops the event: a log never delays a call.
        drop(self.lines.try_send(Line { logger, level, text }));
    }

    fn enter(&self, span: &Id) {
        ENTERED.with(|entered| entered.borrow_mut().push(span.into_u64()));
    }

    fn exit(&self, span: &Id) {
        ENTERED.with(|entered| {
            let mut entered = entered.borrow_mut();
            if let Some(at) = entered.iter().rposition(|one| *one == span.into_u64()) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(span) = self.spans.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&id.into_u64())
        {
            span.handles += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(span) = spans.get_mut(&id.into_u64()) else { return false };
        span.handles -= 1;
        if span.handles > 0 {
            return false;
        }
        spans.remove(&id.into_u64());
        true
    }
}
