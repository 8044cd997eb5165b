use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use zeroize::Zeroizing;

use super::{
    Key, KeyId, KeyRing, Unreadable,
    binding::{Binding, Field, Part},
    chunks,
    ciphertext::{self, Ciphertext, Random},
    key_ring::Keys,
    thread_keys::{ThreadKey, ThreadKeys, WrappedKey},
};
use throughline_core::{Content, Effect, MessageId, Result, TenantId, ThreadId};

/// The source of the keys of a layer.
#[derive(Debug, Clone)]
pub(super) struct KeyProvider {
    pub(super) key_ring: KeyRing,
    /// None when all data is under the keys of the key ring.
    pub(super) threads: Option<Arc<dyn ThreadKeys>>,
    pub(super) accepts_plaintext: bool,
    pub(super) random: Random,
}

/// The keys of one call, and the keys under which the call found data.
pub(super) struct KeySet<'a> {
    key_provider: &'a KeyProvider,
    tenant: &'a TenantId,
    key_ring: Arc<Keys>,
    threads: HashMap<ThreadId, HeldKey>,
    pub(super) usage: KeyUsage,
}

/// The state of a thread key that the call has fetched.
enum HeldKey {
    Missing,
    Open(Arc<Key>),
    Destroyed,
    Unusable(Unreadable),
}

/// The keys under which a call found data.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyUsage {
    /// The number of ciphertexts under each key.
    pub(super) keys: BTreeMap<KeyId, u64>,
    /// The number of fields in plaintext.
    pub(super) plain: u64,
    /// The data that is not under the current key.
    pub(super) stale: HashSet<Stale>,
}

/// Data that must be re-encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Stale {
    Content(ThreadId, MessageId),
    Metadata(ThreadId, MessageId),
    Title(ThreadId),
    ThreadMetadata(ThreadId),
}

impl Stale {
    fn of(thread: &ThreadId, message: Option<&MessageId>, field: Field<'_>) -> Option<Self> {
        match (field, message) {
            (Field::Content { .. } | Field::Reason { .. }, Some(id)) => {
                Some(Self::Content(thread.clone(), id.clone()))
            }
            (Field::Metadata(_), Some(id)) => Some(Self::Metadata(thread.clone(), id.clone())),
            (Field::Metadata(_), None) => Some(Self::ThreadMetadata(thread.clone())),
            (Field::Title, _) => Some(Self::Title(thread.clone())),
            _ => None,
        }
    }
}

impl KeyProvider {
    /// Returns the current keys of the key ring, without thread keys.
    pub(super) fn key_set<'a>(&'a self, tenant: &'a TenantId) -> KeySet<'a> {
        KeySet {
            key_provider: self,
            tenant,
            key_ring: self.key_ring.now(),
            threads: HashMap::new(),
            usage: KeyUsage::default(),
        }
    }

    /// Encrypts a thread key under the write key of the key ring.
    pub(super) fn wrap(
        &self,
        tenant: &TenantId,
        thread: &ThreadId,
        id: &KeyId,
        secret: &[u8; 32],
    ) -> Result<WrappedKey> {
        let binding = key_binding(tenant, thread, id);
        let ciphertext = ciphertext::seal(secret, &self.key_ring.now().write, &binding, self.random)?;
        Ok(WrappedKey::new(id, ciphertext))
    }

    /// Decrypts a thread key.
    pub(super) fn unwrap(
        &self,
        keys: &Keys,
        tenant: &TenantId,
        thread: &ThreadId,
        wrapped: &WrappedKey,
    ) -> Result<Zeroizing<[u8; 32]>, Unreadable> {
        let ciphertext = Ciphertext::parse(wrapped.ciphertext())?.ok_or(Unreadable::Malformed)?;
        let id = wrapped.id();
        if !id.is_thread_key() {
            return Err(Unreadable::Malformed);
        }
        let under = ciphertext.key_id();
        let key = keys.all.get(&under).ok_or(Unreadable::UnknownKey(under))?;
        let bytes = Zeroizing::new(ciphertext.open(key, &key_binding(tenant, thread, &id))?);
        let mut secret = Zeroizing::new([0; 32]);
        if bytes.len() != secret.len() {
            return Err(Unreadable::Malformed);
        }
        secret.copy_from_slice(&bytes);
        Ok(secret)
    }
}

fn key_binding<'a>(tenant: &'a TenantId, thread: &'a ThreadId, id: &'a KeyId) -> Binding<'a> {
    Binding {
        tenant: tenant.as_str(),
        thread: thread.as_str(),
        message: None,
        field: Field::ThreadKey(id.as_str()),
    }
}

impl KeySet<'_> {
    /// Fetches the keys of these threads, unless the call has them or threads have no keys. With `make`, creates the
    /// missing keys.
    ///
    /// # Cancel safety
    /// A key that was created stays, and the next call uses it.
    pub(super) async fn fetch(
        &mut self,
        threads: impl IntoIterator<Item = ThreadId>,
        make: bool,
    ) -> Result<()> {
        let Some(store) = &self.key_provider.threads else { return Ok(()) };
        for thread in threads {
            if self.threads.get(&thread).is_some_and(|held| !matches!(held, HeldKey::Missing)) {
                continue;
            }
            let mut kept = store.get(self.tenant, &thread).await?;
            if make && kept == ThreadKey::Missing {
                let secret = Zeroizing::new(ciphertext::random_bytes::<32>(self.key_provider.random)?);
                let id = KeyId::thread_key(&ciphertext::random_bytes(self.key_provider.random)?);
                let wrapped = self.key_provider.wrap(self.tenant, &thread, &id, &secret)?;
                kept = store.create(self.tenant, &thread, wrapped).await?;
            }
            let held = match kept {
                ThreadKey::Missing => HeldKey::Missing,
                ThreadKey::Destroyed => HeldKey::Destroyed,
                ThreadKey::Kept(wrapped) => {
                    match self.key_provider.unwrap(&self.key_ring, self.tenant, &thread, &wrapped) {
                        Ok(secret) => HeldKey::Open(Arc::new(Key::new(wrapped.id(), &secret))),
                        Err(why) => HeldKey::Unusable(why),
                    }
                }
            };
            self.threads.insert(thread, held);
        }
        Ok(())
    }

    fn present(&self, thread: &ThreadId) -> Result<&Key, Unreadable> {
        if self.key_provider.threads.is_none() {
            return Ok(&self.key_ring.write);
        }
        match self.threads.get(thread) {
            Some(HeldKey::Open(key)) => Ok(key),
            Some(HeldKey::Destroyed) => Err(Unreadable::Shredded),
            Some(HeldKey::Unusable(why)) => Err(why.clone()),
            Some(HeldKey::Missing) | None => Err(Unreadable::NoThreadKey),
        }
    }

    fn binding<'p>(
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

    /// Encrypts `plain` for this field under the current key.
    pub(super) fn seal(
        &self,
        thread: &ThreadId,
        message: Option<&MessageId>,
        field: Field<'_>,
        plain: &str,
    ) -> Result<String> {
        let key = self.write_key(thread)?;
        let binding = self.binding(thread, message, field);
        ciphertext::seal(plain.as_bytes(), key, &binding, self.key_provider.random)
    }

    /// Encrypts `plain` under the current key as the content block of a chunk.
    pub(super) fn seal_chunk(
        &self,
        thread: &ThreadId,
        message: Option<&MessageId>,
        (part, revision): (Part, u64),
        plain: &str,
    ) -> Result<Content> {
        let key = self.write_key(thread)?;
        let binding = self.binding(thread, message, Field::Content { part, revision });
        let (plain, random) = (plain.as_bytes(), self.key_provider.random);
        chunks::block(part, revision, ciphertext::sealed_len(plain.len(), key), |json| {
            ciphertext::seal_into(json, plain, key, &binding, random)
        })
    }

    /// Returns the current key of a thread, or the error for a call that needs it.
    fn write_key(&self, thread: &ThreadId) -> Result<&Key> {
        self.present(thread).map_err(|why| why.at("key", thread, None).with_effect(Effect::NotApplied))
    }

    /// Returns whether each thread has a key of its own, which a call has to fetch.
    pub(super) const fn has_thread_keys(&self) -> bool {
        self.key_provider.threads.is_some()
    }

    /// Decrypts the text of this field. Returns plaintext unchanged where plaintext is accepted.
    pub(super) fn open(
        &mut self,
        thread: &ThreadId,
        message: Option<&MessageId>,
        field: Field<'_>,
        text: &str,
    ) -> Result<String, Unreadable> {
        match Ciphertext::parse(text)? {
            Some(ciphertext) => self.open_ciphertext(thread, message, field, &ciphertext),
            None if self.accepts_plaintext() => {
                self.met_plaintext(thread, message, field)?;
                Ok(text.to_owned())
            }
            None => Err(Unreadable::Plaintext),
        }
    }

    pub(super) fn open_ciphertext(
        &mut self,
        thread: &ThreadId,
        message: Option<&MessageId>,
        field: Field<'_>,
        ciphertext: &Ciphertext<'_>,
    ) -> Result<String, Unreadable> {
        self.check_not_shredded(thread)?;
        let id = ciphertext.key_id();
        let key = if id.is_thread_key() {
            let key = self.present(thread)?;
            // A thread has one key, so another thread key cannot belong to this thread.
            if *key.id() == id { key } else { return Err(Unreadable::UnknownKey(id)) }
        } else {
            self.key_ring.all.get(&id).ok_or_else(|| Unreadable::UnknownKey(id.clone()))?
        };
        let plain = ciphertext.open(key, &self.binding(thread, message, field))?;
        if self.present(thread).is_ok_and(|present| *present.id() != id)
            || self.present(thread).is_err_and(|why| why == Unreadable::NoThreadKey)
        {
            self.usage.stale.extend(Stale::of(thread, message, field));
        }
        *self.usage.keys.entry(id).or_default() += 1;
        String::from_utf8(plain).map_err(|_| Unreadable::Malformed)
    }

    /// Records a field in plaintext that must be encrypted.
    pub(super) fn met_plaintext(
        &mut self,
        thread: &ThreadId,
        message: Option<&MessageId>,
        field: Field<'_>,
    ) -> Result<(), Unreadable> {
        self.check_not_shredded(thread)?;
        self.usage.plain += 1;
        self.usage.stale.extend(Stale::of(thread, message, field));
        Ok(())
    }

    /// Returns true for text that is encrypted under the current key.
    pub(super) fn is_present(&self, thread: &ThreadId, text: &str) -> bool {
        let present = self.present(thread).map(Key::id);
        matches!((Ciphertext::parse(text), present), (Ok(Some(ciphertext)), Ok(id)) if ciphertext.key == id.as_str())
    }

    pub(super) const fn accepts_plaintext(&self) -> bool {
        self.key_provider.accepts_plaintext
    }

    /// Refuses all data of a thread whose key was destroyed, under any key.
    fn check_not_shredded(&self, thread: &ThreadId) -> Result<(), Unreadable> {
        match self.threads.get(thread) {
            Some(HeldKey::Destroyed) => Err(Unreadable::Shredded),
            _ => Ok(()),
        }
    }
}
