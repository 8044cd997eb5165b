//! One message of a thread, of any version.

use serde_json::value::RawValue;
use throughline_core::{Content, MessageId, Role, Timestamp, ids::AttachmentKey, messages::ImportRow};

use super::blocks::Blocks;
use crate::{FindingKind, object::Object, record};

/// The way in which a message is named.
#[derive(Debug, PartialEq)]
pub(super) enum Named {
    /// A user message, which has an id.
    User(String),
    /// A message of the older versions, which is numbered.
    Numbered(String),
    /// Any other message.
    Other,
}

/// Returns the way in which a message is named.
pub(super) fn named(json: &RawValue) -> Named {
    let Ok(message) = Object::read(json.get()) else { return Named::Other };
    if let Some(user) = message.raw("User").and_then(|user| Object::read(user.get()).ok()) {
        return user.get("id").map_or(Named::Other, Named::User);
    }
    match (message.get::<u64>("id"), message.raw("role")) {
        (Some(number), Some(_)) => Named::Numbered(format!("message-{number}")),
        _ => Named::Other,
    }
}

/// A message, with a warning if it has a defect.
type Read = (ImportRow, Option<FindingKind>);

/// Returns the message of a record, or the reason why it is kept as it is.
pub(super) fn row(id: &MessageId, json: &RawValue, time: Timestamp) -> Result<Read, FindingKind> {
    if let Ok(name) = serde_json::from_str::<String>(json.get()) {
        return match &*name {
            "Resume" => {
                let content = Content::from_json(r#"[{"type":"resume"}]"#).expect("a block");
                Ok((ImportRow::new(id.clone(), Role::User, content, time), None))
            }
            _ => Err(FindingKind::UnknownType(name)),
        };
    }
    let message = Object::read(json.get()).map_err(|_| FindingKind::NoObject)?;
    if message.raw("role").is_some() {
        return of_older(id, &message, time);
    }
    let mut fields = message.fields();
    let (Some((variant, value)), None) = (fields.next(), fields.next()) else {
        return Err(FindingKind::NoField("role"));
    };
    match variant {
        "User" => of_variant(id, Role::User, &["id", "content"], value, time),
        "Agent" => {
            of_variant(id, Role::Assistant, &["content", "tool_results", "reasoning_details"], value, time)
        }
        "Compaction" => Ok((ImportRow::new(id.clone(), Role::System, compaction(value), time), None)),
        other => Err(FindingKind::UnknownType(other.to_owned())),
    }
}

/// Returns a message of the version 0.3.
fn of_variant(
    id: &MessageId,
    role: Role,
    plain: &[&str],
    value: &RawValue,
    time: Timestamp,
) -> Result<Read, FindingKind> {
    let message = Object::read(value.get()).map_err(|_| FindingKind::NoObject)?;
    let mut blocks = Blocks::default();
    let Some(content) = message.raw("content") else { return Err(FindingKind::NoField("content")) };
    blocks.push_content(content).ok_or(FindingKind::WrongField("content"))?;
    if let Some(results) = message.raw("tool_results") {
        blocks.push_results(results).ok_or(FindingKind::WrongField("tool_results"))?;
    }
    let is_plain = message
        .fields()
        .all(|(name, value)| plain.contains(&name) && (name != "reasoning_details" || value.get() == "null"));
    Ok(finished(id, role, blocks, time, |row| {
        if !is_plain {
            record::keep(row, record::without(&message, &["content", "tool_results"]));
        }
    }))
}

/// Returns a message of the older versions.
fn of_older(id: &MessageId, message: &Object<'_>, time: Timestamp) -> Result<Read, FindingKind> {
    let name = message.get::<String>("role").unwrap_or_default();
    let role = Role::from_name(&name).ok_or(FindingKind::UnknownRole(name))?;
    let mut blocks = Blocks::default();
    if let Some(text) = message.raw("text") {
        blocks.push_text(text);
    }
    if let Some(segments) = message.raw("segments") {
        blocks.push_segments(segments).ok_or(FindingKind::WrongField("segments"))?;
    }
    let has_text = !blocks.is_empty();
    if let Some(uses) = message.raw("tool_uses") {
        blocks.push_each(uses, "tool_use").ok_or(FindingKind::WrongField("tool_uses"))?;
    }
    let has_uses = !blocks.is_empty();
    if let Some(results) = message.raw("tool_results") {
        blocks.push_each(results, "tool_result").ok_or(FindingKind::WrongField("tool_results"))?;
    }
    // The version 0.1 has the results as a user message of their own.
    let is_results = role == Role::User && !has_text && !has_uses && !blocks.is_empty();
    let role = if is_results { Role::Tool } else { role };
    Ok(finished(id, role, blocks, time, |row| {
        record::attach(row, message, "creases", &["label"]);
        record::keep(row, record::without(message, &["text", "segments", "tool_uses", "tool_results"]));
    }))
}

/// Returns a message with its blocks.
fn finished(
    id: &MessageId,
    role: Role,
    blocks: Blocks,
    time: Timestamp,
    finish: impl FnOnce(&mut ImportRow),
) -> Read {
    let (content, files, unknown) = blocks.finish();
    let mut row = ImportRow::new(id.clone(), role, content, time);
    for file in files {
        if let Ok(key) = AttachmentKey::new(file) {
            record::push_attachment(&mut row, key);
        }
    }
    finish(&mut row);
    (row, unknown.map(FindingKind::UnknownType))
}

/// Returns the summary of a compaction as text, and another compaction as a block.
fn compaction(value: &RawValue) -> Content {
    let summary = Object::read(value.get()).ok().and_then(|info| info.raw("Summary"));
    match summary.filter(|summary| summary.get().starts_with('"')) {
        Some(summary) => record::content(summary),
        None => Content::from_json(format!(r#"[{{"type":"compaction","compaction":{}}}]"#, value.get()))
            .expect("a block"),
    }
}
