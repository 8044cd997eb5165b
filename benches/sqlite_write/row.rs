//! What the drivers write by themselves.

/// About the size of a turn of a conversation.
pub(crate) const TEXT: &str = "The dummy variable consumes the newline that is left in the input after the number was read. \
    Reading a number stops at the first character that cannot belong to it, and that character is the end of the line, \
    which the next reading of a whole line would take for an empty line. Declaring a variable for the only purpose of \
    throwing its value away is common in short programs; a longer one would rather ask the stream to ignore everything \
    up to and including the end of the line, which says what is meant, needs no variable, and also copes with blanks \
    after the number, which the variable would silently swallow together with the rest of the line.";

/// A message with an id of its own, its place in its thread, and the two indexes that this needs.
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
