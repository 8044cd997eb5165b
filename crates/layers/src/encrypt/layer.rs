use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{
    EncryptService, KeyRing, ciphertext, key_set::KeyProvider, patch_locks::PatchLocks, revisions::Revisions,
    thread_keys::ThreadKeys,
};
use throughline_core::{
    PersistError,
    pipeline::{Described, PersistService, Phase, SiteSpec},
};

/// Encrypts every content field of an operation, and decrypts the fields of its answer. See the [module](super).
///
/// A clone shares the keys and the cached revisions: the host gives one to the pipeline, and keeps one to rotate and to
/// shred.
#[derive(Clone)]
pub struct EncryptLayer {
    shared: Arc<Shared>,
}

/// The state that the layer and its services share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) key_provider: KeyProvider,
    pub(super) revisions: Revisions,
    pub(super) patch_locks: PatchLocks,
}

impl EncryptLayer {
    /// Encrypts with the keys of `key_ring` directly, without thread keys.
    #[must_use]
    pub fn new(key_ring: KeyRing) -> Self {
        let key_provider = KeyProvider {
            key_ring,
            threads: None,
            accepts_plaintext: false,
            random: ciphertext::system_random,
        };
        let shared = Shared { key_provider, revisions: Revisions::default(), patch_locks: PatchLocks::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Gives each thread a key of its own, which is encrypted under the key ring and kept in `keys`. A thread can then
    /// be [shredded](Self::shred), and a rotation re-encrypts only the thread keys. Data that is already under a key of
    /// the key ring stays readable.
    #[must_use]
    pub fn with_thread_keys(self, keys: impl ThreadKeys) -> Self {
        self.changed(|key_provider| key_provider.threads = Some(Arc::new(keys)))
    }

    /// Also accepts plaintext, while [`Rewrite`](super::Rewrite) encrypts a store that was written without encryption.
    /// Anyone with write access to the store can plant text meanwhile: remove this option as soon as the report shows
    /// that no plaintext is left.
    #[must_use]
    pub fn accept_plaintext(self) -> Self {
        self.changed(|key_provider| key_provider.accepts_plaintext = true)
    }

    /// Returns the key ring.
    #[must_use]
    pub fn key_ring(&self) -> &KeyRing {
        &self.shared.key_provider.key_ring
    }

    pub(super) fn key_provider(&self) -> &KeyProvider {
        &self.shared.key_provider
    }

    /// Returns this layer with a changed key provider.
    pub(super) fn changed(self, change: impl FnOnce(&mut KeyProvider)) -> Self {
        let mut shared = Arc::unwrap_or_clone(self.shared);
        change(&mut shared.key_provider);
        Self { shared: Arc::new(shared) }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KeyProvider { key_ring, threads, accepts_plaintext, random: _ } = &self.key_provider;
        f.debug_struct("Encrypt")
            .field("key_ring", key_ring)
            .field("thread_keys", threads)
            .field("accepts_plaintext", accepts_plaintext)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EncryptLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EncryptLayer").field(&self.shared).finish()
    }
}

impl Described for EncryptLayer {
    fn site(&self) -> SiteSpec {
        SiteSpec::new("encrypt", Phase::Transform).with_rank(90)
    }
}

impl<S: PersistService<Error = PersistError>> Layer<S> for EncryptLayer {
    type Service = EncryptService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        EncryptService::new(inner, Arc::clone(&self.shared))
    }
}
