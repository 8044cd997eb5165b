//! Refuses writes that grow the store before the disk is full.
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
//! // Closes below 1 GiB of free space, and opens again at 2 GiB. `Directory` measures a real file system.
//! let guard = DiskGuardLayer::new(|| Ok(1 << 20), 1 << 30, 2 << 30);
//! let db = Persistence::builder().layer(guard).backend(Nowhere).build()?;
//! let error = db.thread("t").add(NewMessage::user("hello")).await.unwrap_err();
//! assert_eq!(error.kind(), ErrorKind::StorageFull);
//! # Ok(())
//! # }
//! ```
//!
//! # Refused calls
//! While the guard is closed, writes that [grow](throughline_core::PersistArgs::grows) the store fail as `StorageFull`
//! with the effect `NotApplied`. Reads, deletions, clears, prunes and purges pass, and so does the end of an open
//! message or a run, with its last content. Choose a low mark that leaves space for these ends.
//!
//! The guard closes when the free space is below the low mark, and opens when it reaches the high mark. Between the
//! marks it keeps its state.
//!
//! # When it looks
//! A growing call measures the space if the last measurement is older than [`every`](DiskGuardLayer::every). It
//! measures on a blocking thread and waits for the result; concurrent calls wait for the same measurement. Without
//! writes there are no measurements.
//!
//! # Failure
//! The layer fails open: when it cannot measure the space, it keeps its state, which is open at first, and calls the
//! hook. The store itself also detects a full disk, but later.

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
