//! One message of a conversation.

use throughline_core::{MessageId, Role, Timestamp, messages::ImportRow};

use crate::{FindingKind, iso8601, object::Object, record};

/// Returns a time of a message.
pub(super) fn time(object: &Object<'_>, field: &str) -> Option<Timestamp> {
    iso8601::parse(&object.get::<String>(field)?)
}

/// Returns the message of a record.
pub(super) fn row(
    id: MessageId,
    message: &Object<'_>,
    before: Timestamp,
) -> Result<(ImportRow, Option<FindingKind>), FindingKind> {
    let sender = message.get::<String>("sender");
    let role = match (message.get::<bool>("isCreatedByUser"), sender.as_deref()) {
        (Some(true), _) | (None, Some("User")) => Role::User,
        (Some(false), _) | (None, Some(_)) => Role::Assistant,
        (None, None) => return Err(FindingKind::NoField("isCreatedByUser")),
    };
    let blocks = message.raw("content").filter(|content| {
        content.get().strip_prefix('[').is_some_and(|inside| !inside.trim_start().starts_with(']'))
    });
    let text = message.raw("text").filter(|text| text.get().starts_with('"'));
    let Some(value) = blocks.or(text) else { return Err(FindingKind::NoField("text")) };
    let created_at = time(message, "createdAt");
    let mut row = ImportRow::new(id, role, record::content(value), created_at.unwrap_or(before));
    let updated_at = time(message, "updatedAt");
    row.updated_at = updated_at.unwrap_or(row.created_at).max(row.created_at);
    for list in ["files", "attachments"] {
        record::attach(&mut row, message, list, &["filename"]);
    }
    let mut taken = vec![if blocks.is_some() { "content" } else { "text" }, "children"];
    // A later export can have another time of change for the same message.
    if updated_at.is_some() {
        taken.push("updatedAt");
    }
    record::keep(&mut row, record::without(message, &taken));
    Ok((row, created_at.is_none().then_some(FindingKind::NoTime("createdAt"))))
}
