//! A legacy file, as its own program writes it.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params, types::Value};
use tempfile::TempDir;

pub(crate) const TABLE: &str = "CREATE TABLE projection_thread_messages (message_id TEXT PRIMARY KEY, \
    thread_id TEXT NOT NULL, turn_id TEXT, role TEXT NOT NULL, text TEXT NOT NULL, is_streaming INTEGER NOT NULL, \
    attachments_json TEXT, created_at TEXT NOT NULL, updated_at TEXT NOT NULL)";

pub(crate) struct Legacy {
    folder: TempDir,
    pub(crate) db: Connection,
}

#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) id: Value,
    pub(crate) thread: Value,
    pub(crate) turn: Value,
    pub(crate) role: Value,
    pub(crate) text: Value,
    pub(crate) streaming: Value,
    pub(crate) attachments: Value,
    pub(crate) created: Value,
    pub(crate) updated: Value,
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Returns a reply of the assistant, `second` seconds after the start.
pub(crate) fn row(thread: &str, id: &str, second: u32) -> Row {
    let at = text(&format!("2024-03-01T00:{:02}:{:02}.000Z", second / 60, second % 60));
    Row {
        id: text(id),
        thread: text(thread),
        turn: Value::Null,
        role: text("assistant"),
        text: text(&format!("text of {id}")),
        streaming: Value::Integer(0),
        attachments: Value::Null,
        created: at.clone(),
        updated: at,
    }
}

impl Legacy {
    pub(crate) fn new(table: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Connection::open(folder.path().join("state.sqlite")).unwrap();
        db.execute_batch(table).unwrap();
        Self { folder, db }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("state.sqlite")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn put(&self, row: Row) {
        let Row { id, thread, turn, role, text, streaming, attachments, created, updated } = row;
        self.db
            .execute(
                "INSERT INTO projection_thread_messages (message_id, thread_id, turn_id, role, text, is_streaming, \
                 attachments_json, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![id, thread, turn, role, text, streaming, attachments, created, updated],
            )
            .unwrap();
    }
}
