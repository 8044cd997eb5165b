use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    InvalidId,
    id::{LabelName, LabelValue},
};

/// What a host says about a conversation to find it again: the project it belongs to, the pipeline that runs it. A name
/// has one value. Labels are looked for by their exact value; they are names like ids, and not content.
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

    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Gives `name` this value.
    ///
    /// # Errors
    /// [`InvalidId`] when one of them is empty, longer than 255 bytes or holds a control character.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, InvalidId> {
        self.set(LabelName::new(name)?, LabelValue::new(value)?);
        Ok(self)
    }

    /// Gives `name` this value.
    pub fn set(&mut self, name: LabelName, value: LabelValue) {
        self.0.insert(name, value);
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&LabelValue> {
        self.0.get(name)
    }

    /// Every label, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&LabelName, &LabelValue)> {
        self.0.iter()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether every one of `wanted` is here with the same value.
    #[must_use]
    pub fn contains(&self, wanted: &Self) -> bool {
        wanted.iter().all(|(name, value)| self.0.get(name) == Some(value))
    }

    /// Makes these changes.
    pub fn apply(&mut self, patch: &LabelPatch) {
        for (name, value) in &patch.0 {
            match value {
                Some(value) => drop(self.0.insert(name.clone(), value.clone())),
                None => drop(self.0.remove(name)),
            }
        }
    }
}

/// Changes of labels: a name that is absent keeps its value.
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
    /// No change.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Gives `name` this value.
    ///
    /// # Errors
    /// [`InvalidId`] when one of them is empty, longer than 255 bytes or holds a control character.
    pub fn set(mut self, name: &str, value: &str) -> Result<Self, InvalidId> {
        self.0.insert(LabelName::new(name)?, Some(LabelValue::new(value)?));
        Ok(self)
    }

    /// Takes the label `name` away.
    ///
    /// # Errors
    /// [`InvalidId`] as for [`set`](Self::set).
    pub fn clear(mut self, name: &str) -> Result<Self, InvalidId> {
        self.0.insert(LabelName::new(name)?, None);
        Ok(self)
    }
}
