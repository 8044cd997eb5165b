use rusqlite::{Row, types::ValueRef};
use serde_json::value::RawValue;
use throughline_core::{
    Content, MessageId, Metadata, Role, Timestamp,
    ids::{AttachmentKey, TurnId},
    messages::ImportRow,
};

use super::StreamingRows;
use crate::{FindingKind, iso8601, sqlite_file::text};

/// Returns the time of a column: ISO 8601, or whole milliseconds. A text column stores a number as text.
pub(super) fn time(value: ValueRef<'_>, column: &'static str) -> Result<Timestamp, FindingKind> {
    let of_millis = |millis: i64| millis.checked_mul(1000).map(Timestamp::from_micros);
    let time = match value {
        ValueRef::Text(text) => str::from_utf8(text).ok().and_then(|text| match text.parse() {
            Ok(millis) => of_millis(millis),
            Err(_) => iso8601::parse(text),
        }),
        ValueRef::Integer(millis) => of_millis(millis),
        _ => None,
    };
    time.ok_or(FindingKind::NoTime(column))
}

/// Creates the message of a row with the columns of [`REQUIRED`](super::columns::REQUIRED), followed by the others.
pub(super) fn message(
    row: &Row<'_>,
    others: &[String],
    streaming: StreamingRows,
) -> rusqlite::Result<Result<ImportRow, FindingKind>> {
    let mut values = Vec::with_capacity(9 + others.len());
    for column in 0..9 + others.len() {
        values.push(row.get_ref(column)?);
    }
    Ok(make(&values, others, streaming))
}

fn make(
    values: &[ValueRef<'_>],
    others: &[String],
    streaming: StreamingRows,
) -> Result<ImportRow, FindingKind> {
    let id = MessageId::new(text(values[0], "message_id")?).map_err(FindingKind::InvalidId)?;
    let role = text(values[3], "role")?;
    let role = Role::from_name(role).ok_or_else(|| FindingKind::UnknownRole(role.to_owned()))?;
    let content = Content::text(text(values[4], "text")?);
    let created_at = time(values[7], "created_at")?;
    let updated_at = time(values[8], "updated_at")?;
    let is_streaming = match values[5] {
        ValueRef::Integer(flag) => flag != 0,
        ValueRef::Null => false,
        _ => return Err(FindingKind::NoValue { column: "is_streaming", expected: "whole number" }),
    };
    let mut row = ImportRow { updated_at, ..ImportRow::new(id, role, content, created_at) };
    if is_streaming && streaming == StreamingRows::Abandoned {
        row.abandoned = Some(Some(StreamingRows::REASON.to_owned()));
    }
    attach(&mut row, values[6])?;
    turn(&mut row, values[2]);
    for (name, value) in others.iter().zip(&values[9..]) {
        if let Some(value) = json(*value) {
            row.metadata.set_raw(key_of(&row.metadata, name), value);
        }
    }
    Ok(row)
}

/// Returns the metadata key of an unknown column, which must differ from the keys of the known columns.
fn key_of(metadata: &Metadata, column: &str) -> String {
    let key = format!("legacy.{column}");
    if metadata.get(&key).is_none() { key } else { format!("legacy.column.{column}") }
}

/// Sets the turn of the message, or keeps the value in metadata if it is no turn id.
fn turn(row: &mut ImportRow, value: ValueRef<'_>) {
    match text(value, "turn_id").map(TurnId::new) {
        Ok(Ok(turn)) => row.origin.turn = Some(turn),
        _ => {
            if let Some(kept) = json(value) {
                row.metadata.set_raw("legacy.turnId", kept);
            }
        }
    }
}

/// Sets the attachment keys, or keeps the value in metadata if it is something else.
fn attach(row: &mut ImportRow, value: ValueRef<'_>) -> Result<(), FindingKind> {
    if value == ValueRef::Null {
        return Ok(());
    }
    let json = text(value, "attachments_json")?;
    match serde_json::from_str::<Vec<AttachmentKey>>(json) {
        Ok(names) => row.attachments = names,
        Err(_) => match RawValue::from_string(json.to_owned()) {
            Ok(raw) => row.metadata.set_raw("legacy.attachments", raw),
            Err(_) => keep_text(&mut row.metadata, "legacy.attachmentsText", json),
        },
    }
    Ok(())
}

fn keep_text(metadata: &mut Metadata, key: &str, text: &str) {
    metadata.set(key, text).expect("a text serializes");
}

/// Returns a value as JSON; `None` for `NULL`. Bytes, and a text that is not UTF-8, become an object with their
/// hexadecimal digits.
fn json(value: ValueRef<'_>) -> Option<Box<RawValue>> {
    #[derive(serde::Serialize)]
    struct Bytes {
        hex: String,
    }
    let hex = |bytes: &[u8]| Bytes { hex: bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
    let raw = match value {
        ValueRef::Null => return None,
        ValueRef::Integer(number) => serde_json::value::to_raw_value(&number),
        ValueRef::Real(number) if number.is_finite() => serde_json::value::to_raw_value(&number),
        // JSON has no such number.
        ValueRef::Real(number) => serde_json::value::to_raw_value(&number.to_string()),
        ValueRef::Text(text) => match str::from_utf8(text) {
            Ok(text) => serde_json::value::to_raw_value(text),
            Err(_) => serde_json::value::to_raw_value(&hex(text)),
        },
        ValueRef::Blob(bytes) => serde_json::value::to_raw_value(&hex(bytes)),
    };
    Some(raw.expect("a value serializes"))
}
