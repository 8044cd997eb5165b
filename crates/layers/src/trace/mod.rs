//! Emits a span for each call, and an event for its outcome.
//!
//! ```
//! # use throughline_core::{Admitted, Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use throughline_core::{NewMessage, Persistence};
//! use throughline_layers::{trace::TraceLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let db = Persistence::builder().layer(TraceLayer::new()).backend(Nowhere).build()?;
//! db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! # Ok(())
//! # }
//! ```
//!
//! With a subscriber at `debug` this prints:
//!
//! ```text
//! DEBUG persist{op="add" call=c0ffee0000000000-1 tenant="default" thread="t" message="0198…" keyed=false}: began
//! DEBUG persist{…}: failed code="unsupported" effect="nothing was applied" site="nowhere" attempts=1 micros=12
//! ```
//!
//! # Fields
//! | span or event | field | value |
//! |---|---|---|
//! | span `persist`, level debug | `op` | the operation: `add`, `updateContent`, … |
//! | | `call` | the id of the call |
//! | | `tenant`, `thread`, `message` | of the call; the last two for calls with exactly one |
//! | | `actor`, `call_site` | from the handle |
//! | | `keyed` | true for a call with an idempotency key |
//! | event `done`, debug | `micros` | the duration |
//! | | `position` | the position of the commit, if there is one |
//! | | `deduplicated` | true for the replay of an earlier call |
//! | | `attempts` | the attempts of an inner retry |
//! | event `failed`, debug for a refusal, warn otherwise | `code`, `effect`, `site`, `attempts`, `micros` | from the error |
//! | event `left`, debug | `effect`, `micros` | for a call that was dropped before its answer |
//!
//! No field contains content, metadata or the detail of an error.
//!
//! # Customisation
//! To change this, implement [`TraceHooks`] and pass it to [`TraceLayer::with_hooks`]. Each method has the behavior
//! above as its default.
//!
//! ```
//! use std::time::Duration;
//! use throughline_core::{PersistError, PersistRequest};
//! use throughline_layers::{trace::{TraceHooks, TraceLayer}};
//! use tracing::Span;
//!
//! struct SlowOnly;
//!
//! impl TraceHooks for SlowOnly {
//!     fn on_request(&self, _: &PersistRequest, _: &Span) {}
//!
//!     fn on_failure(&self, error: &PersistError, took: Duration, _: &Span) {
//!         if took > Duration::from_millis(100) {
//!             tracing::warn!(code = error.code(), "slow and in vain");
//!         }
//!     }
//! }
//!
//! let layer = TraceLayer::with_hooks(SlowOnly);
//! # let _ = layer;
//! ```
//!
//! The hooks [`OpenTelemetry`] follow the span conventions for database clients.
//!
//! # When the hooks run
//! `make_span` and `on_request` run before the inner layers see the call. The span is entered whenever those are
//! polled. Afterwards exactly one of `on_response`, `on_failure` and `on_left` runs, inside the span. The layer fails
//! open: it contains a panic of a hook, and the call continues.

mod future;
mod hooks;
mod layer;
mod open_telemetry;
mod service;

pub use self::{
    future::TraceFuture,
    hooks::{DefaultHooks, TraceHooks},
    layer::TraceLayer,
    open_telemetry::OpenTelemetry,
    service::TraceService,
};
