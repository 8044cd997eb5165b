//! Effects: a runner that delivers change events to consumers, each with its own durable cursor.
//!
//! ```
//! # use std::sync::{Arc, Mutex};
//! # use throughline_core::{BoxError, Persistence};
//! use throughline_effects::{Consumer, Effects, Event};
//!
//! /// Records the ids of deleted messages.
//! struct Deleted(Arc<Mutex<Vec<String>>>);
//!
//! impl Consumer for Deleted {
//!     fn name(&self) -> &str {
//!         "deleted"
//!     }
//!
//!     async fn handle(&self, event: Event) -> Result<(), BoxError> {
//!         if let (true, Some(message)) = (event.takes_away(), event.change.kind.message()) {
//!             self.0.lock().map_err(|error| error.to_string())?.push(message.id.to_string());
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # async fn run(db: Persistence, seen: Arc<Mutex<Vec<String>>>) -> throughline_core::Result<()> {
//! let effects = Effects::builder(db).consumer(Deleted(seen)).start().await?;
//! for status in effects.status() {
//!     println!("{}: {} behind, {} quarantined", status.consumer, status.lag(), status.quarantined);
//! }
//! effects.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//! - **At least once.** The runner moves the cursor after events are done, and never past an unfinished event. After a crash it
//!   delivers the events since the last move again; it moves the cursor after 256 events, or a fifth of a second.
//! - **In order within a thread**, and concurrently across threads, up to the limit of [`parallel`](EffectsBuilder::parallel).
//! - **No open messages.** The events of a thread wait from the first one with an open message until that message is settled.
//!   Other threads continue. The cursor stays before that event.
//! - **Contained failures.** The runner retries an error, a panic and a call over the [time limit](EffectsBuilder::time_limit)
//!   with growing waits. After the last attempt it quarantines the change
//!   ([`ListQuarantined`](throughline_core::changes::ListQuarantined)) and continues. It also quarantines an unreadable change.
//! - **No silent loss.** If the store no longer keeps some changes, the consumer [rebuilds](Consumer::rebuild) its data, or stops
//!   with an error in its status.
//!
//! # Costs
//! A change costs a read of its message and a task, and each consumer reads the feed itself. The cursor costs at most five writes
//! to the store each second for each consumer, and none without changes. Writes of the host never wait for a consumer.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod consumer;
mod delivery;
#[cfg(feature = "jsonl-mirror")]
mod jsonl;
mod running;
mod settings;
mod status;
mod thread_queues;
mod worker;

#[cfg(feature = "jsonl-mirror")]
pub use self::jsonl::JsonlMirror;
pub use self::{
    builder::EffectsBuilder,
    consumer::{Consumer, Event, Rebuilt},
    running::Effects,
    status::{ConsumerState, ConsumerStatus},
};
