use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Key, KeyId};
use throughline_core::{Effect, ErrorKind, PersistError, Result};

/// The keys of a host: one key that encrypts, and any number of keys that only decrypt.
///
/// A clone is a handle to the same key ring. The host can change it while pipelines use it: a call uses the keys
/// that it had when the call reached the layer.
///
/// ```
/// use throughline_layers::encrypt::{Key, KeyRing};
///
/// let key_ring = KeyRing::new(Key::new("2025".parse()?, &[1; 32]));
/// key_ring.rotate(Key::new("2026".parse()?, &[2; 32]))?; // encrypts from now on; the old key still decrypts
/// assert_eq!(key_ring.write_key().as_str(), "2026");
/// assert_eq!(key_ring.keys().len(), 2);
/// # Ok::<(), throughline_core::PersistError>(())
/// ```
#[derive(Clone)]
pub struct KeyRing(Arc<RwLock<Arc<Keys>>>);

/// The keys of a key ring at one moment.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) write: Arc<Key>,
    pub(super) all: BTreeMap<KeyId, Arc<Key>>,
}

impl KeyRing {
    /// Returns a key ring with one key, which encrypts.
    #[must_use]
    pub fn new(key: Key) -> Self {
        let write = Arc::new(key);
        let all = BTreeMap::from([(write.id().clone(), Arc::clone(&write))]);
        Self(Arc::new(RwLock::new(Arc::new(Keys { write, all }))))
    }

    /// Adds a key that only decrypts.
    ///
    /// # Errors
    /// `Invalid` when the key ring already has a key with this name.
    pub fn add(&self, key: Key) -> Result<()> {
        self.insert(key, false)
    }

    /// Adds a key that encrypts from now on; the previous key still decrypts. Stored data stays under its old key until
    /// a [`Rewrite`](super::Rewrite) re-encrypts it.
    ///
    /// # Errors
    /// `Invalid` when the key ring already has a key with this name.
    pub fn rotate(&self, key: Key) -> Result<()> {
        self.insert(key, true)
    }

    /// Returns the name of the key that encrypts.
    #[must_use]
    pub fn write_key(&self) -> KeyId {
        self.now().write.id().clone()
    }

    /// Returns the names of all keys, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyId> {
        self.now().all.keys().cloned().collect()
    }

    /// Returns the current keys.
    pub(super) fn now(&self) -> Arc<Keys> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Removes a key. Data under it can no longer be decrypted, so the caller must first check that there is none.
    pub(super) fn remove(&self, id: &KeyId) -> Result<()> {
        self.change(|keys| {
            if keys.write.id() == id {
                return Err(refuse(format!("the key `{id}` is written under: rotate first")));
            }
            match keys.all.remove(id) {
                Some(_) => Ok(()),
                None => Err(refuse(format!("the key ring has no key `{id}`"))),
            }
        })
    }

    fn insert(&self, key: Key, writes: bool) -> Result<()> {
        self.change(|keys| {
            let id = key.id().clone();
            // With a second key of the same name, rows of one key would be decrypted with the other.
            if keys.all.contains_key(&id) {
                return Err(refuse(format!("the key ring has a key `{id}` already")));
            }
            let key = Arc::new(key);
            if writes {
                keys.write = Arc::clone(&key);
            }
            keys.all.insert(id, key);
            Ok(())
        })
    }

    fn change(&self, change: impl FnOnce(&mut Keys) -> Result<()>) -> Result<()> {
        let mut now = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut keys = Keys::clone(&now);
        change(&mut keys)?;
        *now = Arc::new(keys);
        Ok(())
    }
}

fn refuse(detail: String) -> PersistError {
    PersistError::new(ErrorKind::Invalid, detail).with_effect(Effect::NotApplied)
}

/// Shows the names only.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.now();
        f.debug_struct("KeyRing")
            .field("writes", now.write.id())
            .field("reads", &now.all.keys())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new(name.parse().unwrap(), &[1; 32])
    }

    #[test]
    fn a_key_name_is_unique_and_the_write_key_cannot_be_removed() {
        let key_ring = KeyRing::new(key("a"));
        assert!(key_ring.add(key("a")).is_err() && key_ring.rotate(key("a")).is_err());
        key_ring.rotate(key("b")).unwrap();
        assert!(key_ring.remove(&key_ring.write_key()).is_err());
        key_ring.remove(&"a".parse().unwrap()).unwrap();
        assert!(key_ring.remove(&"a".parse().unwrap()).is_err());
        assert_eq!(key_ring.keys(), ["b".parse().unwrap()]);
    }
}
