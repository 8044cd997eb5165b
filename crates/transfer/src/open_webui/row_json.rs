//! A row of the database as a JSON object, as an export has it.

use std::borrow::Cow;

use rusqlite::{Row, types::ValueRef};
use serde_json::value::RawValue;

use crate::object::quoted;

/// Columns of text. Other texts are JSON.
const TEXTS: [&str; 12] = [
    "id",
    "chat_id",
    "user_id",
    "title",
    "share_id",
    "folder_id",
    "summary",
    "current_message_id",
    "role",
    "parent_id",
    "model_id",
    "context_summary",
];
/// Columns of truth values, which SQLite keeps as numbers.
const FLAGS: [&str; 3] = ["archived", "pinned", "done"];
/// Columns of the table of messages whose names differ in a document.
const NAMES: [(&str, &str); 5] = [
    ("parent_id", "parentId"),
    ("model_id", "model"),
    ("status_history", "statusHistory"),
    ("context_summary", "contextSummary"),
    ("created_at", "timestamp"),
];

/// Returns the name of a column of the table of messages in a document; `None` for its keys, which a document does not have.
pub(super) fn name_in_document(column: &str) -> Option<&str> {
    if ["id", "chat_id"].contains(&column) {
        return None;
    }
    Some(NAMES.iter().find(|(name, _)| *name == column).map_or(column, |(_, name)| name))
}

/// An object that is being written.
#[derive(Debug, Default)]
pub(super) struct JsonObject(String);

impl JsonObject {
    pub(super) fn push(&mut self, name: &str, json: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&quoted(name));
        self.0.push(':');
        self.0.push_str(json);
    }

    /// Adds the values of a row: those of `columns` that have a name, from the value `first` on. It omits `NULL`.
    pub(super) fn push_row<'n>(
        &mut self,
        row: &Row<'_>,
        first: usize,
        columns: &'n [String],
        name: impl Fn(&'n str) -> Option<&'n str>,
    ) -> rusqlite::Result<()> {
        for (at, column) in columns.iter().enumerate() {
            if let Some(name) = name(column)
                && let Some(json) = json(column, row.get_ref(first + at)?)
            {
                self.push(name, &json);
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> String {
        if self.0.is_empty() { "{}".to_owned() } else { self.0 + "}" }
    }
}

/// Returns the value of a column as JSON; `None` for `NULL` in SQL and JSON, and for bytes, which Open WebUI does not write.
fn json<'a>(column: &str, value: ValueRef<'a>) -> Option<Cow<'a, str>> {
    match value {
        ValueRef::Null | ValueRef::Blob(_) => None,
        ValueRef::Integer(number) if FLAGS.contains(&column) => Some((number != 0).to_string().into()),
        ValueRef::Integer(number) => Some(number.to_string().into()),
        ValueRef::Real(number) => serde_json::to_string(&number).ok().map(Into::into),
        ValueRef::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            match serde_json::from_str::<&RawValue>(&text) {
                _ if TEXTS.contains(&column) => Some(quoted(&text).into()),
                Ok(json) if json.get() == "null" => None,
                Ok(_) => Some(text),
                Err(_) => Some(quoted(&text).into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_has_its_type() {
        for (column, value, due) in [
            ("title", ValueRef::Text(b"[1]"), Some("\"[1]\"")),
            ("meta", ValueRef::Text(b" {\"tags\":[1.10]} "), Some(" {\"tags\":[1.10]} ")),
            ("meta", ValueRef::Text(b"{torn"), Some("\"{torn\"")),
            ("content", ValueRef::Text(b"\"a\""), Some("\"a\"")),
            ("usage", ValueRef::Text(b"null"), None),
            ("pinned", ValueRef::Integer(1), Some("true")),
            ("done", ValueRef::Integer(0), Some("false")),
            ("created_at", ValueRef::Integer(7), Some("7")),
            ("created_at", ValueRef::Real(1.5), Some("1.5")),
            ("share_id", ValueRef::Null, None),
            ("chat", ValueRef::Blob(b"{}"), None),
            ("title", ValueRef::Text(b"\xff"), Some("\"\u{fffd}\"")),
        ] {
            assert_eq!(json(column, value).as_deref(), due, "{column}");
        }
        assert_eq!(JsonObject::default().finish(), "{}");
    }
}
