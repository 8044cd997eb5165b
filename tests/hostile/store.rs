//! A SQLite file, with the messages that must and must not be in it.

use std::{collections::BTreeSet, path::PathBuf};

use tempfile::TempDir;
use throughline::{
    Effect, NewMessage, PersistError, Persistence, Result, Thread, messages::PageFrom, sqlite::SqliteBackend,
};

/// A SQLite file, with the outcome of each message.
pub(crate) struct Store {
    _directory: TempDir,
    path: PathBuf,
    acknowledged: BTreeSet<String>,
    refused: BTreeSet<String>,
}

impl Store {
    pub(crate) fn fresh() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db");
        Self { _directory: directory, path, acknowledged: BTreeSet::new(), refused: BTreeSet::new() }
    }

    pub(crate) async fn open(&self) -> SqliteBackend {
        SqliteBackend::open(&self.path).await.unwrap()
    }

    /// Records the outcome of a message.
    pub(crate) fn record<T>(&mut self, id: &str, answer: &Result<T>) {
        match answer.as_ref().map_err(PersistError::effect) {
            Ok(_) | Err(Effect::Applied) => self.acknowledged.insert(id.to_owned()),
            Err(Effect::NotApplied) => self.refused.insert(id.to_owned()),
            Err(Effect::Unknown) => false,
        };
    }

    /// Opens the file again. Checks that it contains every acknowledged message, and no refused one.
    pub(crate) async fn assert_consistent(&self, threads: &[&str]) {
        let db = Persistence::builder().backend(self.open().await).build().unwrap();
        let mut stored = BTreeSet::new();
        for thread in threads {
            stored.extend(ids(&db.thread(*thread)).await);
        }
        let lost: Vec<_> = self.acknowledged.difference(&stored).collect();
        let unexpected: Vec<_> = self.refused.intersection(&stored).collect();
        assert!(
            lost.is_empty() && unexpected.is_empty(),
            "lost: {lost:?}, stored but refused: {unexpected:?}"
        );
        db.close().await.unwrap();
    }
}

async fn ids(thread: &Thread) -> Vec<String> {
    let (mut ids, mut from) = (Vec::new(), PageFrom::Start);
    loop {
        let page = thread.page(from, 100).await.unwrap();
        ids.extend(page.messages.iter().map(|message| message.id.to_string()));
        match page.messages.last() {
            Some(last) if page.has_more => from = PageFrom::After(last.seq),
            _ => return ids,
        }
    }
}

pub(crate) fn message(id: &str) -> NewMessage {
    NewMessage::user("x").with_id(id.parse().unwrap())
}
