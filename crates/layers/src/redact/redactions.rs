use std::{collections::BTreeMap, fmt, sync::Arc};

use crate::transform::EditCounts;

/// The number of hidden secrets by the name of the rule. It never contains the secrets.
///
/// The layer adds it to the [extensions](throughline_core::PersistResponse::extensions) of an answer with redactions,
/// for outer layers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redactions(BTreeMap<Arc<str>, u64>);

impl Redactions {
    /// Returns empty counts.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Counts one more.
    pub(super) fn count(&mut self, rule: &Arc<str>) {
        match self.0.get_mut(rule) {
            Some(count) => *count += 1,
            None => drop(self.0.insert(Arc::clone(rule), 1)),
        }
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        for (rule, count) in &other.0 {
            *self.0.entry(Arc::clone(rule)).or_default() += count;
        }
    }

    /// Adds these counts to the counts of a call.
    pub(super) fn add_to(&self, counts: &mut EditCounts) {
        self.0.iter().for_each(|(rule, count)| counts.add(rule, *count));
    }

    /// Returns the count of this rule.
    #[must_use]
    pub fn get(&self, rule: &str) -> u64 {
        self.0.get(rule).copied().unwrap_or(0)
    }

    /// Returns the sum of all counts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// Returns true if all counts are zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the rules with a count, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(rule, count)| (&**rule, *count))
    }
}

impl From<EditCounts> for Redactions {
    fn from(counts: EditCounts) -> Self {
        Self(counts.iter().map(|(rule, count)| (Arc::clone(rule), count)).collect())
    }
}

/// `2 jwt, 1 slack-token`.
impl fmt::Display for Redactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (rule, count)) in self.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {rule}")?;
        }
        Ok(())
    }
}
