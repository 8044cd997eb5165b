//! The rows that every store keeps, and the keys that they are found by.
//!
//! ```
//! use throughline_core::{NewMessage, Seq, TenantId, Timestamp, messages::Add};
//! use throughline_engine::rows::{LastChange, MessageRow};
//!
//! let add = Add::new("t".parse()?, NewMessage::user("hello"));
//! let message = add.to_message(&TenantId::default(), Seq::FIRST, Timestamp::from_micros(0));
//! let row = MessageRow::new(&message, LastChange::Stored(1));
//! assert_eq!(row.seq, Some(Seq::FIRST));
//! // A deletion leaves a tombstone: the id is never given again.
//! assert!(row.tombstone(LastChange::Stored(2)).is_tombstone());
//! # Ok::<(), throughline_core::InvalidId>(())
//! ```

mod alias;
mod chunk;
mod consumer;
mod event;
mod idempotency;
mod indexed_message;
mod key;
mod message;
mod range;
mod session;
mod thread;

pub use self::{
    alias::{AliasBy, AliasQuery, AliasRow},
    chunk::{ChunkKind, ContentBuilder, chunk_text},
    consumer::{ConsumerKey, ConsumerRow, QuarantineCount, QuarantineKey},
    event::ChangeEvent,
    idempotency::IdempotencyRow,
    indexed_message::IndexedMessage,
    key::{IdempotencyRowKey, MessageKey, ThreadKey},
    message::{DamagedRow, LastChange, MessageRow},
    range::{LeftoverPurge, LeftoverQuery, MessageRange, RangeKind},
    session::{AgentKey, AttemptKey, RuntimeKey, SessionHeadKey, SessionKey, SessionQuery, SessionRange},
    thread::ThreadRow,
};
