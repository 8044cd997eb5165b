//! A file system for SQLite, in this process, whose calls can be made to fail, or to lie.
//!
//! It stands in front of the one that SQLite has for the platform and hands every call on to it. As the default of the
//! process it is what every connection uses, whichever library opens it: those of a store that write, and those that
//! read. What it does beside that is said by [`Faults`]:
//!
//! - a [`Plan`] has the n-th call of a kind fail, once or from then on, with a code of SQLite;
//! - a [`Lie`] answers that something is on the disk when it is not.
//!
//! Locks that are given back, closing, and the barriers of shared memory cannot fail: SQLite looks at none of their
//! answers. The index of a log is memory that is shared, not read and written, and pages that are mapped (`mmap_size`)
//! are not read by calls either.
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
