use std::time::Duration;

use tracing::{Span, field, info_span};

use super::TraceHooks;
use throughline_core::{
    Effect, PersistArgs, PersistError, PersistRequest, PersistResponse, pipeline::AttemptsMade,
};

/// Emits spans as OpenTelemetry defines them for a database client, at level info and without events. They are for a
/// subscriber that exports them, such as `tracing-opentelemetry`.
///
/// ```
/// use throughline_layers::trace::{OpenTelemetry, TraceLayer};
///
/// let layer = TraceLayer::with_hooks(OpenTelemetry);
/// # let _ = layer;
/// ```
///
/// | field | value |
/// |---|---|
/// | `otel.name`, `db.operation.name` | the operation: `add`, `updateContent`, … |
/// | `otel.kind` | `client` |
/// | `db.system.name` | `throughline` |
/// | `db.operation.batch.size` | the number of operations in a batch |
/// | `otel.status_code`, `error.type` | `ERROR` and the error code of a failed call |
/// | `throughline.call`, `.tenant`, `.thread`, `.call_site` | of the call |
/// | `throughline.effect`, `.site`, `.attempts`, `.deduplicated` | the outcome |
///
/// No field contains content, metadata or the detail of an error.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenTelemetry;

impl TraceHooks for OpenTelemetry {
    fn make_span(&self, request: &PersistRequest) -> Span {
        let context = &request.context;
        let operation = context.kind().as_str();
        // OpenTelemetry has no unsigned integers: one would become a string.
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
