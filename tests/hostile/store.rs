//! A file, and what has to be in it at the end.

use std::{collections::BTreeSet, path::PathBuf};

use tempfile::TempDir;
use throughline::{
    Effect, NewMessage, PersistError, Persistence, Result, Thread, messages::PageFrom, sqlite::SqliteBackend,
};

/// A SQLite file, and what was said of the messages that were given to it.
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

    /// What the pipeline said of a message.
    pub(crate) fn told<T>(&mut self, id: &str, answer: &Result<T>) {
        match answer.as_ref().map_err(PersistError::effect) {
            Ok(_) | Err(Effect::Applied) => self.acknowledged.insert(id.to_owned()),
            Err(Effect::NotApplied) => self.refused.insert(id.to_owned()),
            Err(Effect::Unknown) => false,
        };
    }

    /// Reads the file again, through nothing but the store: what was acknowledged is there, and what was refused is not.
    pub(crate) async fn keeps_its_word(&self, threads: &[&str]) {
        let db = Persistence::builder().backend(self.open().await).build().unwrap();
        let mut there = BTreeSet::new();
        for thread in threads {
            there.extend(ids(&db.thread(*thread)).await);
        }
        let lost: Vec<_> = self.acknowledged.difference(&there).collect();
        let made_up: Vec<_> = self.refused.intersection(&there).collect();
        assert!(lost.is_empty() && made_up.is_empty(), "lost: {lost:?}, there all the same: {made_up:?}");
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
