//! The meaning of one line of a log, and its message.

use serde_json::value::RawValue;
use throughline_core::{Content, MessageId, Role, Timestamp, ids::AttachmentKey, messages::ImportRow};

use crate::{FindingKind, iso8601, object::Object, record};

/// Types of lines that are no messages.
const OMITTED: [&str; 11] = [
    "file-history-snapshot",
    "queue-operation",
    "progress",
    "last-prompt",
    "mode",
    "permission-mode",
    "agent-name",
    "agent-color",
    "agent-setting",
    "tag",
    "pr-link",
];

/// The meaning of a line.
#[derive(Debug, PartialEq)]
pub(super) enum Meaning {
    /// A message, with the content of its line.
    Message(Role, Content),
    /// A title, with its preference.
    Title(u8, String),
    /// A record that is no message.
    Omitted(String),
    /// A record that is kept as it is, and the reason.
    Kept(FindingKind),
}

impl Meaning {
    pub(super) fn of(line: &Object<'_>) -> Self {
        let kind = line.get::<String>("type").unwrap_or_default();
        let title = |field, rank| match line.get::<String>(field) {
            Some(text) => Self::Title(rank, text),
            None => Self::Kept(FindingKind::WrongField(field)),
        };
        match &*kind {
            "user" | "assistant" => Self::of_message(line, &kind),
            "system" => match line.raw("content") {
                Some(content) => Self::Message(Role::System, record::content(content)),
                None => Self::Kept(FindingKind::NoField("content")),
            },
            "attachment" => match line.raw("attachment") {
                Some(attachment) => {
                    let block = format!(r#"[{{"type":"attachment","attachment":{}}}]"#, attachment.get());
                    Self::Message(Role::User, Content::from_json(block).expect("an array of JSON"))
                }
                None => Self::Kept(FindingKind::NoField("attachment")),
            },
            "custom-title" => title("customTitle", 3),
            "ai-title" => title("aiTitle", 2),
            "summary" => title("summary", 1),
            other if OMITTED.contains(&other) => Self::Omitted(kind),
            _ => Self::Kept(FindingKind::UnknownType(kind)),
        }
    }

    fn of_message(line: &Object<'_>, kind: &str) -> Self {
        let Some(message) = line.raw("message") else { return Self::Kept(FindingKind::NoField("message")) };
        let Ok(message) = Object::read(message.get()) else {
            return Self::Kept(FindingKind::WrongField("message"));
        };
        let Some(content) = message.raw("content") else {
            return Self::Kept(FindingKind::NoField("message.content"));
        };
        let role = match kind {
            "assistant" => Role::Assistant,
            _ if is_tool_result(content) => Role::Tool,
            _ => Role::User,
        };
        Self::Message(role, record::content(content))
    }
}

/// Whether a content consists of tool results only.
fn is_tool_result(content: &RawValue) -> bool {
    #[derive(serde::Deserialize)]
    struct Block<'a> {
        #[serde(borrow, rename = "type")]
        kind: std::borrow::Cow<'a, str>,
    }
    // The error for a text would quote all of it.
    if !content.get().starts_with('[') {
        return false;
    }
    let blocks = serde_json::from_str::<Vec<Block<'_>>>(content.get());
    blocks.is_ok_and(|blocks| !blocks.is_empty() && blocks.iter().all(|block| block.kind == "tool_result"))
}

/// Returns the time of a line.
pub(super) fn time(line: &Object<'_>) -> Option<Timestamp> {
    iso8601::parse(&line.get::<String>("timestamp")?)
}

/// Returns the id of a line: its `uuid`, or one that is made of its bytes. A kept record has no other, so that it does
/// not take the `uuid` of the message that repairs it.
pub(super) fn id(line: &Object<'_>, meaning: &Meaning) -> MessageId {
    let uuid = line.get::<String>("uuid").and_then(|uuid| MessageId::new(uuid).ok());
    match (meaning, uuid) {
        (Meaning::Message(..), Some(uuid)) => uuid,
        _ => record::id_of(line.text()),
    }
}

/// Returns the message of a line; `None` for a line that is none.
pub(super) fn row(line: &Object<'_>, meaning: Meaning, time: Timestamp) -> Option<ImportRow> {
    let id = id(line, &meaning);
    let (role, content) = match meaning {
        Meaning::Message(role, content) => (role, content),
        Meaning::Kept(_) => return Some(record::kept_whole(id, line.text(), time)),
        Meaning::Title(..) | Meaning::Omitted(_) => return None,
    };
    let mut row = ImportRow::new(id, role, content, time);
    row.attachments = attachments(line);
    record::keep(&mut row, rest(line));
    Some(row)
}

/// Returns the names of attached files.
fn attachments(line: &Object<'_>) -> Vec<AttachmentKey> {
    let attachment = line.raw("attachment").and_then(|attachment| Object::read(attachment.get()).ok());
    let name = |field| attachment.as_ref()?.get::<String>(field);
    let name = ["filename", "displayPath", "path"].into_iter().find_map(name);
    name.and_then(|name| AttachmentKey::new(name).ok()).into_iter().collect()
}

/// Returns the line with `null` in place of its content.
fn rest(line: &Object<'_>) -> String {
    let message = line.raw("message").and_then(|message| Object::read(message.get()).ok());
    match message.filter(|message| message.raw("content").is_some()) {
        Some(message) => line.with("message", &message.with("content", "null")),
        None => record::without(line, &["content", "attachment"]),
    }
}
