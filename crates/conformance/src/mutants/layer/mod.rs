//! Broken layers.

mod careless;
mod cipher;
mod letters;
mod parser;
mod redactor;
mod registry;
mod tail;
mod tower;

use std::sync::Arc;

use throughline_core::{Persistence, Result};

use crate::laws::{Around, LayerFixture, LayerProfile, LayerSubject};

/// A layer with one fault.
pub(super) struct Mutant {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) killed_by: &'static [&'static str],
    kind: Kind,
}

/// How it is made.
#[derive(Clone, Copy)]
enum Kind {
    /// A layer that changes nothing, but for its fault.
    Plain(fn(&Around) -> Result<Persistence>),
    /// The same, which says that it adds labels.
    AddsLabels(fn(&Around) -> Result<Persistence>),
    /// The same, which says that it repeats calls.
    Repeats(fn(&Around) -> Result<Persistence>),
    /// The same, which says that it refuses something.
    Refuses(fn(&Around) -> Result<Persistence>),
    /// The same, which says that it limits content.
    Limits(fn(&Around) -> Result<Persistence>),
    /// The same, with the claim that it buffers the end of a text.
    Buffers(fn(&Around) -> Result<Persistence>),
    /// A redaction that forgets something.
    Redactor(redactor::Forgets),
    /// A layer that stores an alias and answers the name, and forgets something.
    Alias(redactor::Forgets),
    /// A cipher that asks on the way.
    Cipher(cipher::Fault),
}

impl Mutant {
    pub(super) fn subject(&self) -> LayerSubject {
        subject(self.name, self.kind)
    }
}

fn subject(name: &'static str, kind: Kind) -> LayerSubject {
    match kind {
        Kind::Plain(stack) => Arc::new((LayerProfile::transparent(name), stack)) as Arc<dyn LayerFixture>,
        Kind::AddsLabels(stack) => Arc::new((LayerProfile::transparent(name).adds_labels(), stack)),
        Kind::Repeats(stack) => Arc::new((LayerProfile::transparent(name).repeats(), stack)),
        Kind::Limits(stack) => Arc::new((LayerProfile::transparent(name).limits_content(), stack)),
        Kind::Buffers(stack) => Arc::new((LayerProfile::transparent(name).buffers(), stack)),
        Kind::Refuses(stack) => Arc::new((LayerProfile::transparent(name).refuses(tower::refused()), stack)),
        Kind::Redactor(forgets) => {
            let profile = LayerProfile::transform(name, redactor::SECRET).shows(redactor::STARS).buffers();
            Arc::new((profile, move |around: &Around| redactor::redacting(name, forgets, around)))
        }
        Kind::Alias(forgets) => {
            let profile = LayerProfile::transform(name, redactor::SECRET).restores().buffers();
            Arc::new((profile, move |around: &Around| redactor::aliasing(name, forgets, around)))
        }
        Kind::Cipher(fault) => {
            let profile = LayerProfile::transform(name, redactor::SECRET).restores();
            let profile = profile.hides_previews().sets_expected_revisions().issues_reads();
            Arc::new((profile, move |around: &Around| cipher::encrypting(name, fault, around)))
        }
    }
}

pub(super) fn all() -> Vec<&'static Mutant> {
    registry::MUTANTS.iter().collect()
}

/// The ones without a fault, that the others are made from.
pub(super) fn sound() -> Vec<LayerSubject> {
    vec![
        subject("sound", Kind::Plain(|around| tower::stack("sound", tower::Fault::None, around))),
        subject("sound-redactor", Kind::Redactor(redactor::Forgets::Nothing)),
        subject("sound-alias", Kind::Alias(redactor::Forgets::Nothing)),
        subject("sound-cipher", Kind::Cipher(cipher::Fault::None)),
    ]
}
