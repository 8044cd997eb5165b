//! Records counters, gauges and histograms of every call, through the [`metrics`](https://docs.rs/metrics) facade.
//!
//! ```
//! # use throughline_core::{Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use throughline_core::{NewMessage, Persistence};
//! use throughline_layers::{metrics::MetricsLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! // The host first installs an exporter of its choice; without one, nothing is recorded.
//! let db = Persistence::builder().layer(MetricsLayer::new()).backend(Nowhere).build()?;
//! db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! # Ok(())
//! # }
//! ```
//!
//! # Metrics
//! | name | kind | unit | labels | value |
//! |---|---|---|---|---|
//! | `throughline_calls_total` | counter | count | `operation`, `outcome`, `effect` | calls that ended |
//! | `throughline_call_duration_seconds` | histogram | seconds | `operation`, `outcome` | time from the call to its end |
//! | `throughline_calls_in_flight` | gauge | count | `operation` | calls that have not ended |
//! | `throughline_content_written_bytes_total` | counter | bytes | `operation` | bytes of content in writes that were applied |
//! | `throughline_replays_total` | counter | count | `operation` | calls that replayed the answer of an earlier call with their key |
//! | `throughline_retries_total` | counter | count | `operation` | attempts after the first one |
//!
//! The table is [`ALL`] in code. The values of the labels are a closed set:
//!
//! | label | values |
//! |---|---|
//! | `operation` | `add`, `reserve`, `updateContent`, … ([`OpKind::as_str`](throughline_core::OpKind::as_str)) |
//! | `outcome` | `ok`, the code of an error ([`ErrorKind::code`](throughline_core::ErrorKind::code)), or `left` when the caller dropped the call |
//! | `effect` | `applied`, `not_applied`, `unknown`; a read and a replay apply nothing |
//! | `tenant` | only with [`MetricsLayer::with_tenants`], for a bounded number of tenants |
//!
//! No label contains a thread, message, key, actor or content. A batch counts as one call of `batch`.
//!
//! # Semantics
//! Each series is registered on first use and then kept, so a call needs no lookup in the recorder. The layer describes
//! the metrics to the recorder when the pipeline is built. It fails open: a recorder that panics loses the value, and
//! the call continues.

mod future;
mod instruments;
mod layer;
mod measured;
mod service;
mod table;

pub use self::{
    future::MetricsFuture,
    layer::MetricsLayer,
    service::MetricsService,
    table::{ALL, CALLS, DURATION, IN_FLIGHT, Instrument, Metric, REPLAYS, RETRIES, WRITTEN},
};
