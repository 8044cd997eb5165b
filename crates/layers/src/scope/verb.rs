use std::fmt;

use throughline_core::operations::Verb;

/// A set of verbs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Verbs(u16);

impl Verbs {
    pub(super) const fn contains(self, verb: Verb) -> bool {
        self.0 & (1 << verb as u16) != 0
    }
}

impl FromIterator<Verb> for Verbs {
    fn from_iter<I: IntoIterator<Item = Verb>>(verbs: I) -> Self {
        Self(verbs.into_iter().fold(0, |bits, verb| bits | 1 << verb as u16))
    }
}

impl fmt::Debug for Verbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Verb::ALL.iter().filter(|verb| self.contains(**verb))).finish()
    }
}
