use std::time::Duration;

use tracing::{Span, debug, debug_span, field, warn};

use throughline_core::{Effect, PersistError, PersistRequest, PersistResponse, pipeline::AttemptsMade};

/// What a [`TraceLayer`](super::TraceLayer) says of a call. Every method has the behavior of the [module](super) as its
/// default.
pub trait TraceHooks: Send + Sync + 'static {
    /// Makes the span of a call.
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

    /// The call is about to go on.
    fn on_request(&self, request: &PersistRequest, span: &Span) {
        let _ = (request, span);
        debug!("began");
    }

    /// The call was answered.
    fn on_response(&self, response: &PersistResponse, took: Duration, span: &Span) {
        let _ = span;
        let deduplicated = response.result.is_deduplicated();
        let position = response.receipt.position.map(throughline_core::Position::get);
        let attempts = response.extensions.get::<AttemptsMade>().map_or(1, |attempts| attempts.0);
        debug!(micros = micros(took), position, deduplicated, attempts, "done");
    }

    /// The call failed.
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

    /// The caller left before a backend was given anything, or a layer further out gave the call up. A write that a backend was
    /// given is seen through without its caller, and ends with its answer or its failure.
    fn on_left(&self, effect: Effect, took: Duration, span: &Span) {
        let _ = span;
        debug!(%effect, micros = micros(took), "left");
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

/// The hooks of a layer that was given none.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultHooks;

impl TraceHooks for DefaultHooks {}
