//! Stores a key for each thread apart from the conversation store, so that destroying one key makes every copy of a
//! thread unreadable.
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
use super::{KeyId, ciphertext::Ciphertext};
use throughline_core::{Result, TenantId, ThreadId};

/// A thread key, encrypted under a key of the key ring for this tenant and thread. It is no secret by itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrappedKey {
    /// The name of the key in ciphertexts.
    id: String,
    /// The encrypted key.
    ciphertext: String,
}

impl WrappedKey {
    pub(super) fn new(id: &KeyId, ciphertext: String) -> Self {
        Self { id: id.as_str().to_owned(), ciphertext }
    }

    pub(super) fn id(&self) -> KeyId {
        KeyId::from_stored(&self.id)
    }

    pub(super) fn ciphertext(&self) -> &str {
        &self.ciphertext
    }

    /// Returns the name of the key ring's key that encrypts this one; `None` for a damaged record.
    #[must_use]
    pub fn under(&self) -> Option<KeyId> {
        Ciphertext::parse(&self.ciphertext).ok().flatten().map(|ciphertext| ciphertext.key_id())
    }
}

/// Prints the name of the encrypting key only.
impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey(under {:?})", self.under())
    }
}

/// The state of the key of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThreadKey {
    /// No key was created.
    Missing,
    /// The key exists.
    Kept(WrappedKey),
    /// The key was destroyed, or the thread must never have one.
    Destroyed,
}

/// The future of a [`ThreadKeys`] method.
pub type KeysFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// One page of a list of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// The tenant and thread of each key, and the key.
    pub keys: Vec<((TenantId, ThreadId), WrappedKey)>,
    /// The names of the records that cannot be read, as an operator finds them, such as file names. They cover the
    /// range from the start of the page to its last key, or to the end of the list on the last page. Their tenants and
    /// threads are unknown. They do not count toward the limit.
    pub damaged: Vec<String>,
}

/// The host's store of thread keys.
///
/// It must be durable before it answers, and shared by every process that uses the conversation store. It must not be
/// backed up together with that store, or a backup of both restores destroyed keys. The layer asks it at each call and
/// caches no key, so a key that one process destroys is gone in all of them.
///
/// # Cancel safety
/// Each method completes or has no effect, also when its future is dropped.
pub trait ThreadKeys: fmt::Debug + Send + Sync + 'static {
    /// Returns the key of a thread.
    ///
    /// # Errors
    /// The reason why the key cannot be read. The call that needs the key then fails.
    fn get<'a>(&'a self, tenant: &'a TenantId, thread: &'a ThreadId) -> KeysFuture<'a, ThreadKey>;

    /// Creates the key of a thread that has none, and returns the resulting state. Of two concurrent calls the first
    /// key stays, and a destroyed key stays destroyed.
    ///
    /// # Errors
    /// The reason why the key cannot be written.
    fn create<'a>(
        &'a self,
        tenant: &'a TenantId,
        thread: &'a ThreadId,
        key: WrappedKey,
    ) -> KeysFuture<'a, ThreadKey>;

    /// Replaces `from` by the same key under another encryption. Returns false if `from` is no longer stored.
    ///
    /// # Errors
    /// The reason why the key cannot be written.
    fn replace<'a>(
        &'a self,
        tenant: &'a TenantId,
        thread: &'a ThreadId,
        from: &'a WrappedKey,
        to: WrappedKey,
    ) -> KeysFuture<'a, bool>;

    /// Destroys the key of a thread permanently and records that. It records the same for a thread without a key.
    ///
    /// # Errors
    /// The reason why the key cannot be destroyed.
    fn destroy<'a>(&'a self, tenant: &'a TenantId, thread: &'a ThreadId) -> KeysFuture<'a, ()>;

    /// Returns up to `limit` existing keys of all tenants, in a stable order, after the key of this thread. A page
    /// without keys is the last. A damaged record is named and hides no other.
    ///
    /// # Errors
    /// The reason why no key can be read.
    fn list<'a>(&'a self, after: Option<&'a (TenantId, ThreadId)>, limit: usize) -> KeysFuture<'a, Listed>;
}
