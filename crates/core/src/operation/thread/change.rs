use serde::{Deserialize, Serialize};

use crate::{
    MetadataPatch, OwnerId, ThreadId, Title,
    message::{CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut, carries_nothing},
    operation::{lower, nullable::present},
    thread::LabelPatch,
};

/// Gives a thread another title.
///
/// With `expected` it is refused as [`Stale`](crate::ErrorKind::Stale) when the thread is called otherwise: a title that is
/// made by itself must not replace one that somebody chose meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenameThread {
    /// The thread.
    pub thread: ThreadId,
    /// What it is to be called.
    pub title: Title,
    /// What the caller saw that it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Title>,
}

impl RenameThread {
    /// Gives `thread` this title, whatever it is called.
    #[must_use]
    pub const fn new(thread: ThreadId, title: Title) -> Self {
        Self { thread, title, expected: None }
    }

    /// Only when it is called this.
    #[must_use]
    pub fn expecting(mut self, title: Title) -> Self {
        self.expected = Some(title);
        self
    }
}

impl CarriesContent for RenameThread {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self { thread, title, expected } = self;
        let at = |title| ContentField { thread, message: None, value: FieldValue::Title(title) };
        std::iter::once(title).chain(expected).map(at).collect()
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self { thread, title, expected } = self;
        let thread = &*thread;
        let at = |title| ContentFieldMut { thread, message: None, value: FieldValueMut::Title(title) };
        std::iter::once(title).chain(expected).map(at).collect()
    }
}

/// Puts a thread away, or gets it out again. It stays writable: an archive is a matter of lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ArchiveThread {
    /// The thread.
    pub thread: ThreadId,
    /// Whether it is to be in the archive.
    pub archived: bool,
}

carries_nothing!(ArchiveThread { thread: _, archived: _ });

/// Changes the labels, the owner and the metadata of a thread. What it does not name stays.
///
/// Refused as [`TooLarge`](crate::ErrorKind::TooLarge) when it would have more than [`Labels::MAX`](crate::Labels::MAX).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LabelThread {
    /// The thread.
    pub thread: ThreadId,
    /// The labels to set and to take away.
    #[serde(default)]
    pub labels: LabelPatch,
    /// Absent: the owner stays. `null`: it has none any more.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub owner: Option<Option<OwnerId>>,
    /// The facts to set and to clear.
    #[serde(default, skip_serializing_if = "MetadataPatch::is_empty")]
    pub metadata: MetadataPatch,
    /// The most bytes of names and JSON values that the metadata of the thread may have afterwards, as the store keeps it; a patch
    /// that makes it longer than that is refused as [`TooLarge`](crate::ErrorKind::TooLarge). A patch that does not make it longer
    /// never is. The layer `limits` sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_metadata_bytes: Option<u64>,
}

impl LabelThread {
    /// Changes nothing of `thread` yet.
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

    /// Sets these labels and takes those away.
    #[must_use]
    pub fn with_labels(mut self, labels: LabelPatch) -> Self {
        self.labels = labels;
        self
    }

    /// Says who the thread belongs to, or that it is nobody's.
    #[must_use]
    pub fn with_owner(mut self, owner: Option<OwnerId>) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Sets these facts and clears those.
    #[must_use]
    pub fn with_metadata(mut self, metadata: MetadataPatch) -> Self {
        self.metadata = metadata;
        self
    }

    /// Refuses to run where it would make the metadata longer than `bytes`. An earlier, lower limit stays.
    #[must_use]
    pub const fn within(mut self, bytes: u64) -> Self {
        self.max_metadata_bytes = Some(lower(self.max_metadata_bytes, bytes));
        self
    }
}

impl CarriesContent for LabelThread {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self { thread, labels: _, owner: _, metadata, max_metadata_bytes: _ } = self;
        vec![ContentField { thread, message: None, value: FieldValue::Metadata(metadata.as_metadata()) }]
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self { thread, labels: _, owner: _, metadata, max_metadata_bytes: _ } = self;
        vec![ContentFieldMut {
            thread,
            message: None,
            value: FieldValueMut::Metadata(metadata.as_metadata_mut()),
        }]
    }
}

/// Lets a thread that was created hidden into the lists, also if it has no message. A second time nothing happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishThread {
    /// The thread.
    pub thread: ThreadId,
}

carries_nothing!(PublishThread { thread: _ });

/// Makes what the entry of a thread says of its messages again, of the messages alone: counts, preview, activity. It
/// comes out the same unless the entry was damaged; what the host said is kept as far as it can be read. Costs a pass
/// over the thread, in which the store makes no other write; where a store has lost sight of which messages are the thread's, as SQLite can by damage, it finds them in a
/// pass over all messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RebuildThread {
    /// The thread.
    pub thread: ThreadId,
}

carries_nothing!(RebuildThread { thread: _ });

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
