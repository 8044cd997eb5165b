//! A VFS for SQLite in this process, whose calls can be made to fail or to lie.
//!
//! It wraps the VFS of the platform and forwards every call. It is the default VFS of the process, so every
//! connection uses it: the writer and the readers of a store. [`Faults`] controls it:
//!
//! - a [`Plan`] makes the n-th call of a kind fail, once or from then on, with an error code of SQLite;
//! - a [`Lie`] reports a sync that was not done.
//!
//! Unlocking, closing and memory barriers cannot fail: SQLite ignores their results. The WAL index is shared memory
//! and not accessed by reads and writes; the same holds for mapped pages (`mmap_size`).
//!
//! ```standalone_crate
//! use rusqlite::{Connection, ErrorCode};
//! use throughline_reliability::vfs::{self, Call, FileKind, Plan};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let faults = vfs::install(); // before the first connection of the process
//! let directory = tempfile::tempdir()?;
//! let db = Connection::open(directory.path().join("chat.db"))?;
//! db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (n INTEGER)")?;
//!
//! faults.plan(Plan::new(Call::Sync).on(FileKind::Wal)); // the next one, once
//! let refused = db.execute("INSERT INTO t VALUES (1)", []).unwrap_err();
//! assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::SystemIoFailure));
//! assert_eq!(faults.fired(), 1);
//!
//! db.execute("INSERT INTO t VALUES (2)", [])?;
//! assert_eq!(db.query_row("SELECT sum(n) FROM t", [], |row| row.get::<_, i64>(0))?, 2);
//! # Ok(())
//! # }
//! ```

mod call;
mod faults;
mod file;
mod forward;
mod io;
mod lie;
mod plan;
mod register;
#[cfg(test)]
mod tests;

pub use self::{
    call::{Call, FileKind},
    faults::Faults,
    lie::Lie,
    plan::Plan,
    register::install,
};
