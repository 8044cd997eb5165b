use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Key, KeyId};
use throughline_core::{Effect, ErrorKind, PersistError, Result};

/// The keys of a host: one that is written under, and any number that are only read under.
///
/// A clone is the same key_ring. It may be changed while pipelines use it: a call works with the keys that were there when it
/// came to the layer.
///
/// ```
/// use throughline_layers::encrypt::{Key, KeyRing};
///
/// let key_ring = KeyRing::new(Key::new("2025".parse()?, &[1; 32]));
/// key_ring.rotate(Key::new("2026".parse()?, &[2; 32]))?; // written under from now on; the old one still reads
/// assert_eq!(key_ring.write_key().as_str(), "2026");
/// assert_eq!(key_ring.keys().len(), 2);
/// # Ok::<(), throughline_core::PersistError>(())
/// ```
#[derive(Clone)]
pub struct KeyRing(Arc<RwLock<Arc<Keys>>>);

/// The keys of a ring at one moment.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) write: Arc<Key>,
    pub(super) all: BTreeMap<KeyId, Arc<Key>>,
}

impl KeyRing {
    /// A ring of one key, which is written under.
    #[must_use]
    pub fn new(key: Key) -> Self {
        let write = Arc::new(key);
        let all = BTreeMap::from([(write.id().clone(), Arc::clone(&write))]);
        Self(Arc::new(RwLock::new(Arc::new(Keys { write, all }))))
    }

    /// Adds a key that is read under.
    ///
    /// # Errors
    /// `Invalid` when the ring has a key of this name.
    pub fn add(&self, key: Key) -> Result<()> {
        self.insert(key, false)
    }

    /// Adds a key that is written under from now on; the one before is still read under. What the store holds stays under
    /// the key that it was written under until a [`Rewrite`](super::Rewrite) has gone over it.
    ///
    /// # Errors
    /// `Invalid` when the ring has a key of this name.
    pub fn rotate(&self, key: Key) -> Result<()> {
        self.insert(key, true)
    }

    /// The name of the key that is written under.
    #[must_use]
    pub fn write_key(&self) -> KeyId {
        self.now().write.id().clone()
    }

    /// The names of all keys, in order.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyId> {
        self.now().all.keys().cloned().collect()
    }

    /// The keys of this moment.
    pub(super) fn now(&self) -> Arc<Keys> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a key away. What is under it can be read no more, so only what has looked may call it.
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
            // Under a name that is there already, rows of the one key would be looked up under the other.
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
    fn a_name_is_used_once_and_the_write_key_stays() {
        let key_ring = KeyRing::new(key("a"));
        assert!(key_ring.add(key("a")).is_err() && key_ring.rotate(key("a")).is_err());
        key_ring.rotate(key("b")).unwrap();
        assert!(key_ring.remove(&key_ring.write_key()).is_err());
        key_ring.remove(&"a".parse().unwrap()).unwrap();
        assert!(key_ring.remove(&"a".parse().unwrap()).is_err());
        assert_eq!(key_ring.keys(), ["b".parse().unwrap()]);
    }
}
