//! Broken backends.

mod audit;
mod backend;
mod change;
mod changes;
mod fabricated;
mod finds;
mod journal;
mod registry;
mod searches;
mod sessions;
mod special;
mod store_key;
mod threads;

use std::{fmt, sync::Arc};

use throughline_core::{
    BoxError, Capabilities, Context, Durability, IndexedMetadata, OpKind, PersistArgs, PersistError,
    PersistResponse, backend::search::Tokenizer,
};

use self::{backend::Faulty, special::Special};
use crate::{Fixture, Profile, StoreLocation, erased::Subject};

/// A backend with one fault.
pub(super) struct Mutant {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) killed_by: &'static [&'static str],
    /// The change of a call.
    before: fn(&mut PersistArgs, &Context),
    /// The change of an answer, with the original call.
    after: fn(&PersistArgs, &mut PersistResponse),
    /// The change of an answer after the store was reopened.
    reopened: fn(&mut PersistResponse),
    /// The refusal of a call after the store was reopened.
    refuses_reopened: fn(&PersistArgs) -> Option<PersistError>,
    special: Option<Special>,
    claims: fn() -> Capabilities,
}

/// Everything, as the journal keeps it.
fn everything() -> Capabilities {
    Capabilities::full(Durability::Process)
        .with_search(Tokenizer::Cjk)
        .with_audit()
        .with_indexed_metadata(indexed_metadata())
}

/// The metadata fields that the journal indexes.
fn indexed_metadata() -> IndexedMetadata {
    IndexedMetadata::new(["kind", "orderId"]).expect("valid names")
}

impl Mutant {
    /// No fault yet.
    const fn new(name: &'static str, about: &'static str, killed_by: &'static [&'static str]) -> Self {
        Self {
            name,
            about,
            killed_by,
            before: |_, _| {},
            after: |_, _| {},
            reopened: |_| {},
            refuses_reopened: |_| None,
            special: None,
            claims: everything,
        }
    }

    const fn before(mut self, before: fn(&mut PersistArgs, &Context)) -> Self {
        self.before = before;
        self
    }

    const fn after(mut self, after: fn(&PersistArgs, &mut PersistResponse)) -> Self {
        self.after = after;
        self
    }

    const fn reopened(mut self, reopened: fn(&mut PersistResponse)) -> Self {
        self.reopened = reopened;
        self
    }

    const fn refusing_reopened(mut self, refuses: fn(&PersistArgs) -> Option<PersistError>) -> Self {
        self.refuses_reopened = refuses;
        self
    }

    const fn special(mut self, special: Special) -> Self {
        self.special = Some(special);
        self
    }

    const fn claiming(mut self, claims: fn() -> Capabilities) -> Self {
        self.claims = claims;
        self
    }

    pub(super) fn claims(&self) -> Capabilities {
        (self.claims)()
    }
}

impl fmt::Debug for Mutant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The one without a fault, that the others are made from.
pub(super) static SOUND: Mutant = Mutant::new("sound", "keeps a journal in a file, and nothing else", &[]);

/// Everything but the patch of metadata and the changes.
fn without_update() -> Capabilities {
    let rest: Vec<OpKind> = OpKind::ALL.into_iter().filter(|kind| *kind != OpKind::Update).collect();
    Capabilities::new(Durability::Process).with_operations(&rest).with_idempotency()
}

pub(super) fn all() -> Vec<&'static Mutant> {
    registry::all().collect()
}

/// The mutant that a process was started for.
pub(super) fn named(name: &str) -> Option<Arc<dyn Subject>> {
    let mutant = all().into_iter().chain([&SOUND]).find(|mutant| mutant.name == name)?;
    Some(Arc::new(Mutated::new(mutant)))
}

/// A mutant as a fixture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mutated(&'static Mutant);

impl Mutated {
    pub(super) const fn new(mutant: &'static Mutant) -> Self {
        Self(mutant)
    }
}

impl Fixture for Mutated {
    type Backend = Faulty;

    fn profile(&self) -> Profile {
        Profile::new(self.0.name)
    }

    async fn open(&self, location: &StoreLocation) -> Result<Faulty, BoxError> {
        Faulty::open(self.0, location).await
    }
}
