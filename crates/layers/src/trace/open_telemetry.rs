use std::time::Duration;

use tracing::{Span, field, info_span};

use super::TraceHooks;
use throughline_core::{
    Effect, PersistArgs, PersistError, PersistRequest, PersistResponse, pipeline::AttemptsMade,
};

/// Spans named as OpenTelemetry names those of a database client, at level info and without events, for a subscriber that hands
/// them on, such as `tracing-opentelemetry`.
///
/// ```
/// use throughline_layers::trace::{OpenTelemetry, TraceLayer};
///
/// let layer = TraceLayer::with_hooks(OpenTelemetry);
/// # let _ = layer;
/// ```
///
/// | field | is |
/// |---|---|
/// | `otel.name`, `db.operation.name` | the operation: `add`, `updateContent`, … |
/// | `otel.kind` | `client` |
/// | `db.system.name` | `throughline` |
/// | `db.operation.batch.size` | how many operations a batch has |
/// | `otel.status_code`, `error.type` | `ERROR` and the code, of a call that failed |
/// | `throughline.call`, `.tenant`, `.thread`, `.call_site` | of what |
/// | `throughline.effect`, `.site`, `.attempts`, `.deduplicated` | how it ended |
///
/// Content, metadata and the detail of errors stand in none of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenTelemetry;

impl TraceHooks for OpenTelemetry {
    fn make_span(&self, request: &PersistRequest) -> Span {
        let context = &request.context;
        let operation = context.kind().as_str();
        // OpenTelemetry has no unsigned numbers: one would become a text.
        let items = match &request.args {
            PersistArgs::Batch(batch) => i64::try_from(batch.items.len()).ok(),
            _ => None,
        };
        info_span!(
            "persist",
            otel.name = operation,
            otel.kind = "client",
            otel.status_code = field::Empty,
            db.system.name = "throughline",
            db.operation.name = operation,
            db.operation.batch.size = items,
            "error.type" = field::Empty,
            throughline.call = %context.call_id(),
            throughline.tenant = context.tenant().as_str(),
            throughline.thread = context.thread().map(AsRef::<str>::as_ref),
            throughline.call_site = context.call_site(),
            throughline.effect = field::Empty,
            throughline.site = field::Empty,
            throughline.attempts = field::Empty,
            throughline.deduplicated = field::Empty,
        )
    }

    fn on_request(&self, _: &PersistRequest, _: &Span) {}

    fn on_response(&self, response: &PersistResponse, _: Duration, span: &Span) {
        let attempts = response.extensions.get::<AttemptsMade>().map_or(1, |attempts| attempts.0);
        span.record("throughline.attempts", i64::from(attempts));
        span.record("throughline.deduplicated", response.result.is_deduplicated());
    }

    fn on_failure(&self, error: &PersistError, _: Duration, span: &Span) {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", error.code());
        span.record("throughline.effect", field::display(error.effect()));
        span.record("throughline.attempts", i64::from(error.attempts()));
        if let Some(site) = error.site() {
            span.record("throughline.site", site.name());
        }
    }

    fn on_left(&self, effect: Effect, _: Duration, span: &Span) {
        span.record("throughline.effect", field::display(effect));
    }
}
