//! One message of a conversation.

use throughline_core::{MessageId, Role, Timestamp, messages::ImportRow};

use crate::{FindingKind, iso8601, object::Object, record};

/// Returns a time of a conversation or a message.
pub(super) fn time(object: &Object<'_>, field: &str) -> Option<Timestamp> {
    iso8601::parse(&object.get::<String>(field)?)
}

/// Returns the message of a record.
pub(super) fn row(
    id: MessageId,
    message: &Object<'_>,
    before: Timestamp,
) -> Result<(ImportRow, Option<FindingKind>), FindingKind> {
    let Some(sender) = message.get::<String>("sender") else { return Err(FindingKind::NoField("sender")) };
    let role = match &*sender {
        "human" => Role::User,
        other => Role::from_name(other).ok_or(FindingKind::UnknownRole(sender))?,
    };
    let blocks = message.raw("content").filter(|content| {
        content.get().strip_prefix('[').is_some_and(|inside| !inside.trim_start().starts_with(']'))
    });
    let Some(value) = blocks.or_else(|| message.raw("text")) else {
        return Err(FindingKind::NoField("content"));
    };
    let created_at = time(message, "created_at");
    let mut row = ImportRow::new(id, role, record::content(value), created_at.unwrap_or(before));
    row.updated_at = time(message, "updated_at").unwrap_or(row.created_at).max(row.created_at);
    for list in ["attachments", "files"] {
        record::attach(&mut row, message, list, &["file_name"]);
    }
    let text = message.get::<String>("text").unwrap_or_default();
    let is_repeated = blocks.is_none() || is_same_text(&text, &row.content.plain_text(usize::MAX));
    let mut taken = vec!["content"];
    if is_repeated {
        taken.push("text");
    }
    // A later export can have another time of change for the same message.
    if time(message, "updated_at").is_some() {
        taken.push("updated_at");
    }
    record::keep(&mut row, record::without(message, &taken));
    Ok((row, created_at.is_none().then_some(FindingKind::NoTime("created_at"))))
}

/// Whether two texts have the same words, whatever whitespace is between them.
fn is_same_text(a: &str, b: &str) -> bool {
    a.split_whitespace().eq(b.split_whitespace())
}
