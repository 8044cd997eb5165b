use std::{fmt, sync::Arc};

use tower_layer::Layer;

use super::{
    EncryptService, KeyRing, Weakness, cell, in_turn::InTurn, key_set::Cabinet, revisions::Revisions,
    thread_keys::ThreadKeys,
};
use throughline_core::{
    PersistError,
    pipeline::{Described, PersistService, Phase, SiteSpec},
};

/// Encrypts every content field that the visitor over content shows, and decrypts it again. See the [module](super).
///
/// A clone is the same layer, with the same keys and what it remembers: one for the pipeline, and one for the host to rotate
/// and to shred with.
#[derive(Clone)]
pub struct EncryptLayer {
    shared: Arc<Shared>,
}

/// What the layer and its services have in common.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) cabinet: Cabinet,
    pub(super) revisions: Revisions,
    pub(super) in_turn: InTurn,
}

impl EncryptLayer {
    /// Encrypts under the keys of `key_ring` themselves.
    #[must_use]
    pub fn new(key_ring: KeyRing) -> Self {
        let cabinet = Cabinet {
            key_ring,
            threads: None,
            accepts_plaintext: false,
            random: cell::of_the_system,
            weakness: Weakness::None,
        };
        let shared = Shared { cabinet, revisions: Revisions::default(), in_turn: InTurn::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Gives each thread a key of its own, sealed under the ring and kept in `keys`: a thread can then be
    /// [shredded](Self::shred), and a rotation seals the keys again and leaves the messages alone. What is under a key of the
    /// ring already is still read.
    #[must_use]
    pub fn with_thread_keys(self, keys: impl ThreadKeys) -> Self {
        self.changed(|cabinet| cabinet.threads = Some(Arc::new(keys)))
    }

    /// Reads what is not encrypted as well, for the time in which a store of before is
    /// [written again](super::Rewrite). Whoever can write to the store can then plant text in it: take it out again as soon as
    /// the report says that nothing is in the clear.
    #[must_use]
    pub fn accept_plaintext(self) -> Self {
        self.changed(|cabinet| cabinet.accepts_plaintext = true)
    }

    /// The ring.
    #[must_use]
    pub fn key_ring(&self) -> &KeyRing {
        &self.shared.cabinet.key_ring
    }

    pub(super) fn cabinet(&self) -> &Cabinet {
        &self.shared.cabinet
    }

    /// Another layer that differs in this.
    pub(super) fn changed(self, change: impl FnOnce(&mut Cabinet)) -> Self {
        let mut shared = Arc::unwrap_or_clone(self.shared);
        change(&mut shared.cabinet);
        Self { shared: Arc::new(shared) }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cabinet { key_ring, threads, accepts_plaintext, random: _, weakness: _ } = &self.cabinet;
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
