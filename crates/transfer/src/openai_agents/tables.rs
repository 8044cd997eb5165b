//! The tables of sessions in a file.

use rusqlite::Connection;

use super::{OpenAiAgents, branches};
use crate::{TransferError, sqlite_file};

/// The required columns of a table of messages.
pub(super) const REQUIRED: [&str; 4] = ["id", "session_id", "message_data", "created_at"];
/// The usual table of messages.
const MESSAGES: &str = "agent_messages";
/// The usual table of sessions.
const SESSIONS: &str = "agent_sessions";

/// A table of messages, and what belongs to it.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) messages: String,
    /// `None` if the file has no such table.
    pub(super) sessions: Option<String>,
    /// Whether the table of branches is about these messages.
    pub(super) has_branches: bool,
}

/// Returns the tables of a source, or the first reason why there are none.
pub(super) fn of(db: &Connection, source: &OpenAiAgents) -> Result<Vec<Tables>, TransferError> {
    let failed = sqlite_file::failed(&source.path);
    let names = match &source.tables {
        Some((_, messages)) => vec![messages.clone()],
        None => {
            let names = sqlite_file::tables_with(db, &REQUIRED).map_err(&failed)?;
            // The check below states what is missing.
            if names.is_empty() { vec![MESSAGES.to_owned()] } else { names }
        }
    };
    let owner = referenced(db, branches::TABLE, "message_id").map_err(&failed)?;
    let has_branches = !sqlite_file::columns(db, branches::TABLE).map_err(&failed)?.is_empty();
    let mut found = Vec::new();
    for messages in names {
        sqlite_file::check(&source.path, db, &messages, &REQUIRED)?;
        let sessions = match &source.tables {
            Some((sessions, _)) => sessions.clone(),
            None => {
                let sessions = referenced(db, &messages, "session_id").map_err(&failed)?;
                sessions.unwrap_or_else(|| SESSIONS.to_owned())
            }
        };
        let columns = sqlite_file::columns(db, &sessions).map_err(&failed)?;
        let sessions = sqlite_file::has(&columns, "session_id").then_some(sessions);
        // One table of branches is about one table of messages. Without a reference it is the only one.
        let is_owner = owner.as_ref().is_none_or(|owner| owner.eq_ignore_ascii_case(&messages));
        found.push(Tables { messages, sessions, has_branches: has_branches && is_owner });
    }
    Ok(found)
}

/// Returns the table that a column references.
fn referenced(db: &Connection, table: &str, column: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT \"table\" FROM pragma_foreign_key_list(?1) WHERE \"from\" = ?2 COLLATE NOCASE";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([table, column])?;
    rows.next()?.map(|row| row.get(0)).transpose()
}
