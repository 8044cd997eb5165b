//! The part of a record that every source keeps beyond the message.

use serde::Serialize;
use serde_json::value::RawValue;
use throughline_core::{
    Content, Labels, MessageId, Metadata, NewThread, Role, ThreadId, Timestamp, Title, ids::AttachmentKey,
    messages::ImportRow,
};

use crate::{
    FindingKind, Format, Location, Report,
    object::{Object, each_element},
};

/// The metadata key of a message for the other fields of its record, and the type of a block that keeps a record which
/// is no message.
pub(crate) const RECORD: &str = "source.record";
/// The metadata key of a thread for the thread that it belongs to, such as that of a side chain.
pub(crate) const PARENT: &str = "source.parent";
/// The label of a thread for the format of its source.
const SOURCE: &str = "source";
/// The most bytes of a record in metadata. A larger one becomes a block of the content, which has a higher limit.
pub(crate) const MAX_METADATA: usize = 64 << 10;

/// Returns JSON that was read as JSON, or made of such parts.
pub(crate) fn raw(json: String) -> Box<RawValue> {
    RawValue::from_string(json).expect("made of valid JSON")
}

/// Returns a thread of a source, with the label `source`.
pub(crate) fn thread(format: Format, id: &ThreadId) -> NewThread {
    let labels = Labels::new().with(SOURCE, format.name()).expect("a short name");
    NewThread::new().with_id(id.clone()).with_labels(labels)
}

/// Returns a title, or reports that it is too long.
pub(crate) fn title(text: &str, location: &Location, report: &mut Report) -> Title {
    Title::new(text).unwrap_or_else(|_| {
        report.warn(location, FindingKind::TitleTooLong);
        Title::default()
    })
}

/// Returns a value of a record as content: an array as it is, a text as a block of text, anything else as a block.
pub(crate) fn content(value: &RawValue) -> Content {
    // The value was read as JSON, so that its text is not read again.
    let content = match value.get().as_bytes().first() {
        Some(b'[') => Content::from_blocks(value),
        Some(b'"') => Content::from_blocks(&[Text { kind: "text", text: value }]),
        _ => Content::from_blocks(&[value]),
    };
    content.expect("an array of JSON")
}

/// A block of text, whose text is JSON.
#[derive(Serialize)]
struct Text<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    text: &'a RawValue,
}

/// Keeps the rest of a record: in the metadata of its message, or as the last block of the content if it is large.
pub(crate) fn keep(row: &mut ImportRow, record: String) {
    if record.len() <= MAX_METADATA {
        row.metadata.set_raw(RECORD, raw(record));
        return;
    }
    let blocks = row.content.as_json();
    let inside = blocks[1..blocks.len() - 1].trim_ascii();
    let comma = if inside.is_empty() { "" } else { "," };
    let json = format!("[{inside}{comma}{}]", block(&record));
    row.content = Content::from_json(json).expect("blocks of an array");
}

/// The most attachments of one message.
const MAX_ATTACHMENTS: usize = 100;

/// Adds the names of attached files to a message: in each object of the list `field`, the first of `names` that is a
/// text. The record keeps the list.
pub(crate) fn attach(row: &mut ImportRow, message: &Object<'_>, field: &str, names: &[&str]) {
    let Some(list) = message.raw(field) else { return };
    // An error means that it is no list.
    drop(each_element(list, |attachment| {
        let Ok(attachment) = Object::read(attachment.get()) else { return };
        let name = names.iter().find_map(|name| attachment.get::<String>(name));
        if let Some(name) = name.and_then(|name| AttachmentKey::new(name).ok()) {
            push_attachment(row, name);
        }
    }));
}

/// Adds the name of an attached file to a message, once.
pub(crate) fn push_attachment(row: &mut ImportRow, name: AttachmentKey) {
    if row.attachments.len() < MAX_ATTACHMENTS && !row.attachments.contains(&name) {
        row.attachments.push(name);
    }
}

/// Returns a block that keeps a record.
pub(crate) fn block(record: &str) -> String {
    format!(r#"{{"type":"{RECORD}","record":{record}}}"#)
}

/// Returns a message of the system that keeps a record which is no message.
pub(crate) fn kept_whole(id: MessageId, record: &str, time: Timestamp) -> ImportRow {
    let content = Content::from_json(format!("[{}]", block(record))).expect("a block");
    ImportRow::new(id, Role::System, content, time)
}

/// Returns an id for a record without one: the same for the same bytes.
pub(crate) fn id_of(record: &str) -> MessageId {
    let hash = blake3::hash(record.as_bytes()).to_hex();
    MessageId::new(format!("record-{}", &hash[..32])).expect("short, without controls")
}

/// Returns the text of an object with `null` in place of these fields.
pub(crate) fn without(object: &Object<'_>, fields: &[&str]) -> String {
    let mut text = object.text().to_owned();
    for field in fields.iter().filter(|field| object.raw(field).is_some()) {
        text = Object::parse(&text).expect("it was read as an object").with(field, "null");
    }
    text
}

/// Returns metadata with one raw value.
pub(crate) fn metadata(key: &str, json: String) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.set_raw(key, raw(json));
    metadata
}

/// Returns the text of a block that has nothing else.
pub(crate) fn text_of(block: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Text {
        r#type: String,
        text: String,
    }
    if block.starts_with('"') {
        return serde_json::from_str(block).ok();
    }
    let text: Text = serde_json::from_str(block).ok()?;
    matches!(&*text.r#type, "text" | "input_text" | "output_text").then_some(text.text)
}
