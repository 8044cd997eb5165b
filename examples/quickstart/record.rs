//! Parses one record of the input: a turn of a session log, or a whole chat. The fields of the record decide which.
//!
//! Content stays raw JSON. A tree of values would lose the difference between `1.10` and `1.1`, large integers,
//! duplicate keys, and unpaired surrogates.

use serde::Deserialize;
use serde_json::value::RawValue;
use throughline::Role;

use crate::{
    skipped::{self, Defect},
    transcript::{Block, TurnContent},
};

/// One parsed record.
pub(crate) enum Record {
    /// A turn of a coding agent's session.
    Turn {
        session: String,
        /// Whether the turn belongs to a side conversation, such as that of a sub-agent.
        is_side: bool,
        uuid: String,
        role: Role,
        content: TurnContent,
    },
    /// A complete chat.
    Chat { id: String, turns: Vec<(Role, TurnContent)> },
    /// A record of a session that is not a turn, such as a summary.
    NoTurn,
}

/// The fields of both kinds of record. They are raw JSON, so that a malformed field that is not used cannot fail the record.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow, rename = "sessionId")]
    session: Option<&'a RawValue>,
    #[serde(borrow, rename = "isSidechain")]
    side: Option<&'a RawValue>,
    #[serde(borrow)]
    uuid: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    conversations: Option<&'a RawValue>,
}

/// The `message` field of a session's record.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Option<&'a RawValue>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// One element of the `conversations` of a chat.
#[derive(Deserialize)]
struct ChatTurn<'a> {
    #[serde(borrow)]
    from: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
}

/// Parses one line. Returns the reason if the line is not a valid record.
pub(crate) fn parse(line: &[u8], is_unfinished: bool) -> Result<Record, Defect> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Err(Defect::new(skipped::Kind::Blank, "a blank line"));
    }
    let text = str::from_utf8(line).map_err(|error| {
        let from = error.valid_up_to() + 1;
        Defect::new(skipped::Kind::NotUtf8, format!("not UTF-8 from byte {from} on"))
    })?;
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| {
        let is_cut_off = is_unfinished && error.is_eof();
        let kind = if is_cut_off { skipped::Kind::CutOff } else { skipped::Kind::NotJson };
        Defect::new(kind, format!("{kind}: {}", reason(&error)))
    })?;
    record(whole)
}

/// Parses one JSON value. Returns the reason if the value is not a valid record.
pub(crate) fn record(whole: &RawValue) -> Result<Record, Defect> {
    let text = whole.get();
    if kind_of(whole) != Kind::Object {
        return Err(format!("expected an object, found {}", kind_of(whole).name()).into());
    }
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|error| reason(&error))?;
    let record = match (fields.conversations, fields.kind) {
        (Some(conversations), _) => chat(&fields, conversations),
        (None, Some(_)) => turn(&fields),
        (None, None) => Err("neither a turn (no `type`) nor a chat (no `conversations`)".to_owned()),
    };
    record.map_err(Defect::from)
}

fn turn(fields: &Fields<'_>) -> Result<Record, String> {
    let kind = text(fields.kind, "type")?;
    let (Some(speaker), "user" | "assistant") = (Role::from_name(&kind), kind.as_str()) else {
        return Ok(Record::NoTurn);
    };
    let message = fields.message.ok_or("no `message`")?;
    let (role, content) = match kind_of(message) {
        Kind::String => (speaker, message),
        Kind::Object => {
            let message: Message<'_> = serde_json::from_str(message.get()).map_err(|error| reason(&error))?;
            let role = match message.role {
                None => speaker,
                role => {
                    let name = text(role, "role")?;
                    Role::from_name(&name).ok_or_else(|| format!("no role is called {}", shortened(&name)))?
                }
            };
            (role, message.content.ok_or("no `content` in the `message`")?)
        }
        other => return Err(format!("`message` is {}", other.name())),
    };
    Ok(Record::Turn {
        session: text(fields.session, "sessionId")?,
        is_side: fields.side.is_some_and(|side| side.get() == "true"),
        uuid: text(fields.uuid, "uuid")?,
        role,
        content: turn_content(role, content)?,
    })
}

fn chat(fields: &Fields<'_>, conversations: &RawValue) -> Result<Record, String> {
    let turns: Vec<&RawValue> = serde_json::from_str(conversations.get())
        .map_err(|_| format!("`conversations` is {}", kind_of(conversations).name()))?;
    if turns.is_empty() {
        return Err("a chat without turns".to_owned());
    }
    let turns = turns
        .iter()
        .enumerate()
        .map(|(at, turn)| chat_turn(turn).map_err(|reason| format!("turn {} of the chat: {reason}", at + 1)));
    Ok(Record::Chat { id: text(fields.id, "id")?, turns: turns.collect::<Result<_, _>>()? })
}

fn chat_turn(turn: &RawValue) -> Result<(Role, TurnContent), String> {
    if kind_of(turn) != Kind::Object {
        return Err(format!("expected an object, found {}", kind_of(turn).name()));
    }
    let turn: ChatTurn<'_> = serde_json::from_str(turn.get()).map_err(|error| reason(&error))?;
    let from = text(turn.from, "from")?;
    let role = match from.as_str() {
        "human" | "user" => Role::User,
        // Names of models and products that some converters write instead of `gpt`.
        "gpt" | "assistant" | "chatgpt" | "bing" | "bard" | "bot" | "model" => Role::Assistant,
        "system" => Role::System,
        "tool" | "function" => Role::Tool,
        other => return Err(format!("unknown speaker {}", shortened(other))),
    };
    let value = turn.value.filter(|value| kind_of(value) == Kind::String).ok_or("no text as its `value`")?;
    Ok((role, turn_content(role, value)?))
}

/// Returns the content of a turn. The assistant's content is streamed block by block; every other role's is added at once.
fn turn_content(role: Role, content: &RawValue) -> Result<TurnContent, String> {
    let blocks = match kind_of(content) {
        Kind::Array => content.get().to_owned(),
        // A string becomes one text block; its JSON is kept byte for byte.
        Kind::String => format!(r#"[{{"type":"text","text":{}}}]"#, content.get()),
        other => return Err(format!("`content` is {}", other.name())),
    };
    if role != Role::Assistant {
        return Ok(TurnContent::Whole(blocks));
    }
    let blocks: Vec<&RawValue> = serde_json::from_str(&blocks).map_err(|error| reason(&error))?;
    Ok(TurnContent::Streamed(blocks.into_iter().map(Block::read).collect()))
}

fn text(field: Option<&RawValue>, name: &str) -> Result<String, String> {
    let field = field.ok_or_else(|| format!("no `{name}`"))?;
    serde_json::from_str(field.get()).map_err(|_| match kind_of(field) {
        Kind::String => format!("`{name}` is not valid text"),
        other => format!("`{name}` is {}", other.name()),
    })
}

/// The kind of a JSON value, derived from its first byte.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        }
    }
}

fn kind_of(value: &RawValue) -> Kind {
    match value.get().as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') => Kind::Null,
        _ => Kind::Number,
    }
}

/// Returns serde's message without its line number, which is always 1 here.
pub(crate) fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let detail = message.split(" at line ").next().unwrap_or_default();
    format!("{} at column {}", shortened(detail), error.column())
}

/// Shortens a text to at most 60 characters, so that a reason fits on one line.
fn shortened(text: &str) -> String {
    let short: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() { format!("{short}…") } else { short }
}
