//! The faults, each with the checks that have to catch it.

mod claims;
mod reads;
mod writes;

use super::Mutant;

pub(super) fn all() -> impl Iterator<Item = &'static Mutant> {
    [writes::MUTANTS, reads::MUTANTS, claims::MUTANTS].into_iter().flatten()
}
