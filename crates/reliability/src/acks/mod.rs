//! What was asked of a store and what it answered, kept on another path than the store, and the check that the store
//! holds it.
//!
//! Every process that writes keeps an [`AckLog`]: a line before each call, and a line with its answer after it came.
//! A line is one `write` into the page cache, so it outlives a `kill -9` of the process; the file should be on another
//! file system where that of the store loses its power. When the store was opened again, a [`Ledger`] reads all logs
//! and goes through every message that the store has:
//!
//! - what was answered is there, once, with exactly its content;
//! - what was refused with nothing applied is not there;
//! - what was in doubt, or had no answer when the process ended, is there whole or not at all, a batch included;
//! - nothing is there that nobody asked for.
//!
//! A message goes by its name, which stands in its metadata: the store may have made up its id. All of its content
//! follows from the name.
//!
//! ```
//! use throughline_core::Persistence;
//! use throughline_reliability::acks::{AckLog, Call, Ledger, Outcome, check_store, message};
//! use throughline_sqlite::SqliteBackend;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (store, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
//! let path = store.path().join("chat.db");
//! let log = AckLog::create(elsewhere.path().join("1.acks"))?;
//! let db = Persistence::builder().backend(SqliteBackend::open(&path).await?).build()?;
//! let begun = log.begin(Call::Add, "t", &["first"])?;
//! let answer = db.thread("t").add(message("first")).await;
//! begun.end(Outcome::of(&answer))?;
//! db.close().await?;
//!
//! let mut ledger = Ledger::new();
//! ledger.read_directory(elsewhere.path())?;
//! let checked = check_store(&path, &mut ledger).await;
//! assert_eq!((checked.faults, ledger.acknowledged()), (vec![], 1));
//! # Ok(())
//! # }
//! ```

mod call;
mod check;
mod ledger;
mod log;
mod text;

pub use self::{
    call::{Call, Outcome, Stage},
    check::{Checked, check_messages, check_store},
    ledger::Ledger,
    log::{AckLog, Begun},
    text::{halves, message, metadata, name_of},
};
