//! A span for each call, and events for how it ended.
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
//! With a subscriber at `debug` that prints:
//!
//! ```text
//! DEBUG persist{op="add" call=c0ffee0000000000-1 tenant="default" thread="t" message="0198…" keyed=false}: began
//! DEBUG persist{…}: failed code="unsupported" effect="nothing was applied" site="nowhere" attempts=1 micros=12
//! ```
//!
//! # Fields
//! | where | field | is |
//! |---|---|---|
//! | span `persist`, level debug | `op` | the operation: `add`, `updateContent`, … |
//! | | `call` | the id of the call |
//! | | `tenant`, `thread`, `message` | of what; the last two where it is exactly one |
//! | | `actor`, `call_site` | as the handle was told |
//! | | `keyed` | whether it has an idempotency key |
//! | event `done`, debug | `micros` | how long it took |
//! | | `position` | its place among the commits, where it has one |
//! | | `deduplicated` | whether an earlier call had done it |
//! | | `attempts` | how many a retry further in made of it |
//! | event `failed`, debug for a refusal, warn otherwise | `code`, `effect`, `site`, `attempts`, `micros` | of the error |
//! | event `left`, debug | `effect`, `micros` | its caller left before it was answered |
//!
//! Content, metadata and the detail of errors stand in none of them.
//!
//! # Customisation
//! Implement [`TraceHooks`], each of whose methods has the behavior above as its default, and give it to
//! [`TraceLayer::with_hooks`].
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
//! The hooks [`OpenTelemetry`] name the spans as the conventions for database clients do.
//!
//! # When the hooks run
//! `make_span` and `on_request` run before the layers inside see the call; the span is entered whenever they are polled.
//! Exactly one of `on_response`, `on_failure` and `on_left` runs afterwards, inside the span. It fails open: a hook that
//! panics is contained, and the call goes on.

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
