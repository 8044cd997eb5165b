use serde::{Deserialize, Serialize};

use crate::{
    Labels, Metadata, OwnerId, ThreadId, Timestamp, Title,
    message::{CarriesContent, ContentField, ContentFieldMut, FieldValue, FieldValueMut},
    thread::ForkPoint,
};

/// A conversation to come, as a caller describes it.
///
/// ```
/// use throughline_core::{Labels, NewThread};
///
/// let thread = NewThread::new()
///     .with_title("Trip to Lisbon".parse()?)
///     .with_labels(Labels::new().with("project", "atlas")?);
/// # let _ = thread;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewThread {
    pub(crate) id: Option<ThreadId>,
    pub(crate) title: Option<Title>,
    pub(crate) owner: Option<OwnerId>,
    pub(crate) labels: Labels,
    pub(crate) metadata: Metadata,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) forked_from: Option<ForkPoint>,
    pub(crate) hidden: bool,
}

impl NewThread {
    /// An untitled one, under an id that is minted when it is created.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            id: None,
            title: None,
            owner: None,
            labels: Labels::new(),
            metadata: Metadata::new(),
            created_at: None,
            forked_from: None,
            hidden: false,
        }
    }

    /// Uses this id instead of a minted one.
    #[must_use]
    pub fn with_id(mut self, id: ThreadId) -> Self {
        self.id = Some(id);
        self
    }

    /// Gives it a title.
    #[must_use]
    pub fn with_title(mut self, title: Title) -> Self {
        self.title = Some(title);
        self
    }

    /// Says who it belongs to inside the tenant.
    #[must_use]
    pub fn with_owner(mut self, owner: OwnerId) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Gives it labels.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// Says the host's own facts about it, which are kept as they are: lists cannot be filtered by them, as they can by
    /// labels.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Says when it began, for an import.
    #[must_use]
    pub const fn created_at(mut self, created_at: Timestamp) -> Self {
        self.created_at = Some(created_at);
        self
    }

    /// Says where it branched off.
    #[must_use]
    pub fn forked_from(mut self, point: ForkPoint) -> Self {
        self.forked_from = Some(point);
        self
    }

    /// Keeps it out of every list until [`PublishThread`](crate::operation::PublishThread), for an import in several steps.
    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }
}

/// Creates a thread that has no message yet. A thread also exists from its first write; this says more about it.
///
/// Refused as [`AlreadyExists`](crate::ErrorKind::AlreadyExists) when there is one, and as
/// [`Gone`](crate::ErrorKind::Gone) when there was one that has been deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateThread {
    /// The id of the new thread, fixed before the first attempt.
    pub thread: ThreadId,
    /// What it is called.
    #[serde(default)]
    pub title: Title,
    /// Who it belongs to inside the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerId>,
    /// What the host says about it.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The host's own facts about it.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// When it began, where it is imported; the pipeline's clock otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Where it branched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<ForkPoint>,
    /// Whether it is kept out of lists until it is published.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
}

impl CreateThread {
    /// Creates `thread`, under a minted id where it names none.
    #[must_use]
    pub fn new(thread: NewThread) -> Self {
        let NewThread { id, title, owner, labels, metadata, created_at, forked_from, hidden } = thread;
        let thread = id.unwrap_or_else(ThreadId::mint);
        let title = title.unwrap_or_default();
        Self { thread, title, owner, labels, metadata, created_at, forked_from, hidden }
    }
}

impl CarriesContent for CreateThread {
    fn content_fields(&self) -> Vec<ContentField<'_>> {
        let Self { thread, title, owner: _, labels: _, metadata, created_at: _, forked_from: _, hidden: _ } =
            self;
        let at = |value| ContentField { thread, message: None, value };
        vec![at(FieldValue::Title(title)), at(FieldValue::Metadata(metadata))]
    }

    fn content_fields_mut(&mut self) -> Vec<ContentFieldMut<'_>> {
        let Self { thread, title, owner: _, labels: _, metadata, created_at: _, forked_from: _, hidden: _ } =
            self;
        let thread = &*thread;
        let at = |value| ContentFieldMut { thread, message: None, value };
        vec![at(FieldValueMut::Title(title)), at(FieldValueMut::Metadata(metadata))]
    }
}
