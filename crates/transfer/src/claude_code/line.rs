//! The meaning of one line of a log, and its message.

use std::borrow::Cow;

use serde::Serialize;
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

/// The meaning of a line. It borrows from the line, because the first pass needs no content.
#[derive(Debug)]
pub(super) enum Meaning<'a> {
    /// A message.
    Message(Body<'a>),
    /// A title, with its preference.
    Title(u8, String),
    /// A record that is no message.
    Omitted(Cow<'a, str>),
    /// A record that is kept as it is, and the reason.
    Kept(FindingKind),
}

/// The message of a line.
#[derive(Debug)]
pub(super) struct Body<'a> {
    kind: Kind,
    /// The value that becomes the content.
    value: &'a RawValue,
    /// The object of the line that has this value, if it is not the line itself.
    message: Option<Object<'a>>,
}

/// The type of a line with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    User,
    Assistant,
    System,
    Attachment,
}

impl<'a> Meaning<'a> {
    pub(super) fn of(line: &Object<'a>) -> Self {
        let kind = line.str("type").unwrap_or_default();
        let title = |field, rank| match line.get::<String>(field) {
            Some(text) => Self::Title(rank, text),
            None => Self::Kept(FindingKind::WrongField(field)),
        };
        let of_field = |kind, field| match line.raw(field) {
            Some(value) => Self::Message(Body { kind, value, message: None }),
            None => Self::Kept(FindingKind::NoField(field)),
        };
        match &*kind {
            "user" => Self::of_message(line, Kind::User),
            "assistant" => Self::of_message(line, Kind::Assistant),
            "system" => of_field(Kind::System, "content"),
            "attachment" => of_field(Kind::Attachment, "attachment"),
            "custom-title" => title("customTitle", 3),
            "ai-title" => title("aiTitle", 2),
            "summary" => title("summary", 1),
            other if OMITTED.contains(&other) => Self::Omitted(kind),
            _ => Self::Kept(FindingKind::UnknownType(kind.into_owned())),
        }
    }

    fn of_message(line: &Object<'a>, kind: Kind) -> Self {
        let Some(message) = line.raw("message") else { return Self::Kept(FindingKind::NoField("message")) };
        let Ok(message) = Object::read(message.get()) else {
            return Self::Kept(FindingKind::WrongField("message"));
        };
        let Some(value) = message.raw("content") else {
            return Self::Kept(FindingKind::NoField("message.content"));
        };
        Self::Message(Body { kind, value, message: Some(message) })
    }
}

impl Body<'_> {
    fn role(&self) -> Role {
        match self.kind {
            Kind::Assistant => Role::Assistant,
            Kind::System => Role::System,
            Kind::User if is_tool_result(self.value) => Role::Tool,
            Kind::User | Kind::Attachment => Role::User,
        }
    }

    fn content(&self) -> Content {
        #[derive(Serialize)]
        struct Attachment<'a> {
            #[serde(rename = "type")]
            kind: &'static str,
            attachment: &'a RawValue,
        }
        if self.kind != Kind::Attachment {
            return record::content(self.value);
        }
        let block = Attachment { kind: "attachment", attachment: self.value };
        Content::from_blocks(&[block]).expect("an array of JSON")
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
    iso8601::parse(&line.str("timestamp")?)
}

/// Returns the id of a line: its `uuid`, or one that is made of its bytes. A kept record has no other, so that it does
/// not take the `uuid` of the message that repairs it.
pub(super) fn id(line: &Object<'_>, meaning: &Meaning<'_>) -> MessageId {
    let uuid = match meaning {
        Meaning::Message(_) => line.str("uuid").and_then(|uuid| MessageId::new(&*uuid).ok()),
        _ => None,
    };
    uuid.unwrap_or_else(|| record::id_of(line.text()))
}

/// Returns the message of a line; `None` for a line that is none.
pub(super) fn row(line: &Object<'_>, meaning: Meaning<'_>, time: Timestamp) -> Option<ImportRow> {
    let id = id(line, &meaning);
    let body = match meaning {
        Meaning::Message(body) => body,
        Meaning::Kept(_) => return Some(record::kept_whole(id, line.text(), time)),
        Meaning::Title(..) | Meaning::Omitted(_) => return None,
    };
    let mut row = ImportRow::new(id, body.role(), body.content(), time);
    row.attachments = attachments(line);
    record::keep(&mut row, rest(line, body.message));
    Some(row)
}

/// Returns the names of attached files.
fn attachments(line: &Object<'_>) -> Vec<AttachmentKey> {
    let attachment = line.raw("attachment").and_then(|attachment| Object::read(attachment.get()).ok());
    let name = |field| attachment.as_ref()?.get::<String>(field);
    let name = ["filename", "displayPath", "path"].into_iter().find_map(name);
    name.and_then(|name| AttachmentKey::new(name).ok()).into_iter().collect()
}

/// Returns the line with `null` in place of its content. `message` is the object `message` of the line if it was read.
fn rest<'a>(line: &Object<'a>, message: Option<Object<'a>>) -> String {
    let message = message.or_else(|| Object::read(line.raw("message")?.get()).ok());
    match message.filter(|message| message.raw("content").is_some()) {
        Some(message) => line.with("message", &message.with("content", "null")),
        None => record::without(line, &["content", "attachment"]),
    }
}
