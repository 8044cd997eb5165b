//! The options of a fork.

use serde::Deserialize;
use throughline::{Labels, Metadata, NewThread, OwnerId, ThreadId, Title};

/// The thread that a fork makes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForkOptions {
    id: Option<ThreadId>,
    title: Option<Title>,
    owner: Option<OwnerId>,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    metadata: Metadata,
}

impl ForkOptions {
    pub(crate) fn thread(self) -> NewThread {
        let Self { id, title, owner, labels, metadata } = self;
        let mut new = NewThread::new().with_labels(labels).with_metadata(metadata);
        if let Some(id) = id {
            new = new.with_id(id);
        }
        if let Some(title) = title {
            new = new.with_title(title);
        }
        if let Some(owner) = owner {
            new = new.with_owner(owner);
        }
        new
    }
}
