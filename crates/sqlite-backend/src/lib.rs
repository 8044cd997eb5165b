//! The SQLite backend of Throughline: one file, one writer with group commit, durable.
//!
//! ```
//! use throughline_core::{NewMessage, Persistence, messages::PageFrom};
//! use throughline_sqlite::SqliteBackend;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let backend = SqliteBackend::temporary().await?; // or `SqliteBackend::open("chat.db")`
//! let db = Persistence::builder().backend(backend).build()?;
//! let thread = db.thread("telegram:42");
//! thread.add(NewMessage::user("hello")).await?;
//! assert_eq!(thread.page(PageFrom::End, 20).await?.messages.len(), 1);
//! db.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Guarantees
//! - An answered write survives the loss of power. Writes that wait at the same time share one commit, which keeps the
//!   cost low under load.
//! - Each failed write reports its effect. When a commit fails, the store determines whether it was applied before it
//!   answers. If it cannot determine that, the effect is `Unknown`.
//! - The store detects damage: each row has a checksum, and a read of a damaged row fails as `Corrupt` with the name of
//!   the row. A page or a list names the damaged row next to the other rows, which stay readable.
//! - The store reports its health: [`Maintenance::health`] returns whether it accepts writes, and its [`Alarm`]s: a WAL
//!   that cannot be truncated, a disk that is nearly full, hangs or cannot read, a second SQLite library. A store whose
//!   writer fails repeatedly is read-only until a commit succeeds.
//! - Several processes may share the file. The file must be on a local disk: WAL mode does not work over a network file
//!   system.
//!
//! # Requirements for the host
//! While a store is open, its process should not open the file by a second SQLite library. It also should not open and
//! close the file or its `-shm` by other means: on Unix that drops the locks that SQLite holds. On Linux the store
//! holds additional locks of its own: writes wait while a second library has the file open, and the store raises
//! [`Alarm::SecondLibrary`]. On other systems a second library damages the file. [`Maintenance::backup`] copies a
//! store, and [`Maintenance::verify`] checks everything in it, both while it is in use.
//!
//! # Limits
//! [`SqliteOptions`] sets all limits: how many calls may wait, for how long, and how large a message may be. A call
//! that cannot be served in time fails as `Overloaded` or `Busy`, and nothing of it was applied.

mod adaptive_spin;
mod audit_log;
mod backend;
mod blob;
mod cache;
mod cause;
mod connection;
mod error;
mod failpoint;
mod failure;
mod fair_queue;
mod file_guard;
mod file_status;
mod fork_barrier;
mod health;
mod maintenance;
mod metadata_index;
mod obsolete_chunks;
mod open;
mod options;
mod pause;
mod queue;
mod read;
mod read_only;
mod reader_barrier;
mod record;
mod replica;
mod rows;
mod search;
mod step_timer;
mod writer;

#[cfg(feature = "failpoints")]
#[doc(hidden)]
pub use self::failpoint::Failpoint;
pub use self::{
    backend::SqliteBackend,
    fork_barrier::ForkGuard,
    health::{Alarm, Condition, Health, WriterStep, WriterWait},
    maintenance::{
        Backup, BackupError, Compaction, Damage, Maintenance, Part, ProvenBackup, RebuiltStore, Storage,
        TableSize, Verification,
    },
    open::OpenError,
    options::SqliteOptions,
    read_only::SqliteReader,
};
