//! The write engine: it decides for all backends how each operation changes the rows of a store.
//!
//! A backend implements [`RowSource`], which loads rows. A [`Transaction`] decides each [`Write`] over the rows and stages the
//! changes. The backend then writes the [`StagedRows`] in its own transaction.
//!
//! ```
//! use throughline_core::{NewMessage, PersistResult, TenantId, Timestamp, messages::Add};
//! use throughline_engine::{EmptySource, Limits, Transaction, Write};
//!
//! let add = Add::new("telegram:42".parse()?, NewMessage::user("hello")).into();
//! let write = Write { tenant: &TenantId::default(), args: &add, idempotency: None, now: Timestamp::from_micros(7) };
//!
//! // The source of a store without rows. A real one reads its tables.
//! let mut transaction = Transaction::new(EmptySource, Limits::default());
//! let outcome = transaction.apply(&write)?;
//! assert!(matches!(outcome.result, PersistResult::Add(_)));
//!
//! // The rows that the backend writes, in one transaction.
//! let staged = transaction.staged();
//! assert_eq!(staged.threads.added().count(), 1);
//! assert_eq!(staged.messages.added().count(), 1);
//! assert_eq!(staged.events.items().len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The decisions of the engine
//! Every write of a message, a thread, an agent session and a consumer: sequence numbers, revisions, states and leases, tombstones,
//! provider aliases, thread summaries, idempotency keys and their replay, change events, and the [`Limits`].
//!
//! # The decisions of the backend
//! Durability, the order of transactions, the storage of rows, the audit log, replication, and reads.
//!
//! # Sources that load in round trips
//! A source that cannot wait for I/O records the key of a missing row and returns [`Halt::Stopped`]. The transaction undoes the
//! write. The backend loads every recorded row, and applies the write again. [`prefetch`] names the rows that a write surely
//! needs, so that most writes need one load.

mod decide;
mod error;
pub mod ordered;
mod prefetch;
pub mod read;
pub mod rows;
mod source;
pub mod staged;
mod transaction;

pub use self::{
    error::Halt,
    prefetch::{RowKey, prefetch},
    source::{EmptySource, RowSource},
    staged::StagedRows,
    transaction::{Limits, Outcome, Transaction, Write},
};
