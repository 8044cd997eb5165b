use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{
    Key, KeyId, KeyRing, Unreadable, Weakness,
    binding::{Binding, Field},
    cell::{self, Cell, Random},
    key_ring::Keys,
    thread_keys::{ThreadKey, ThreadKeys, WrappedKey},
};
use throughline_core::{Effect, MessageId, Result, TenantId, ThreadId};

/// Where keys come from.
#[derive(Debug, Clone)]
pub(super) struct Cabinet {
    pub(super) key_ring: KeyRing,
    /// None: everything is under the keys of the ring.
    pub(super) threads: Option<Arc<dyn ThreadKeys>>,
    pub(super) accepts_plaintext: bool,
    pub(super) random: Random,
    pub(super) weakness: Weakness,
}

/// The keys for one call, and what was met with them.
pub(super) struct KeySet<'a> {
    cabinet: &'a Cabinet,
    tenant: &'a TenantId,
    key_ring: Arc<Keys>,
    threads: HashMap<ThreadId, Held>,
    pub(super) found: Found,
}

/// The key of a thread, at hand.
enum Held {
    Missing,
    Open(Arc<Key>),
    Destroyed,
    Unusable(Unreadable),
}

/// Under which keys was what a call met.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// How many cells under each key.
    pub(super) keys: BTreeMap<KeyId, u64>,
    /// How many places that were not encrypted.
    pub(super) plain: u64,
    /// What is not under the key that would be used now.
    pub(super) stale: HashSet<Stale>,
}

/// What is to be written again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Stale {
    Content(ThreadId, MessageId),
    Facts(ThreadId, MessageId),
    Title(ThreadId),
    ThreadStats(ThreadId),
}

impl Stale {
    fn of(thread: &ThreadId, message: Option<&MessageId>, field: Field<'_>) -> Option<Self> {
        match (field, message) {
            (Field::Content { .. } | Field::Reason { .. }, Some(id)) => {
                Some(Self::Content(thread.clone(), id.clone()))
            }
            (Field::Fact(_), Some(id)) => Some(Self::Facts(thread.clone(), id.clone())),
            (Field::Fact(_), None) => Some(Self::ThreadStats(thread.clone())),
            (Field::Title, _) => Some(Self::Title(thread.clone())),
            _ => None,
        }
    }
}

impl Cabinet {
    /// The keys of this moment, without those of threads.
    pub(super) fn key_set<'a>(&'a self, tenant: &'a TenantId) -> KeySet<'a> {
        KeySet {
            cabinet: self,
            tenant,
            key_ring: self.key_ring.now(),
            threads: HashMap::new(),
            found: Found::default(),
        }
    }

    /// Seals the key of a thread under the one that is written under.
    pub(super) fn wrap(
        &self,
        tenant: &TenantId,
        thread: &ThreadId,
        id: &KeyId,
        secret: &[u8; 32],
    ) -> Result<WrappedKey> {
        let place = place_of_key(tenant, thread, id);
        let cell = cell::seal(secret, &self.key_ring.now().write, &place, self.random, self.weakness)?;
        Ok(WrappedKey::new(id, cell))
    }

    /// The bytes of the key of a thread.
    pub(super) fn unwrap(
        &self,
        keys: &Keys,
        tenant: &TenantId,
        thread: &ThreadId,
        wrapped: &WrappedKey,
    ) -> Result<Zeroizing<[u8; 32]>, Unreadable> {
        let cell = Cell::parse(wrapped.cell())?.ok_or(Unreadable::Malformed)?;
        let id = wrapped.id();
        if !id.is_of_a_thread() {
            return Err(Unreadable::Malformed);
        }
        let under = cell.key_id();
        let key = keys.all.get(&under).ok_or(Unreadable::UnknownKey(under))?;
        let bytes = Zeroizing::new(cell.open(key, &place_of_key(tenant, thread, &id), self.weakness)?);
        let mut secret = Zeroizing::new([0; 32]);
        if bytes.len() != secret.len() {
            return Err(Unreadable::Malformed);
        }
        secret.copy_from_slice(&bytes);
        Ok(secret)
    }
}

fn place_of_key<'a>(tenant: &'a TenantId, thread: &'a ThreadId, id: &'a KeyId) -> Binding<'a> {
    Binding {
        tenant: tenant.as_str(),
        thread: thread.as_str(),
        message: None,
        field: Field::ThreadKey(id.as_str()),
    }
}

impl KeySet<'_> {
    /// Fetches the keys of these threads, where threads have keys and they are not at hand. With `make`, one is made where
    /// there is none.
    ///
    /// # Cancel safety
    /// A key that was made stays, and is used by whoever comes next.
    pub(super) async fn fetch(
        &mut self,
        threads: impl IntoIterator<Item = ThreadId>,
        make: bool,
    ) -> Result<()> {
        let Some(store) = &self.cabinet.threads else { return Ok(()) };
        for thread in threads {
            if self.threads.get(&thread).is_some_and(|held| !matches!(held, Held::Missing)) {
                continue;
            }
            let mut kept = store.get(self.tenant, &thread).await?;
            if make && kept == ThreadKey::Missing {
                let secret = Zeroizing::new(cell::chance::<32>(self.cabinet.random)?);
                let id = KeyId::of_a_thread(&cell::chance(self.cabinet.random)?);
                let wrapped = self.cabinet.wrap(self.tenant, &thread, &id, &secret)?;
                kept = store.create(self.tenant, &thread, wrapped).await?;
            }
            let held = match kept {
                ThreadKey::Missing => Held::Missing,
                ThreadKey::Destroyed => Held::Destroyed,
                ThreadKey::Kept(wrapped) => {
                    match self.cabinet.unwrap(&self.key_ring, self.tenant, &thread, &wrapped) {
                        Ok(secret) => Held::Open(Arc::new(Key::new(wrapped.id(), &secret))),
                        Err(why) => Held::Unusable(why),
                    }
                }
            };
            self.threads.insert(thread, held);
        }
        Ok(())
    }

    fn present(&self, thread: &ThreadId) -> Result<&Key, Unreadable> {
        if self.cabinet.threads.is_none() {
            return Ok(&self.key_ring.write);
        }
        match self.threads.get(thread) {
            Some(Held::Open(key)) => Ok(key),
            Some(Held::Destroyed) => Err(Unreadable::Shredded),
            Some(Held::Unusable(why)) => Err(why.clone()),
            Some(Held::Missing) | None => Err(Unreadable::NoThreadKey),
        }
    }

    fn place<'p>(
        &'p self,
        thread: &'p ThreadId,
        message: Option<&'p MessageId>,
        field: Field<'p>,
    ) -> Binding<'p> {
        Binding {
            tenant: self.tenant.as_str(),
            thread: thread.as_str(),
            message: message.map(MessageId::as_str),
            field,
        }
    }

    /// Seals `plain` for this place under the present key.
    pub(super) fn seal(
        &self,
        thread: &ThreadId,
        message: Option<&MessageId>,
        field: Field<'_>,
        plain: &str,
    ) -> Result<String> {
        let key = self
            .present(thread)
            .map_err(|why| why.at("key", thread, None).with_effect(Effect::NotApplied))?;
        let place = self.place(thread, message, field);
        cell::seal(plain.as_bytes(), key, &place, self.cabinet.random, self.cabinet.weakness)
    }

    /// Opens what stands in this place. What is not sealed comes out as it is, where that is accepted.
    pub(super) fn open(
        &mut self,
        thread: &ThreadId,
        message: Option<&MessageId>,
        field: Field<'_>,
        text: &str,
    ) -> Result<String, Unreadable> {
        match Cell::parse(text)? {
            Some(cell) => self.open_cell(thread, message, field, &cell),
            None if self.accepts_plaintext() => {
                self.met_plaintext(thread, message, field)?;
                Ok(text.to_owned())
            }
            None => Err(Unreadable::Plaintext),
        }
    }

    pub(super) fn open_cell(
        &mut self,
        thread: &ThreadId,
        message: Option<&MessageId>,
        field: Field<'_>,
        cell: &Cell<'_>,
    ) -> Result<String, Unreadable> {
        self.check_not_shredded(thread)?;
        let id = cell.key_id();
        let key = if id.is_of_a_thread() {
            let key = self.present(thread)?;
            // A thread has one key: one of another name is none of this thread's.
            if *key.id() == id { key } else { return Err(Unreadable::UnknownKey(id)) }
        } else {
            self.key_ring.all.get(&id).ok_or_else(|| Unreadable::UnknownKey(id.clone()))?
        };
        let plain = cell.open(key, &self.place(thread, message, field), self.cabinet.weakness)?;
        if self.present(thread).is_ok_and(|present| *present.id() != id)
            || self.present(thread).is_err_and(|why| why == Unreadable::NoThreadKey)
        {
            self.found.stale.extend(Stale::of(thread, message, field));
        }
        *self.found.keys.entry(id).or_default() += 1;
        String::from_utf8(plain).map_err(|_| Unreadable::Malformed)
    }

    /// Takes down that something is not encrypted, and is to be.
    pub(super) fn met_plaintext(
        &mut self,
        thread: &ThreadId,
        message: Option<&MessageId>,
        field: Field<'_>,
    ) -> Result<(), Unreadable> {
        self.check_not_shredded(thread)?;
        self.found.plain += 1;
        self.found.stale.extend(Stale::of(thread, message, field));
        Ok(())
    }

    /// Whether what stands there is under the present key.
    pub(super) fn is_present(&self, thread: &ThreadId, text: &str) -> bool {
        let present = self.present(thread).map(Key::id);
        matches!((Cell::parse(text), present), (Ok(Some(cell)), Ok(id)) if cell.key == id.as_str())
    }

    pub(super) const fn accepts_plaintext(&self) -> bool {
        self.cabinet.accepts_plaintext || matches!(self.cabinet.weakness, Weakness::AcceptsPlaintext)
    }

    pub(super) const fn weakness(&self) -> Weakness {
        self.cabinet.weakness
    }

    /// Nothing of a thread whose key was destroyed is shown, whatever it is under.
    fn check_not_shredded(&self, thread: &ThreadId) -> Result<(), Unreadable> {
        match self.threads.get(thread) {
            Some(Held::Destroyed) => Err(Unreadable::Shredded),
            _ => Ok(()),
        }
    }
}
