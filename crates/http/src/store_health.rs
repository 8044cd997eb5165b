//! The health of a store, as its host states it.

/// The health of a store, as its host states it.
///
/// ```
/// use throughline_http::StoreHealth;
///
/// let health = StoreHealth::new(true).with_condition("the last backup is 3 days old");
/// assert!(health.accepts_writes());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreHealth {
    accepts_writes: bool,
    conditions: Vec<String>,
}

impl StoreHealth {
    /// Returns the health of a store that accepts writes, or does not.
    #[must_use]
    pub const fn new(accepts_writes: bool) -> Self {
        Self { accepts_writes, conditions: Vec::new() }
    }

    /// Adds a condition that needs attention, for people. The answer of `/readyz` shows it to everybody.
    #[must_use]
    pub fn with_condition(mut self, condition: impl Into<String>) -> Self {
        self.conditions.push(condition.into());
        self
    }

    /// Whether the store accepts writes.
    #[must_use]
    pub const fn accepts_writes(&self) -> bool {
        self.accepts_writes
    }

    pub(crate) fn into_conditions(self) -> Vec<String> {
        self.conditions
    }
}
