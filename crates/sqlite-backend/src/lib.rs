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
//! # What it promises
//! - An answered write survives the loss of power. Writes that wait at the same time share one commit, so that this
//!   costs little where it matters.
//! - Every outcome is one of three. When a commit fails, the store finds out what became of it before it answers; what
//!   it cannot find out it calls unknown.
//! - Damage is noticed: each row carries a checksum, and a damaged one is answered as `Corrupt` with its name. A page
//!   or a list names it beside the others, all of which can still be read.
//! - It says how it is: [`Maintenance::health`] tells whether it takes writes, and raises an [`Alarm`] for what asks for attention: a
//!   WAL that cannot be truncated, a disk that is nearly full, hangs or cannot read, a second SQLite library. A store whose writer fails
//!   again and again is read-only until a commit succeeds.
//! - Several processes may share the file. It has to be on a disk of this machine: a log in WAL mode does not work over
//!   a network file system.
//!
//! # What it asks of the host
//! While a store is open, its process should not open the file by a second SQLite library, or open and close it or its `-shm` by other
//! means: on Unix that drops the locks that SQLite holds. On Linux the store holds locks of its own beside them: writes wait while a second
//! library has the file open, and [`Alarm::SecondLibrary`] says so. On other systems it damages the file. A copy is made with [`Maintenance::backup`], and a check of everything in
//! the store with [`Maintenance::verify`], both while it is in use.
//!
//! # Limits
//! [`SqliteOptions`] holds them all: how much may wait, how long, how large a message may be. What does not fit in time
//! is refused as `Overloaded` or `Busy`, and nothing of it was applied.

mod audit_log;
mod backend;
mod cache;
mod cause;
mod connection;
mod error;
mod failpoint;
mod failure;
mod fair_queue;
mod file_guard;
mod health;
mod maintenance;
mod open;
mod options;
mod pause;
mod queue;
mod read;
mod reader_barrier;
mod record;
mod replica;
mod rows;
mod search;
mod writer;

#[cfg(feature = "failpoints")]
pub use self::failpoint::Failpoint;
pub use self::{
    backend::SqliteBackend,
    health::{Alarm, Condition, Health, WriterStep, WriterWait},
    maintenance::{Backup, BackupError, Damage, Maintenance, Part, Verification},
    open::OpenError,
    options::SqliteOptions,
};
