//! Sends a tree of messages as threads: the current path, and a fork for each other path.

mod paths;
mod send;
mod sources;
mod stored;

use std::borrow::Cow;

use serde_json::value::RawValue;
use throughline_core::{MessageId, ThreadId, Timestamp, messages::ImportRow};

pub(crate) use self::sources::TreeFiles;
use crate::{FindingKind, Format, Location, Report, object::Object};

/// The most nodes of a tree.
pub(crate) const MAX_NODES: usize = 100_000;
/// The most messages in all forks of a tree, because each fork repeats its beginning.
pub(crate) const MAX_FORK_MESSAGES: usize = 100_000;

/// A conversation whose messages form a tree.
#[derive(Debug)]
pub(crate) struct MessageTree<'a> {
    pub(crate) format: Format,
    pub(crate) id: ThreadId,
    pub(crate) title: Option<String>,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) archived: bool,
    /// The other fields of the conversation, which its thread keeps.
    pub(crate) record: Option<String>,
    pub(crate) nodes: Vec<Node<'a>>,
    /// The node at the end of the current path.
    pub(crate) current: Option<String>,
    pub(crate) location: Location,
}

/// A message of a tree.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    /// The id: that of the message in the store.
    pub(crate) id: String,
    /// The id of the parent; `None` for a root.
    pub(crate) parent: Option<String>,
    /// The JSON of the message; `None` for a node without one.
    pub(crate) record: Option<Cow<'a, str>>,
    pub(crate) location: Location,
}

impl<'a> Node<'a> {
    /// Returns a node for one element of a list.
    pub(crate) fn of(id: String, parent: Option<String>, record: &'a RawValue, location: &Location) -> Self {
        Self { id, parent, record: Some(record.get().into()), location: location.clone() }
    }
}

/// Reads a record as a message: its id, its object, and the time of the message before it. It returns the message, with
/// a warning if it has a defect, or the reason why the record is kept as it is.
pub(crate) type ReadRow =
    fn(MessageId, &Object<'_>, Timestamp) -> Result<(ImportRow, Option<FindingKind>), FindingKind>;

/// Reads a conversation as a tree, or returns the reason why it is skipped.
pub(crate) type ReadTree =
    for<'a> fn(&Object<'a>, &Location, &mut Report) -> Result<MessageTree<'a>, FindingKind>;

/// Whether the id of a parent means that there is none: it is empty, or a UUID of zeros but for its version.
pub(crate) fn is_no_parent(parent: &str) -> bool {
    matches!(parent, "" | "00000000-0000-0000-0000-000000000000" | "00000000-0000-4000-8000-000000000000")
}
