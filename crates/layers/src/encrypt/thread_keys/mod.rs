//! Keys of single threads, kept apart from the store, so that destroying one key makes every copy of a thread unreadable.
//!
//! ```
//! use throughline_core::{TenantId};
//! use throughline_layers::{encrypt::thread_keys::{MemoryThreadKeys, ThreadKey, ThreadKeys}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> throughline_core::Result<()> {
//! let keys = MemoryThreadKeys::new();
//! let (tenant, thread) = (TenantId::default(), "t".parse()?);
//! assert!(matches!(keys.get(&tenant, &thread).await?, ThreadKey::Missing));
//! keys.destroy(&tenant, &thread).await?;
//! assert!(matches!(keys.get(&tenant, &thread).await?, ThreadKey::Destroyed));
//! # Ok(())
//! # }
//! ```

mod file;
mod memory;

use std::{fmt, future::Future, pin::Pin};

use serde::{Deserialize, Serialize};

pub use self::{file::FileThreadKeys, memory::MemoryThreadKeys};
use super::{KeyId, cell::Cell};
use throughline_core::{Result, TenantId, ThreadId};

/// The key of a thread, sealed under a key of the ring for this tenant and thread: no secret by itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    /// What the key is called where something is under it.
    id: String,
    /// It, sealed.
    cell: String,
}

impl WrappedKey {
    pub(super) fn new(id: &KeyId, cell: String) -> Self {
        Self { id: id.as_str().to_owned(), cell }
    }

    pub(super) fn id(&self) -> KeyId {
        KeyId::found(&self.id)
    }

    pub(super) fn cell(&self) -> &str {
        &self.cell
    }

    /// The key of the ring that it is under; nothing where it is damaged.
    #[must_use]
    pub fn under(&self) -> Option<KeyId> {
        Cell::parse(&self.cell).ok().flatten().map(|cell| cell.key_id())
    }
}

/// Shows what it is under.
impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey(under {:?})", self.under())
    }
}

/// What there is of the key of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThreadKey {
    /// There never was one.
    Missing,
    /// This.
    Kept(WrappedKey),
    /// There was one, or was to be none: it was destroyed.
    Destroyed,
}

/// What a [`ThreadKeys`] answers, later.
pub type KeysFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// One page of a list of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// Whose they are, and what is kept.
    pub keys: Vec<((TenantId, ThreadId), WrappedKey)>,
    /// The records that cannot be read, as an operator finds them, such as by the name of a file: from the beginning of the page to its last
    /// key, or to the end of the list where the page is the last. Nothing says whose they are. They count toward no limit.
    pub damaged: Vec<String>,
}

/// Where the host keeps the keys of threads.
///
/// It has to be durable before it answers, and shared by every process that uses the store. It must not be copied together
/// with the store, or a copy of both brings back what was destroyed. The layer asks it at each call and keeps no key from one
/// call to the next, so that what is destroyed in one process is gone in all of them.
///
/// # Cancel safety
/// Each method is done whole or not at all, also when its future is dropped.
pub trait ThreadKeys: fmt::Debug + Send + Sync + 'static {
    /// The key of a thread.
    ///
    /// # Errors
    /// Whatever keeps it from being read. The call that needs it then fails.
    fn get<'a>(&'a self, tenant: &'a TenantId, thread: &'a ThreadId) -> KeysFuture<'a, ThreadKey>;

    /// Keeps this key for a thread that has none, and answers what there is then: of two that come at once the first is kept,
    /// and what was destroyed stays so.
    ///
    /// # Errors
    /// Whatever keeps it from being written.
    fn create<'a>(
        &'a self,
        tenant: &'a TenantId,
        thread: &'a ThreadId,
        key: WrappedKey,
    ) -> KeysFuture<'a, ThreadKey>;

    /// Puts the same key, sealed again, in the place of `from`; answers whether it was still that.
    ///
    /// # Errors
    /// Whatever keeps it from being written.
    fn replace<'a>(
        &'a self,
        tenant: &'a TenantId,
        thread: &'a ThreadId,
        from: &'a WrappedKey,
        to: WrappedKey,
    ) -> KeysFuture<'a, bool>;

    /// Destroys the key of a thread for good, and remembers that. Of a thread that has none it remembers the same.
    ///
    /// # Errors
    /// Whatever keeps it from being destroyed.
    fn destroy<'a>(&'a self, tenant: &'a TenantId, thread: &'a ThreadId) -> KeysFuture<'a, ()>;

    /// Up to `limit` keys that are kept, of all tenants, in an order that stays the same, after the one of this thread. A page without keys is
    /// the last. A record that is damaged is named and hides no other.
    ///
    /// # Errors
    /// Whatever keeps all of them from being read.
    fn list<'a>(&'a self, after: Option<&'a (TenantId, ThreadId)>, limit: usize) -> KeysFuture<'a, Listed>;
}
