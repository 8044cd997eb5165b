//! Logs of calls and their outcomes, kept outside of the store, and the check that the store agrees with them.
//!
//! Every process that writes keeps an [`AckLog`]: a line before each call, and a line with its outcome after its
//! answer. A line is one `write` into the page cache, so it survives a `kill -9` of the process. If the file system
//! of the store loses its power, the log should be on another one. After the store was opened again, a [`Ledger`]
//! reads all logs and checks every message of the store:
//!
//! - an acknowledged message exists, once, with exactly its content;
//! - a refused message does not exist;
//! - a message with an unknown outcome, or without an answer when its process ended, exists completely or not at
//!   all, and so does a batch;
//! - no message exists without a call.
//!
//! The metadata of a message contains its name, since the store may have minted its id. The whole content derives
//! from the name.
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
