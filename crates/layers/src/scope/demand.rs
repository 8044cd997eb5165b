//! The permissions that a call needs.

use throughline_core::{
    PersistArgs,
    operations::{Reach, Verb},
};

/// One permission that a capability must grant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Demand<'a> {
    pub(super) verb: Verb,
    pub(super) reach: Reach<'a>,
}

impl<'a> Demand<'a> {
    /// Returns all permissions that a call needs; a batch needs those of each operation.
    pub(super) fn of(args: &'a PersistArgs) -> impl Iterator<Item = Self> {
        args.each().flat_map(|item| item.verbs().iter().map(|&verb| Self { verb, reach: item.reach() }))
    }
}
