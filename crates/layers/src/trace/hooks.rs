use std::time::Duration;

use tracing::{Span, debug, debug_span, field, warn};

use throughline_core::{Effect, PersistError, PersistRequest, PersistResponse, pipeline::AttemptsMade};

/// The spans and events that a [`TraceLayer`](super::TraceLayer) emits for a call. The default of every method is the
/// behavior of the [module](super).
pub trait TraceHooks: Send + Sync + 'static {
    /// Creates the span of a call.
    fn make_span(&self, request: &PersistRequest) -> Span {
        let context = &request.context;
        let span = debug_span!(
            "persist",
            op = context.kind().as_str(),
            call = %context.call_id(),
            tenant = context.tenant().as_str(),
            thread = field::Empty,
            message = field::Empty,
            actor = field::Empty,
            call_site = field::Empty,
            keyed = context.idempotency().is_some(),
        );
        if !span.is_disabled() {
            let record = |name: &'static str, value: Option<&str>| {
                if let Some(value) = value {
                    span.record(name, value);
                }
            };
            record("thread", context.thread().map(AsRef::as_ref));
            record("message", context.message().map(AsRef::as_ref));
            record("actor", context.actor());
            record("call_site", context.call_site());
        }
        span
    }

    /// Runs before the call is forwarded.
    fn on_request(&self, request: &PersistRequest, span: &Span) {
        let _ = (request, span);
        debug!("began");
    }

    /// Runs after the call succeeded.
    fn on_response(&self, response: &PersistResponse, took: Duration, span: &Span) {
        let _ = span;
        let deduplicated = response.result.is_deduplicated();
        let position = response.receipt.position.map(throughline_core::Position::get);
        let attempts = response.extensions.get::<AttemptsMade>().map_or(1, |attempts| attempts.0);
        debug!(micros = micros(took), position, deduplicated, attempts, "done");
    }

    /// Runs after the call failed.
    fn on_failure(&self, error: &PersistError, took: Duration, span: &Span) {
        let _ = span;
        let (code, attempts, micros) = (error.code(), error.attempts(), micros(took));
        let site = error.site().map(throughline_core::Site::name);
        let effect = error.effect();
        if error.kind().is_refusal() {
            debug!(code, %effect, site, attempts, micros, "failed");
        } else {
            warn!(code, %effect, site, attempts, micros, "failed");
        }
    }

    /// Runs when the call is dropped: its caller left before it reached a backend, or an outer layer dropped it. A
    /// write that reached a backend completes without its caller, and ends with `on_response` or `on_failure`.
    fn on_left(&self, effect: Effect, took: Duration, span: &Span) {
        let _ = span;
        debug!(%effect, micros = micros(took), "left");
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// The hooks of a layer without its own hooks.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultHooks;

impl TraceHooks for DefaultHooks {}
