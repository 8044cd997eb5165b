//! Limits each tenant to a rate of operations and bytes, and to a number of stored bytes.
//!
//! ```
//! # use throughline_core::{Admitted, Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use std::time::Duration;
//! use throughline_core::{ErrorKind, NewMessage, Persistence};
//! use throughline_layers::{quota::{Quota, QuotaLayer}};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> throughline_core::Result<()> {
//! let quota = QuotaLayer::new(Quota::new().operations(2, 1));
//! let db = Persistence::builder().layer(quota).backend(Nowhere).build()?;
//! let thread = db.thread("t");
//! thread.add(NewMessage::user("one")).await.unwrap_err(); // within the quota, but this store refuses everything
//! let error = thread.add(NewMessage::user("two")).await.unwrap_err();
//! assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Overloaded, Some(Duration::from_millis(500))));
//! # Ok(())
//! # }
//! ```
//!
//! # Counted calls
//! | limit | counts | a call beyond it |
//! |---|---|---|
//! | operations | each call, read or write; each item of a batch, each row of an import | `Overloaded`, with the time to wait |
//! | bytes | everything that a write carries ([`byte_len`](throughline_core::PersistArgs::byte_len)) and its idempotency key, as they reach this layer | `Overloaded`, with the time to wait |
//! | either, more than the burst in one call | | `TooLarge`: it could never pass |
//! | stored bytes | the host's figure, plus the bytes of the call | `StorageFull` |
//!
//! The layer never delays a call: it admits or refuses it. The error names the tenant, the limit and the requested
//! amount.
//!
//! # Exceptions
//! - The end of an open message or a run ([`settles`](throughline_core::PersistArgs::settles)) that [brings no
//!   content](throughline_core::PersistArgs::brings_content) is never refused. It is counted, and later calls of the
//!   tenant pay for it. An end with content counts as a write of it: beyond the rate it is `Overloaded`, and passes
//!   later or without the content.
//! - The cursors of consumers are neither counted nor refused. A quarantined change is a write.
//! - The limit on stored bytes refuses only calls that [grow](throughline_core::PersistRequest::grows) the store: never
//!   a read, a deletion, a clear or an end. An idempotency key grows the store, except on those.
//!
//! # How exact it is
//! The rates are exact for one layer and its clones, in one process. An admitted call counts, whatever its outcome,
//! including a replay. The only exception is a write whose caller drops it before it reaches the store.
//!
//! The layer does not count stored bytes. It sees the written data but not the data that it replaces, and other
//! processes also write, so its own count would drift. The host supplies the figure, for example the sum of the bytes
//! of [the thread summaries](throughline_core::threads::ThreadSummary::bytes), which is a lower bound of final messages
//! alone. The guide `limits-and-guards` lists the bytes that it omits. Between two counts a tenant can exceed the limit
//! by the bytes of that period; the byte rate bounds them.
//!
//! The layer fails closed: it refuses calls that it cannot count.

mod account;
mod admit;
mod charge;
mod cost;
mod layer;
mod rates;
mod service;
mod stored;
mod tenants;

pub use self::{
    layer::QuotaLayer,
    rates::Quota,
    service::{QuotaFuture, QuotaService},
    stored::Stored,
};
