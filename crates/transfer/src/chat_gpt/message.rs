//! The message of one node.

use serde_json::value::RawValue;
use throughline_core::{Content, MessageId, Role, Timestamp, messages::ImportRow};

use crate::{
    FindingKind,
    object::{Object, each_element},
    record,
};

/// Returns a time in seconds since 1970, which can have a fraction.
pub(super) fn time(object: &Object<'_>, field: &str) -> Option<Timestamp> {
    let micros = (object.get::<f64>(field)? * 1e6).round();
    let is_in_range = micros.abs() < 9e18;
    // Within the range of the type, so that nothing is cut off.
    is_in_range.then_some(Timestamp::from_micros(micros as i64))
}

/// Returns the message of a node, or the reason why it is kept as it is. `before` is the time of the message before it.
pub(super) fn row(
    id: MessageId,
    message: &Object<'_>,
    before: Timestamp,
) -> Result<(ImportRow, Option<FindingKind>), FindingKind> {
    let author = message.raw("author").and_then(|author| Object::read(author.get()).ok());
    let Some(name) = author.and_then(|author| author.get::<String>("role")) else {
        return Err(FindingKind::NoField("author.role"));
    };
    let Some(role) = Role::from_name(&name) else { return Err(FindingKind::UnknownRole(name)) };
    let Some(content) = message.raw("content") else { return Err(FindingKind::NoField("content")) };
    let created_at = time(message, "create_time").unwrap_or(before);
    let mut row = ImportRow::new(id, role, blocks(content), created_at);
    row.updated_at = time(message, "update_time").unwrap_or(created_at).max(created_at);
    let metadata = message.raw("metadata").and_then(|metadata| Object::read(metadata.get()).ok());
    if let Some(metadata) = metadata {
        record::attach(&mut row, &metadata, "attachments", &["name"]);
    }
    record::keep(&mut row, record::without(message, &["content"]));
    Ok((row, None))
}

/// Returns the parts of a content as blocks. A content without parts, such as code, is a block itself.
fn blocks(content: &RawValue) -> Content {
    let object = Object::read(content.get()).ok();
    let kind = object.as_ref().and_then(|object| object.get::<String>("content_type"));
    let is_plain = kind.is_some_and(|kind| kind == "text" || kind == "multimodal_text");
    let parts = object.and_then(|object| object.raw("parts")).filter(|parts| parts.get().starts_with('['));
    let Some(parts) = parts.filter(|_| is_plain) else { return record::content(content) };
    let mut blocks = String::from("[");
    let read = each_element(parts, |part| {
        if blocks.len() > 1 {
            blocks.push(',');
        }
        let part = part.get();
        if part.starts_with('"') {
            blocks.push_str(r#"{"type":"text","text":"#);
            blocks.push_str(part);
            blocks.push('}');
        } else {
            blocks.push_str(part);
        }
    });
    debug_assert!(read.is_ok(), "it was read as JSON");
    blocks.push(']');
    Content::from_json(blocks).expect("an array of JSON")
}
