use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    InvalidId,
    id::{LabelName, LabelValue},
};

/// The labels of a thread, by which the host finds it again: names with one value each, such as its project. Lists filter by the
/// exact value. Labels are names like ids, and not content.
///
/// ```
/// use throughline_core::Labels;
///
/// let labels = Labels::new().with("project", "atlas")?.with("channel", "web")?;
/// assert_eq!(labels.get("project").unwrap().as_str(), "atlas");
/// # Ok::<(), throughline_core::InvalidId>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<LabelName, LabelValue>);

impl Labels {
    /// The most labels of one thread.
    pub const MAX: usize = 32;

    /// Returns an empty set of labels.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Sets the label `name`.
    ///
    /// # Errors
    /// [`InvalidId`] if the name or the value is empty, longer than 255 bytes or has a control character.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, InvalidId> {
        self.set(LabelName::new(name)?, LabelValue::new(value)?);
        Ok(self)
    }

    /// Sets the label `name`.
    pub fn set(&mut self, name: LabelName, value: LabelValue) {
        self.0.insert(name, value);
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&LabelValue> {
        self.0.get(name)
    }

    /// Iterates over the labels, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&LabelName, &LabelValue)> {
        self.0.iter()
    }

    /// The number of labels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no labels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all labels of `wanted` are present with the same value.
    #[must_use]
    pub fn contains(&self, wanted: &Self) -> bool {
        wanted.iter().all(|(name, value)| self.0.get(name) == Some(value))
    }

    /// Applies a patch.
    pub fn apply(&mut self, patch: &LabelPatch) {
        for (name, value) in &patch.0 {
            match value {
                Some(value) => drop(self.0.insert(name.clone(), value.clone())),
                None => drop(self.0.remove(name)),
            }
        }
    }
}

/// A change of labels. A name that is absent keeps its value.
///
/// ```
/// use throughline_core::{Labels, threads::LabelPatch};
///
/// let mut labels = Labels::new().with("project", "atlas")?.with("channel", "web")?;
/// labels.apply(&LabelPatch::new().set("project", "orion")?.clear("channel")?);
/// assert_eq!(labels, Labels::new().with("project", "orion")?);
/// # Ok::<(), throughline_core::InvalidId>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LabelPatch(BTreeMap<LabelName, Option<LabelValue>>);

impl LabelPatch {
    /// Returns a patch without changes.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Sets the label `name`.
    ///
    /// # Errors
    /// [`InvalidId`] if the name or the value is empty, longer than 255 bytes or has a control character.
    pub fn set(mut self, name: &str, value: &str) -> Result<Self, InvalidId> {
        self.0.insert(LabelName::new(name)?, Some(LabelValue::new(value)?));
        Ok(self)
    }

    /// Removes the label `name`.
    ///
    /// # Errors
    /// [`InvalidId`] as for [`set`](Self::set).
    pub fn clear(mut self, name: &str) -> Result<Self, InvalidId> {
        self.0.insert(LabelName::new(name)?, None);
        Ok(self)
    }
}
