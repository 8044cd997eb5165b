//! Reads a text thread: one text, and the positions at which its messages begin.

use std::{fs, path::Path};

use serde_json::value::RawValue;
use throughline_core::{Content, MessageId, Role, ThreadId, Timestamp, messages::ImportRow};

use super::{Zed, read::Threads};
use crate::{
    FindingKind, Format, Location, Progress, TransferError,
    import::Conversation,
    line_reader::object,
    object::{Object, each_element},
    record,
};

/// The end of the names of such files.
pub(super) const EXTENSION: &str = ".zed.json";
/// The known versions.
const VERSIONS: [&str; 4] = ["0.1.0", "0.2.0", "0.3.0", "0.4.0"];

/// A message of a text thread.
struct TextMessage {
    id: MessageId,
    start: usize,
    role: Role,
    /// The reason of a message that was not finished.
    abandoned: Option<&'static str>,
    /// The error of a failed answer.
    error: Option<String>,
}

/// Reads a file; `None` if the receiver stopped.
pub(super) fn read(
    file: &Path,
    max: usize,
    threads: &mut Threads<'_>,
    progress: &Progress,
) -> Result<Option<()>, TransferError> {
    let location = Location::File(file.to_owned());
    let about = fs::metadata(file).map_err(TransferError::io(file, "read"))?;
    if about.len() > max as u64 {
        threads.report.skip(&location, FindingKind::TooLarge { max });
        return Ok(Some(()));
    }
    let json = fs::read(file).map_err(TransferError::io(file, "read"))?;
    progress.add_read(json.len() as u64);
    let time = about.modified().map_or(Timestamp::from_micros(0), Timestamp::from);
    match object(&json) {
        Ok(found) => take(file, &found, time, threads, &location),
        Err(found) => {
            threads.report.skip(&location, found);
            Ok(Some(()))
        }
    }
}

fn take(
    file: &Path,
    found: &Object<'_>,
    time: Timestamp,
    threads: &mut Threads<'_>,
    location: &Location,
) -> Result<Option<()>, TransferError> {
    let list = found.raw("messages").filter(|list| list.get().starts_with('['));
    let (Some(text), Some(list)) = (found.get::<String>("text"), list) else {
        let field = if list.is_none() { "messages" } else { "text" };
        threads.report.skip(location, FindingKind::WrongField(field));
        return Ok(Some(()));
    };
    let version = found.get::<String>("version").unwrap_or_default();
    if !VERSIONS.contains(&&*version) {
        threads.report.warn(location, FindingKind::Newer(version));
    }
    let messages = messages(found, list, threads, location);
    let id = match found.get::<String>("id").map_or_else(|| id_of(file), ThreadId::new) {
        Ok(id) => id,
        Err(error) => {
            threads.report.skip(location, FindingKind::InvalidId(error));
            return Ok(Some(()));
        }
    };
    let mut new = record::thread(Format::Zed, &id).created_at(time);
    if let Some(title) = found.get::<String>("summary") {
        new = new.with_title(record::title(&title, location, threads.report));
    }
    let rest = record::without(found, &["text", "messages", "message_metadata"]);
    if rest.len() <= record::MAX_METADATA {
        new = new.with_metadata(record::metadata(record::RECORD, rest));
    } else {
        threads.report.warn(location, FindingKind::TooLarge { max: record::MAX_METADATA });
    }
    let conversation = Conversation::new(id, new, location.clone());
    match threads.begin(conversation, messages.iter().map(|message| &message.id))? {
        None => return Ok(None),
        Some(false) => return Ok(Some(())),
        Some(true) => {}
    }
    for (at, message) in messages.iter().enumerate() {
        let next = messages.get(at + 1);
        let end = next.map_or(text.len(), |next| next.start);
        let Some(part) = text.get(message.start..end) else {
            threads.report.skip(location, FindingKind::WrongField("start"));
            continue;
        };
        // A line break separates two messages.
        let part = if next.is_some() { part.strip_suffix('\n').unwrap_or(part) } else { part };
        if part.trim().is_empty() {
            threads.report.omit("empty message".to_owned());
            continue;
        }
        let mut row = ImportRow::new(message.id.clone(), message.role, Content::text(part), time);
        row.abandoned = message.abandoned.map(|reason| Some(reason.to_owned()));
        if let Some(error) = &message.error {
            record::keep(&mut row, format!(r#"{{"status":{error}}}"#));
        }
        if threads.message(row, location).is_none() {
            return Ok(None);
        }
    }
    Ok(threads.end())
}

/// Returns the messages in the order of the text.
fn messages(
    found: &Object<'_>,
    list: &RawValue,
    threads: &mut Threads<'_>,
    location: &Location,
) -> Vec<TextMessage> {
    // Before the version 0.4, the facts about messages are in an object of their own.
    let facts = found.raw("message_metadata");
    let facts = facts.and_then(|facts| Object::read_up_to(Zed::MAX_MESSAGES, facts.get()).ok());
    let (mut messages, mut has_more) = (Vec::new(), false);
    let read = each_element(list, |json| {
        if messages.len() == Zed::MAX_MESSAGES {
            has_more = true;
            return;
        }
        match message(json, facts.as_ref()) {
            Ok(message) => messages.push(message),
            Err(found) => threads.report.skip(location, found),
        }
    });
    debug_assert!(read.is_ok(), "it was read as JSON");
    if has_more {
        threads.report.skip(location, FindingKind::TooManyMessages { max: Zed::MAX_MESSAGES });
    }
    messages.sort_by_key(|message| message.start);
    messages
}

fn message(json: &RawValue, facts: Option<&Object<'_>>) -> Result<TextMessage, FindingKind> {
    let message = Object::read(json.get()).map_err(|_| FindingKind::NoObject)?;
    let id = message.raw("id").ok_or(FindingKind::NoField("id"))?;
    // A number, or a pair of numbers, of which the first is that of the editor.
    let pair = Object::read(id.get()).ok();
    let number = |name| pair.as_ref().and_then(|pair| pair.get::<u64>(name));
    let (key, name) = match (number("replica_id"), number("value"), serde_json::from_str::<u64>(id.get())) {
        (Some(replica), Some(value), _) => (String::new(), format!("message-{replica}.{value}")),
        (_, _, Ok(value)) => (value.to_string(), format!("message-{value}")),
        _ => return Err(FindingKind::WrongField("id")),
    };
    let about =
        message.raw("metadata").or_else(|| facts?.raw(&key)).ok_or(FindingKind::NoField("metadata"))?;
    let about = Object::read(about.get()).map_err(|_| FindingKind::WrongField("metadata"))?;
    let role = about.get::<String>("role").ok_or(FindingKind::NoField("role"))?;
    let error = about.raw("status").filter(|status| status.get().starts_with('{'));
    let abandoned = match about.get::<String>("status").as_deref() {
        Some("Pending") => Some("the answer was not finished"),
        Some(status) if status.starts_with("Cancel") => Some("the answer was cancelled"),
        _ => error.map(|_| "the answer failed"),
    };
    Ok(TextMessage {
        id: MessageId::new(name).map_err(FindingKind::InvalidId)?,
        start: message.get("start").ok_or(FindingKind::NoField("start"))?,
        role: Role::from_name(&role).ok_or(FindingKind::UnknownRole(role))?,
        abandoned,
        error: error.map(|error| error.get().to_owned()),
    })
}

/// Returns the thread of a file without an id: that of its name.
fn id_of(file: &Path) -> Result<ThreadId, throughline_core::InvalidId> {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(EXTENSION).unwrap_or(&name);
    ThreadId::new(stem).or_else(|_| ThreadId::new(record::id_of(stem).as_str()))
}
