//! Keeps each tenant to so many operations and bytes a second, and to so many bytes stored.
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
//! thread.add(NewMessage::user("one")).await.unwrap_err(); // let in, and refused by a store that does nothing
//! let error = thread.add(NewMessage::user("two")).await.unwrap_err();
//! assert_eq!((error.kind(), error.retry_after()), (ErrorKind::Overloaded, Some(Duration::from_millis(500))));
//! # Ok(())
//! # }
//! ```
//!
//! # What is counted
//! | limit | counts | a call beyond it |
//! |---|---|---|
//! | operations | each call, read or write; each item of a batch, each row of an import | `Overloaded`, with the time to wait |
//! | bytes | everything that a write carries ([`byte_len`](throughline_core::PersistArgs::byte_len)) and its idempotency key, as it comes to this layer | `Overloaded`, with the time to wait |
//! | either, more than the burst in one call | | `TooLarge`: it would never pass |
//! | stored bytes | as the host says, and what the call adds | `StorageFull` |
//!
//! Nobody waits here: a call is let in or refused, with the tenant, the limit and what was asked in the error.
//!
//! # What passes all the same
//! - What ends a message or a run that was begun ([`settles`](throughline_core::PersistArgs::settles)) and
//!   [brings no content](throughline_core::PersistArgs::brings_content) is never refused. It is counted, and the next calls of the tenant pay for
//!   it. An end with content is a write of it: beyond the rate it is `Overloaded`, and passes when it is repeated later, or
//!   without the content.
//! - The cursors of consumers are neither counted nor refused. A quarantined change is a write.
//! - The limit of stored bytes stops only what [grows](throughline_core::PersistRequest::grows) the store: never a read, a deletion, a clear or
//!   an end. An idempotency key grows it, except on those.
//!
//! # How exact it is
//! The rates are exact for one layer and its clones, in one process. A call that was let in counts, whatever became of it, a
//! replay included; only a write whose caller left before anything was handed to the store is taken back.
//!
//! What a tenant stores is not counted here. A layer sees what is written and not what it replaces, and other processes write as
//! well, so a count of its own would be wrong by and by. The host says it, for example from the bytes of
//! [the entries of the threads](throughline_core::threads::ThreadSummary::bytes), added up now and then: a lower bound, of final messages alone. The guide
//! `limits-and-guards` says what it leaves out. Between two counts a tenant can go over the
//! limit by what it writes in that time; the rate of bytes bounds that.
//!
//! It fails closed: what it cannot count it refuses.

mod account;
mod admit;
mod charge;
mod layer;
mod rates;
mod service;
mod stored;
mod tenants;
mod weigh;

pub use self::{
    layer::QuotaLayer,
    rates::Quota,
    service::{QuotaFuture, QuotaService},
    stored::Stored,
};
