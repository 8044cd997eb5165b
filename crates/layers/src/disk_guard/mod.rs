//! Refuses what would fill the disk, before it is full.
//!
//! ```
//! # use throughline_core::{Admitted, Backend, Capabilities, Durability};
//! # struct Nowhere;
//! # impl Backend for Nowhere {
//! #     fn name(&self) -> &str { "nowhere" }
//! #     fn capabilities(&self) -> Capabilities { Capabilities::new(Durability::Volatile) }
//! # }
//! use throughline_core::{ErrorKind, NewMessage, Persistence};
//! use throughline_layers::{disk_guard::DiskGuardLayer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! // Closes below 1 GiB of free space, and opens again from 2 GiB on. `Directory` measures a real one.
//! let guard = DiskGuardLayer::new(|| Ok(1 << 20), 1 << 30, 2 << 30);
//! let db = Persistence::builder().layer(guard).backend(Nowhere).build()?;
//! let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::StorageFull);
//! # Ok(())
//! # }
//! ```
//!
//! # What is refused
//! While it is closed, what [grows](throughline_core::PersistArgs::grows) the store is answered with `StorageFull` and `NotApplied`. Reads,
//! deletions, clears, prunes, purges, and what ends a message or a run that was begun, with the last of its content, go on:
//! keep the low mark so high that there is room for them.
//!
//! It closes when there is less free space than the low mark, and opens when there is as much as the high mark: between the two it
//! stays as it is.
//!
//! # When it looks
//! A call that grows the store looks where the last look is older than [`every`](DiskGuardLayer::every), on a thread for
//! blocking work, and waits for it; those that come meanwhile wait for the same look. Nothing looks while nobody writes.
//!
//! # Failure
//! It fails open: where the space cannot be measured, it stays as it was, open at first, and the hook is told. A store notices a
//! full disk itself, if less gently.

mod future;
mod layer;
mod service;
mod space;
mod watch;

pub use self::{
    future::DiskGuardFuture,
    layer::DiskGuardLayer,
    service::DiskGuardService,
    space::{Directory, FreeSpace},
    watch::DiskChange,
};
