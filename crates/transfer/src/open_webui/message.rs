//! One message of a chat.

use throughline_core::{Content, MessageId, Role, Timestamp, messages::ImportRow};

use super::{details, output};
use crate::{FindingKind, iso8601, object::Object, record};

/// The reason of an abandoned message.
const UNFINISHED: &str = "the answer was not finished";

/// Returns a time: seconds since 1970, or smaller units if the number is that large; or ISO 8601.
pub(super) fn time(object: &Object<'_>, field: &str) -> Option<Timestamp> {
    if let Some(text) = object.get::<String>(field) {
        return iso8601::parse(&text);
    }
    let number = object.get::<f64>(field)?;
    // The seconds of the year 5138 are milliseconds of 1973, and so on.
    let micros = match number.abs() {
        seconds if seconds < 1e11 => number * 1e6,
        millis if millis < 1e14 => number * 1e3,
        micros if micros < 1e17 => number,
        _ => number / 1e3,
    };
    let is_in_range = micros.abs() < 9e18;
    // Within the range of the type, so that nothing is cut off.
    is_in_range.then_some(Timestamp::from_micros(micros.round() as i64))
}

/// Returns the message of a record.
pub(super) fn row(
    id: MessageId,
    message: &Object<'_>,
    before: Timestamp,
) -> Result<(ImportRow, Option<FindingKind>), FindingKind> {
    let Some(name) = message.get::<String>("role") else { return Err(FindingKind::NoField("role")) };
    let Some(role) = Role::from_name(&name) else { return Err(FindingKind::UnknownRole(name)) };
    // The children are in the tree, and change when it grows.
    let mut taken = vec!["childrenIds", "done", "updated_at"];
    let content = content(message, &mut taken);
    let created_at = time(message, "timestamp");
    let mut row = ImportRow::new(id, role, content, created_at.unwrap_or(before));
    row.updated_at = time(message, "updated_at").unwrap_or(row.created_at).max(row.created_at);
    if role == Role::Assistant && message.get("done") == Some(false) {
        row.abandoned = Some(Some(UNFINISHED.to_owned()));
    }
    record::attach(&mut row, message, "files", &["name", "filename"]);
    record::keep(&mut row, record::without(message, &taken));
    Ok((row, created_at.is_none().then_some(FindingKind::NoTime("timestamp"))))
}

/// Returns the content of a message, and adds the fields that it has to `taken`.
fn content(message: &Object<'_>, taken: &mut Vec<&str>) -> Content {
    let some =
        |field| message.raw(field).filter(|value| !matches!(value.get(), "null" | "\"\"" | "[]" | "false"));
    let (value, text) = (some("content"), message.get::<String>("content"));
    if let Some(blocks) = some("output").and_then(output::blocks) {
        taken.push("output");
        if value.is_none() || text.is_some_and(|text| details::has_same_text(&text, &blocks)) {
            taken.push("content");
        }
        return blocks;
    }
    taken.push("content");
    match (value, some("error")) {
        (Some(value), _) => {
            text.and_then(|text| details::blocks(&text)).unwrap_or_else(|| record::content(value))
        }
        (None, Some(error)) => {
            let block = format!(r#"[{{"type":"error","error":{}}}]"#, error.get());
            Content::from_json(block).expect("a block")
        }
        (None, None) => Content::empty(),
    }
}
