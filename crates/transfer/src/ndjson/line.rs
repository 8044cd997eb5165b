//! The lines of the native format.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use throughline_core::{
    Labels, Message, MessageState, Metadata, NewThread, OwnerId, ThreadId, Timestamp, Title,
    messages::{ImportRow, Origin},
    threads::{ForkPoint, ThreadSummary},
};

use crate::object::quoted;

/// The name of the format in the first line.
pub(super) const NAME: &str = "ndjson";

/// The first line of a file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    /// [`NAME`].
    pub(super) throughline: String,
    pub(super) version: u64,
}

/// A thread, before its messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThreadLine {
    pub(super) id: ThreadId,
    #[serde(default, skip_serializing_if = "Title::is_untitled")]
    pub(super) title: Title,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<OwnerId>,
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub(super) labels: Labels,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub(super) metadata: Metadata,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) archived: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) reuses_ids: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) forked_from: Option<ForkPoint>,
    pub(super) created_at: Timestamp,
}

impl ThreadLine {
    pub(super) fn of(thread: &ThreadSummary) -> Self {
        Self {
            id: thread.thread.clone(),
            title: thread.title.clone(),
            owner: thread.owner.clone(),
            labels: thread.labels.clone(),
            metadata: thread.metadata.clone(),
            archived: thread.archived,
            reuses_ids: thread.reuses_ids,
            forked_from: thread.forked_from.as_deref().cloned(),
            created_at: thread.created_at,
        }
    }

    pub(super) fn into_new(self) -> NewThread {
        let mut new = NewThread::new()
            .with_id(self.id)
            .with_title(self.title)
            .with_labels(self.labels)
            .with_metadata(self.metadata)
            .created_at(self.created_at);
        if let Some(owner) = self.owner {
            new = new.with_owner(owner);
        }
        if let Some(point) = self.forked_from {
            new = new.forked_from(point);
        }
        if self.reuses_ids {
            new = new.reusing_ids();
        }
        new
    }

    /// Returns the line. JSON with line breaks becomes a string.
    pub(super) fn to_line(&self) -> String {
        format!(r#"{{"thread":{}}}"#, one_line(self))
    }
}

/// Returns the line of a message. An open message has its state; it is no message to import.
pub(super) fn message_line(message: &Message, aliases: &[Origin]) -> String {
    let row = ImportRow::of(message.clone());
    let (json, state) = match row {
        Some(row) => (one_line(&row.with_origin(aliases.first().cloned().unwrap_or_default())), None),
        None => {
            let settled = Message { state: MessageState::Final, ..message.clone() };
            (one_line(&ImportRow::of(settled).expect("a final message")), Some(message.state.as_str()))
        }
    };
    let state = state.map_or_else(String::new, |state| format!(r#""state":"{state}","#));
    let aliases = match aliases {
        [] | [_] => String::new(),
        [_, more @ ..] => {
            format!(r#""aliases":{},"#, serde_json::to_string(more).expect("ids serialize"))
        }
    };
    format!(r#"{{{state}{aliases}"message":{json}}}"#)
}

/// Returns the message of a line that has no other field. `None` for any other line, also for a message in a string.
pub(super) fn message(line: &[u8]) -> Option<ImportRow> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct MessageLine {
        message: ImportRow,
    }
    let text = str::from_utf8(line).ok()?;
    // A struct can also be read from an array.
    let line: MessageLine = serde_json::from_str(text).ok().filter(|_| text.trim_start().starts_with('{'))?;
    Some(line.message)
}

/// Returns a value as JSON without line breaks, or as a JSON string of its JSON.
fn one_line(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).expect("it serializes");
    if json.contains(['\n', '\r']) { quoted(&json) } else { json }
}

/// Returns the JSON of a value, which can be in a string.
pub(super) fn unquoted(json: &str) -> Option<Cow<'_, str>> {
    if json.starts_with('"') { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(json.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_with_a_message_and_nothing_else_is_read_in_one_pass() {
        let json = r#"{"id":"m","role":"user","content":[{"n":1.10}],"createdAt":8,"updatedAt":8}"#;
        let row: ImportRow = serde_json::from_str(json).unwrap();
        let line = format!(" {{ \"message\" : {json} }}\r\n");
        assert_eq!(message(line.as_bytes()), Some(row));
        for other in [
            format!(r#"{{"state":"streaming","message":{json}}}"#),
            format!(r#"{{"message":{json},"message":{json}}}"#),
            format!(r#"{{"message":{}}}"#, quoted(json)),
            format!("[{json}]"),
            format!(r#"{{"message":{json}}}}}"#),
            r#"{"message":{"id":"m"}}"#.to_owned(),
            String::new(),
        ] {
            assert_eq!(message(other.as_bytes()), None, "{other}");
        }
        assert_eq!(message(b"{\"message\":\"\xff\"}"), None);
    }
}
