//! Effects: consumers that follow the changes, each from a durable cursor of its own.
//!
//! ```
//! # use std::sync::{Arc, Mutex};
//! # use throughline_core::{BoxError, Persistence};
//! use throughline_effects::{Consumer, Effects, Event};
//!
//! /// Takes down the ids of what was deleted.
//! struct Deleted(Arc<Mutex<Vec<String>>>);
//!
//! impl Consumer for Deleted {
//!     fn name(&self) -> &str {
//!         "deleted"
//!     }
//!
//!     async fn handle(&self, event: Event) -> Result<(), BoxError> {
//!         if let (true, Some(message)) = (event.takes_away(), event.change.what.message()) {
//!             self.0.lock().map_err(|error| error.to_string())?.push(message.id.to_string());
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # async fn run(db: Persistence, seen: Arc<Mutex<Vec<String>>>) -> throughline_core::Result<()> {
//! let effects = Effects::builder(db).consumer(Deleted(seen)).start().await?;
//! for status in effects.status() {
//!     println!("{}: {} behind, {} passed over", status.consumer, status.lag(), status.quarantined);
//! }
//! effects.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//! - **At least once.** The cursor is moved after events are done, never past one that is not. After a crash some are told
//!   again: those since the cursor was moved, which is after 256 events or a fifth of a second.
//! - **In order in a thread**, and in parallel across threads, so many at once as
//!   [`parallel`](EffectsBuilder::parallel) says.
//! - **Nothing half-written.** The events of a thread wait from the first one about a message that is still being written until
//!   it is settled; other threads go on. The cursor waits before it.
//! - **Contained.** An error, a panic and a call over the [time limit](EffectsBuilder::time_limit) are tried again with
//!   growing waits. After so many attempts the change goes on the list of those that were passed over
//!   ([`ListQuarantined`](throughline_core::changes::ListQuarantined)), and the rest goes on. So does a change that cannot be read.
//! - **Nothing is missed in silence.** Where changes are not kept any more, the consumer makes everything again
//!   ([`rebuild`](Consumer::rebuild)), or stops and says so.
//!
//! # What it costs
//! A change costs a read of its message and a task; a consumer reads the changes for itself. The cursor is a write to the
//! store: at most five a second for each consumer, and none while nothing happens. Writes of the host wait for none of this.

mod builder;
mod consumer;
mod delivery;
#[cfg(feature = "jsonl-mirror")]
mod jsonl;
mod thread_queues;
mod running;
mod settings;
mod status;
mod worker;

#[cfg(feature = "jsonl-mirror")]
pub use self::jsonl::JsonlMirror;
pub use self::{
    builder::EffectsBuilder,
    consumer::{Consumer, Event, Rebuilt},
    running::Effects,
    status::{ConsumerState, ConsumerStatus},
};
