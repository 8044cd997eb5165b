//! The rows of the engine in any ordered key-value store: an embedded database such as redb, or a map.
//!
//! A store implements [`OrderedRead`] over a snapshot of its keys, and [`OrderedWrite`] over a transaction. [`OrderedRows`] is
//! then a [`RowSource`](crate::RowSource) for the engine, answers reads, and writes the [`StagedRows`]. Keys and values are text;
//! the values are JSON.
//!
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use throughline_core::{
//!     BoxError, NewMessage, ReadArgs, ReadResult, TenantId, Timestamp,
//!     messages::{Add, PageFrom, ReadPage},
//! };
//! use throughline_engine::{Limits, Transaction, Write, ordered::{OrderedRead, OrderedRows, OrderedWrite, Entries}};
//!
//! #[derive(Default)]
//! struct Map(BTreeMap<String, String>);
//!
//! impl OrderedRead for Map {
//!     fn get(&self, key: &str) -> Result<Option<String>, BoxError> {
//!         Ok(self.0.get(key).cloned())
//!     }
//!
//!     fn range(&self, from: &str, to: &str) -> Result<Entries<'_>, BoxError> {
//!         let entries = self.0.range(from.to_owned()..to.to_owned());
//!         Ok(Box::new(entries.map(|(key, value)| Ok((key.clone(), value.clone())))))
//!     }
//! }
//!
//! impl OrderedWrite for Map {
//!     fn insert(&mut self, key: &str, value: &str) -> Result<(), BoxError> {
//!         self.0.insert(key.to_owned(), value.to_owned());
//!         Ok(())
//!     }
//!
//!     fn remove(&mut self, key: &str) -> Result<(), BoxError> {
//!         self.0.remove(key);
//!         Ok(())
//!     }
//! }
//!
//! let mut map = Map::default();
//! let (tenant, now) = (TenantId::default(), Timestamp::from_micros(7));
//! let add = Add::new("telegram:42".parse()?, NewMessage::user("hello")).into();
//!
//! // Decide over a moment of the store, then write what has changed in one commit.
//! let mut transaction = Transaction::new(OrderedRows::new(&map), Limits::default());
//! transaction.apply(&Write { tenant: &tenant, args: &add, idempotency: None, now }).map_err(|halt| halt.to_string())?;
//! let (rows, staged) = transaction.into_parts();
//! let changes = rows.changes(&staged)?;
//! let position = changes.write(&mut map)?;
//!
//! let page = ReadArgs::Page(ReadPage::new("telegram:42".parse()?, PageFrom::Start, 20));
//! let ReadResult::Page(page) = OrderedRows::new(&map).read(&tenant, &page, now)? else { unreachable!() };
//! assert_eq!((page.messages.len(), page.position), (1, position));
//! # Ok::<(), BoxError>(())
//! ```
//!
//! # The index of metadata
//! A store that finds messages by metadata passes its declared names to [`OrderedRows::with_indexed_metadata`] and to
//! [`Transaction::with_indexed_metadata`](crate::Transaction::with_indexed_metadata). When it is opened, it writes the changes of
//! [`declare_metadata`](OrderedRows::declare_metadata), and then those of [`index_step`](OrderedRows::index_step) until there are
//! none, between its other writes.
//!
//! # Costs
//! A message is one look-up by key, a page is one range scan of its thread, and a chunk of a streamed message is one value. A
//! list of threads reads every thread of its tenant, a look-up of a provider alias every alias of its thread, and a resolution of
//! a session every session of its agent in the thread. A store with other needs implements [`RowSource`](crate::RowSource)
//! itself.

mod changes;
mod find;
mod keys;
mod read;
mod source;

use throughline_core::{BoxError, IndexedMetadata, Position};

pub use self::changes::OrderedChanges;
use crate::{Halt, StagedRows};

/// The keys and values of a range, in the order of the keys.
pub type Entries<'a> = Box<dyn DoubleEndedIterator<Item = Result<(String, String), BoxError>> + 'a>;

/// A snapshot of an ordered store: nothing changes during its reads.
pub trait OrderedRead {
    /// Returns the value of a key.
    ///
    /// # Errors
    /// The error of the store.
    fn get(&self, key: &str) -> Result<Option<String>, BoxError>;

    /// Returns the keys from `from` up to and without `to`, with their values. Keys are ordered by their bytes.
    ///
    /// # Errors
    /// The error of the store.
    fn range(&self, from: &str, to: &str) -> Result<Entries<'_>, BoxError>;
}

impl<T: OrderedRead + ?Sized> OrderedRead for &T {
    fn get(&self, key: &str) -> Result<Option<String>, BoxError> {
        (**self).get(key)
    }

    fn range(&self, from: &str, to: &str) -> Result<Entries<'_>, BoxError> {
        (**self).range(from, to)
    }
}

/// A transaction of an ordered store.
pub trait OrderedWrite {
    /// Writes the value of a key, and replaces an earlier value.
    ///
    /// # Errors
    /// The error of the store.
    fn insert(&mut self, key: &str, value: &str) -> Result<(), BoxError>;

    /// Removes a key, if it exists.
    ///
    /// # Errors
    /// The error of the store.
    fn remove(&mut self, key: &str) -> Result<(), BoxError>;
}

/// The rows of the engine in a snapshot of an ordered store.
#[derive(Debug)]
pub struct OrderedRows<S> {
    store: S,
    indexed: IndexedMetadata,
}

impl<S: OrderedRead> OrderedRows<S> {
    /// Returns the rows of this snapshot.
    pub const fn new(store: S) -> Self {
        Self { store, indexed: IndexedMetadata::none() }
    }

    /// Returns the last position of the store.
    ///
    /// # Errors
    /// The error of the store.
    pub fn position(&self) -> Result<Position, BoxError> {
        Ok(self.get(keys::POSITION)?.unwrap_or(Position::ZERO))
    }

    /// Returns the changes of the staged rows in the store: keys to insert and to remove.
    ///
    /// # Errors
    /// The error of the store.
    pub fn changes(&self, staged: &StagedRows) -> Result<OrderedChanges, BoxError> {
        OrderedChanges::of(self, staged)
    }
}

/// A look-up that failed stops the transaction.
fn stopped(error: BoxError) -> Halt<BoxError> {
    Halt::Stopped(error)
}
