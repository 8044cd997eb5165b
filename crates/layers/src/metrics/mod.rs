//! Counters, gauges and histograms of every call, through the [`metrics`](https://docs.rs/metrics) facade.
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
//! // The host installs an exporter of its choice first; without one, nothing is recorded.
//! let db = Persistence::builder().layer(MetricsLayer::new()).backend(Nowhere).build()?;
//! db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! # Ok(())
//! # }
//! ```
//!
//! # Metrics
//! | name | kind | unit | labels | tells |
//! |---|---|---|---|---|
//! | `throughline_calls_total` | counter | count | `operation`, `outcome`, `effect` | calls that ended |
//! | `throughline_call_duration_seconds` | histogram | seconds | `operation`, `outcome` | time from the call to its end |
//! | `throughline_calls_in_flight` | gauge | count | `operation` | calls that have not ended |
//! | `throughline_content_written_bytes_total` | counter | bytes | `operation` | bytes of content in writes that were applied |
//! | `throughline_replays_total` | counter | count | `operation` | calls that an earlier call with their key had done |
//! | `throughline_retries_total` | counter | count | `operation` | attempts after the first one |
//!
//! The table is [`ALL`] in code. The values of the labels are a closed set:
//!
//! | label | values |
//! |---|---|
//! | `operation` | `add`, `reserve`, `updateContent`, … ([`OpKind::as_str`](throughline_core::OpKind::as_str)) |
//! | `outcome` | `ok`, the code of an error ([`ErrorKind::code`](throughline_core::ErrorKind::code)), or `left` when nobody waited for the end |
//! | `effect` | `applied`, `not_applied`, `unknown`; a read and a replay apply nothing |
//! | `tenant` | only where [`MetricsLayer::with_tenants`] asked for it, and a bounded number of them |
//!
//! No thread, message, key, actor or content is a label. A batch counts as one call of `batch`.
//!
//! # Semantics
//! Each series is registered once, when it is first needed, and kept; a call looks up nothing. The metrics are described
//! to the recorder when the pipeline is built. The layer fails open: a recorder that panics loses what it was told, and
//! the call goes on.

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
