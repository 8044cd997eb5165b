//! Reads a file of conversations.

use std::{collections::HashSet, fs};

use serde_json::value::RawValue;
use throughline_core::{MessageId, Role, ThreadId, Timestamp, messages::ImportRow};

use super::ShareGpt;
use crate::{
    FindingKind, Format, Location, Progress, Report, TransferError,
    import::{Conversation, Sink, Source, Step},
    object::{Object, each_element},
    record,
    records::Records,
};

/// The time of a message: the format has none.
const NO_TIME: Timestamp = Timestamp::from_micros(0);
/// The fields with the messages of a conversation.
const MESSAGES: [&str; 2] = ["conversations", "items"];

impl Source for ShareGpt {
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        progress.expect(fs::metadata(&self.path).map_or(0, |found| found.len()));
        let mut records = Records::open(&self.path, self.max_record_bytes, progress)?;
        let mut threads = HashSet::new();
        while let Some((line, found)) = records.next()? {
            let location = Location::Line { file: self.path.clone(), line };
            match found {
                Ok(found) => {
                    let mut reader = Reader { location, sink, report, threads: &mut threads };
                    if reader.conversation(&found).is_none() {
                        return Ok(());
                    }
                }
                Err(found) => report.skip(&location, found),
            }
        }
        Ok(())
    }
}

/// Reads one conversation.
struct Reader<'a> {
    location: Location,
    sink: &'a mut dyn Sink,
    report: &'a mut Report,
    threads: &'a mut HashSet<ThreadId>,
}

impl Reader<'_> {
    fn skip(&mut self, found: FindingKind) -> Option<()> {
        self.report.skip(&self.location, found);
        Some(())
    }

    /// `None` if the receiver stopped.
    fn conversation(&mut self, found: &Object<'_>) -> Option<()> {
        let Some(field) = MESSAGES.into_iter().find(|field| found.raw(field).is_some()) else {
            return self.skip(FindingKind::NoField(MESSAGES[0]));
        };
        let messages = found.raw(field).filter(|messages| messages.get().starts_with('['));
        let Some(messages) = messages else { return self.skip(FindingKind::WrongField(field)) };
        let id = match found.get::<String>("id") {
            Some(id) => ThreadId::new(id),
            None => ThreadId::new(record::id_of(found.text()).as_str()),
        };
        let id = match id {
            Ok(id) => id,
            Err(error) => return self.skip(FindingKind::InvalidId(error)),
        };
        if !self.threads.insert(id.clone()) {
            return self.skip(FindingKind::Twice);
        }
        let mut new = record::thread(Format::ShareGpt, &id).created_at(NO_TIME);
        if let Some(title) = found.get::<String>("title") {
            new = new.with_title(record::title(&title, &self.location, self.report));
        }
        if found.fields().any(|(name, _)| name != "id" && name != field) {
            let rest = record::without(found, &[field]);
            if rest.len() <= record::MAX_METADATA {
                new = new.with_metadata(record::metadata(record::RECORD, rest));
            } else {
                self.report.warn(&self.location, FindingKind::TooLarge { max: record::MAX_METADATA });
            }
        }
        let conversation = Conversation::new(id, new, self.location.clone()).numbered();
        self.sink.take(Step::Begin(Box::new(conversation)))?;
        let (mut number, mut taken) = (0_u64, Some(()));
        let read = each_element(messages, |element| {
            number += 1;
            if taken.is_some() {
                let row = self.message(element, number);
                taken = self.sink.take(Step::Row(Box::new(row), self.location.clone()));
            }
        });
        debug_assert!(read.is_ok(), "it was read as JSON");
        taken?;
        self.sink.take(Step::End)
    }

    fn message(&mut self, element: &RawValue, number: u64) -> ImportRow {
        let id = MessageId::new(format!("message-{number}")).expect("short, without controls");
        match Self::row(&id, element) {
            Ok(row) => row,
            Err(found) => {
                self.report.warn(&self.location, found);
                record::kept_whole(id, element.get(), NO_TIME)
            }
        }
    }

    fn row(id: &MessageId, element: &RawValue) -> Result<ImportRow, FindingKind> {
        let message = Object::read(element.get()).map_err(|_| FindingKind::NoObject)?;
        let Some(from) = message.get::<String>("from").or_else(|| message.get("role")) else {
            return Err(FindingKind::NoField("from"));
        };
        let Some(role) = role(&from) else { return Err(FindingKind::UnknownRole(from)) };
        let text = if message.raw("value").is_some() { "value" } else { "content" };
        let Some(value) = message.raw(text) else { return Err(FindingKind::NoField("value")) };
        let mut row = ImportRow::new(id.clone(), role, record::content(value), NO_TIME);
        let is_plain = from == "human" || from == "gpt" || from == role.as_str();
        if !is_plain || message.fields().count() > 2 {
            record::keep(&mut row, record::without(&message, &[text]));
        }
        Ok(row)
    }
}

/// Returns the role for a name in a conversation.
fn role(from: &str) -> Option<Role> {
    Some(match from {
        "human" | "user" => Role::User,
        "gpt" | "chatgpt" | "bing" | "bard" | "assistant" | "model" | "function_call" => Role::Assistant,
        "system" => Role::System,
        "tool" | "function" | "function_response" | "observation" => Role::Tool,
        _ => return None,
    })
}
