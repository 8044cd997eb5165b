//! The faults, each with the checks that have to catch it.

mod absent;
mod audit;
mod batches;
mod changes;
mod claims;
mod consumers;
mod finds;
mod imports;
mod kept;
mod limits;
mod lists;
mod names;
mod prunes;
mod reads;
mod replicas;
mod reuse;
mod sessions;
mod tails;
mod threads;
mod writes;

use super::Mutant;

pub(super) fn all() -> impl Iterator<Item = &'static Mutant> {
    [
        writes::MUTANTS,
        absent::MUTANTS,
        batches::MUTANTS,
        limits::MUTANTS,
        reads::MUTANTS,
        tails::MUTANTS,
        threads::MUTANTS,
        reuse::MUTANTS,
        lists::MUTANTS,
        prunes::MUTANTS,
        imports::MUTANTS,
        names::MUTANTS,
        changes::MUTANTS,
        audit::MUTANTS,
        consumers::MUTANTS,
        sessions::MUTANTS,
        replicas::MUTANTS,
        kept::MUTANTS,
        finds::MUTANTS,
        claims::MUTANTS,
    ]
    .into_iter()
    .flatten()
}
