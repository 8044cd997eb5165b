use serde::{Deserialize, Serialize};

use crate::{
    MetadataPatch, OwnerId, Result, TenantId, ThreadId, Title,
    message::{carries_content, carries_nothing},
    operation::{
        PersistResult, Verb,
        facts::{Facts, Split, StatesFacts},
        lower,
        nullable::present,
        stored::{LookUp, Replay},
        thread::managing,
        thread::replay_summary,
    },
    thread::LabelPatch,
};

/// Renames a thread.
///
/// # Errors
/// [`Stale`](crate::ErrorKind::Stale) if the title is not [`expected`](Self::expected). A generated title can therefore not
/// replace one that a user has chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenameThread {
    /// The thread.
    pub thread: ThreadId,
    /// The new title.
    pub title: Title,
    /// The required current title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Title>,
}

impl RenameThread {
    /// Returns a rename from any title.
    #[must_use]
    pub const fn new(thread: ThreadId, title: Title) -> Self {
        Self { thread, title, expected: None }
    }

    /// Requires this current title.
    #[must_use]
    pub fn expecting(mut self, title: Title) -> Self {
        self.expected = Some(title);
        self
    }
}

carries_content!(RenameThread { thread, title, expected } for (thread) => [Title(title)], each [Title(expected)]);

/// Archives a thread, or removes it from the archive. An archived thread stays writable; only the default lists omit it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArchiveThread {
    /// The thread.
    pub thread: ThreadId,
    /// Whether the thread is archived afterwards.
    pub archived: bool,
}

carries_nothing!(ArchiveThread { thread: _, archived: _ });

/// Changes the labels, the owner and the metadata of a thread. Values that the operation does not name remain.
///
/// # Errors
/// [`TooLarge`](crate::ErrorKind::TooLarge) if the thread would have more than [`Labels::MAX`](crate::Labels::MAX) labels, or if
/// the patch makes its metadata larger than [`max_metadata_bytes`](Self::max_metadata_bytes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelThread {
    /// The thread.
    pub thread: ThreadId,
    /// The labels to set and to remove.
    #[serde(default)]
    pub labels: LabelPatch,
    /// The new owner. Absent: the owner remains. `null`: removes the owner.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub owner: Option<Option<OwnerId>>,
    /// The patch of the metadata.
    #[serde(default, skip_serializing_if = "MetadataPatch::is_empty")]
    pub metadata: MetadataPatch,
    /// The most bytes of names and JSON values of the metadata after the patch, as stored. A patch that does not make the
    /// metadata larger is never refused. The layer `limits` sets this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_metadata_bytes: Option<u64>,
}

impl LabelThread {
    /// Returns an operation without changes.
    #[must_use]
    pub const fn new(thread: ThreadId) -> Self {
        Self {
            thread,
            labels: LabelPatch::new(),
            owner: None,
            metadata: MetadataPatch::new(),
            max_metadata_bytes: None,
        }
    }

    /// Sets and removes these labels.
    #[must_use]
    pub fn with_labels(mut self, labels: LabelPatch) -> Self {
        self.labels = labels;
        self
    }

    /// Sets the owner, or removes it with `None`.
    #[must_use]
    pub fn with_owner(mut self, owner: Option<OwnerId>) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Patches the metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: MetadataPatch) -> Self {
        self.metadata = metadata;
        self
    }

    /// Limits the metadata to `bytes`. A lower limit that was set before remains.
    #[must_use]
    pub const fn within(mut self, bytes: u64) -> Self {
        self.max_metadata_bytes = Some(lower(self.max_metadata_bytes, bytes));
        self
    }
}

carries_content!(
    LabelThread { thread, labels: _, owner: _, metadata: MetadataPatch(metadata), max_metadata_bytes: _ }
    for (thread) => [Metadata(metadata)]
);

/// Publishes a hidden thread: lists show it from then on, even without messages. A repeated call changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishThread {
    /// The thread.
    pub thread: ThreadId,
}

carries_nothing!(PublishThread { thread: _ });

/// Rebuilds the summary of a thread from its messages: counts, preview and activity. The result is the same unless the summary
/// was damaged. The values of the host remain as far as they are readable.
///
/// The store reads the whole thread and makes no other write meanwhile. If damage hides the thread of some messages, as it can in
/// SQLite, the store reads all messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RebuildThread {
    /// The thread.
    pub thread: ThreadId,
}

carries_nothing!(RebuildThread { thread: _ });

crate::operation::addressed_by_thread!(
    RenameThread,
    ArchiveThread,
    LabelThread,
    PublishThread,
    RebuildThread
);

impl StatesFacts for RenameThread {
    fn facts(&self) -> Facts<'_> {
        managing()
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, look_up: &mut dyn LookUp) -> Result<PersistResult> {
        replay_summary::<Self>(&self.thread, stored, look_up)
    }
}

impl StatesFacts for ArchiveThread {
    fn facts(&self) -> Facts<'_> {
        managing()
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, look_up: &mut dyn LookUp) -> Result<PersistResult> {
        replay_summary::<Self>(&self.thread, stored, look_up)
    }
}

impl StatesFacts for LabelThread {
    fn facts(&self) -> Facts<'_> {
        Facts { grows: true, metadata: Some(self.metadata.as_metadata()), ..managing() }
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, look_up: &mut dyn LookUp) -> Result<PersistResult> {
        replay_summary::<Self>(&self.thread, stored, look_up)
    }
}

impl StatesFacts for PublishThread {
    fn facts(&self) -> Facts<'_> {
        managing()
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, look_up: &mut dyn LookUp) -> Result<PersistResult> {
        replay_summary::<Self>(&self.thread, stored, look_up)
    }
}

impl StatesFacts for RebuildThread {
    fn facts(&self) -> Facts<'_> {
        Facts { split_by_message: Split::Here, ..Facts::needing(&[Verb::Manage]) }
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, look_up: &mut dyn LookUp) -> Result<PersistResult> {
        replay_summary::<Self>(&self.thread, stored, look_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_has_three_states_on_the_wire() {
        for (json, owner) in [
            (r#"{"thread":"t","labels":{}}"#, None),
            (r#"{"thread":"t","labels":{},"owner":null}"#, Some(None)),
            (r#"{"thread":"t","labels":{},"owner":"o"}"#, Some(Some("o".parse().unwrap()))),
        ] {
            let label: LabelThread = serde_json::from_str(json).unwrap();
            assert_eq!(label.owner, owner);
            assert_eq!(serde_json::to_string(&label).unwrap(), json);
        }
    }
}
