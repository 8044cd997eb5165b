//! The table and the statement that the drivers use alone.

/// Messages with an id and a sequence number in their thread, and a unique index for each.
pub(crate) const SCHEMA: &str = "CREATE TABLE messages (
    message_pk INTEGER PRIMARY KEY,
    thread_pk INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    role TEXT NOT NULL,
    state TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    content TEXT NOT NULL,
    UNIQUE (thread_pk, message_id),
    UNIQUE (thread_pk, seq)
) STRICT";

pub(crate) const INSERT: &str = "INSERT INTO messages
    (thread_pk, message_id, seq, role, state, revision, created_at, updated_at, metadata, content)
    VALUES (?1, ?2, ?3, 'user', 'final', 1, 0, 0, '{}', ?4)";
