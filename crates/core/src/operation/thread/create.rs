use serde::{Deserialize, Serialize};

use crate::{
    Labels, Metadata, OwnerId, Result, TenantId, ThreadId, Timestamp, Title,
    message::carries_content,
    operation::{
        PersistResult,
        facts::{Facts, StatesFacts},
        stored::{LookUp, Replay},
        thread::managing,
        thread::replay_summary,
    },
    thread::ForkPoint,
};

/// The arguments of a new thread.
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
    pub(crate) reuses_ids: bool,
}

impl NewThread {
    /// Returns an untitled thread. Its id is generated when it is created.
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
            reuses_ids: false,
        }
    }

    /// Sets the id instead of a generated one.
    #[must_use]
    pub fn with_id(mut self, id: ThreadId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets the title.
    #[must_use]
    pub fn with_title(mut self, title: Title) -> Self {
        self.title = Some(title);
        self
    }

    /// Sets the owner inside the tenant.
    #[must_use]
    pub fn with_owner(mut self, owner: OwnerId) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Sets the labels.
    #[must_use]
    pub fn with_labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    /// Sets the metadata of the host. Lists cannot filter by metadata, only by labels.
    #[must_use]
    pub fn with_metadata(mut self, metadata: Metadata) -> Self {
        self.metadata = metadata;
        self
    }

    /// Sets the time of creation, for an import.
    #[must_use]
    pub const fn created_at(mut self, created_at: Timestamp) -> Self {
        self.created_at = Some(created_at);
        self
    }

    /// Sets the source of a fork.
    #[must_use]
    pub fn forked_from(mut self, point: ForkPoint) -> Self {
        self.forked_from = Some(point);
        self
    }

    /// Hides the thread from lists until [`PublishThread`](crate::operation::PublishThread), for an import in several steps.
    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// Lets the thread use the ids of deleted messages again: see [`CreateThread::reuses_ids`]. Otherwise a deleted id is never free
    /// again.
    #[must_use]
    pub const fn reusing_ids(mut self) -> Self {
        self.reuses_ids = true;
        self
    }
}

/// Creates a thread without messages. The first message also creates a thread; this operation sets a title and other values.
///
/// # Errors
/// - [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if the thread exists.
/// - [`Gone`](crate::ErrorKind::Gone) if the thread was deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateThread {
    /// The id of the new thread. It is the same in every attempt of the call.
    pub thread: ThreadId,
    /// The title.
    #[serde(default)]
    pub title: Title,
    /// The owner inside the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerId>,
    /// The labels of the host.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The metadata of the host.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
    /// The time of creation, for an import. Otherwise the clock of the pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// The source of a fork.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<ForkPoint>,
    /// Whether the thread is hidden from lists until it is published.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Whether an addition, a reservation or an import under the id of a deleted message makes a new message. It gets a new sequence
    /// number, and its first revision is higher than every revision of the deleted message. The thread keeps this choice
    /// for its life.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reuses_ids: bool,
}

impl CreateThread {
    /// Returns the creation of `thread`. It generates an id if `thread` has none.
    #[must_use]
    pub fn new(thread: NewThread) -> Self {
        let NewThread { id, title, owner, labels, metadata, created_at, forked_from, hidden, reuses_ids } =
            thread;
        let thread = id.unwrap_or_else(ThreadId::mint);
        let title = title.unwrap_or_default();
        Self { thread, title, owner, labels, metadata, created_at, forked_from, hidden, reuses_ids }
    }
}

carries_content!(
    CreateThread {
        thread, title, owner: _, labels: _, metadata, created_at: _, forked_from: _, hidden: _, reuses_ids: _
    }
    for (thread) => [Title(title), Metadata(metadata)]
);

crate::operation::addressed_by_thread!(CreateThread);

impl StatesFacts for CreateThread {
    fn facts(&self) -> Facts<'_> {
        Facts { grows: true, metadata: Some(&self.metadata), ..managing() }
    }

    fn replayed(&self, stored: &Replay, _: &TenantId, look_up: &mut dyn LookUp) -> Result<PersistResult> {
        replay_summary::<Self>(&self.thread, stored, look_up)
    }
}
