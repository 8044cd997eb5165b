//! Writes conversations in the form of ShareGPT.

use throughline_core::{Message, MessageState, Role, messages::Origin, threads::ThreadSummary};

use crate::{FindingKind, export_file::Writer, object::quoted, record};

/// Writes a line for each thread.
#[derive(Debug, Default)]
pub(super) struct ShareGptWriter {
    has_messages: bool,
}

impl Writer for ShareGptWriter {
    fn head(&mut self) -> String {
        String::new()
    }

    fn thread(&mut self, thread: &ThreadSummary) -> String {
        self.has_messages = false;
        let title = if thread.title.is_untitled() {
            String::new()
        } else {
            format!(r#""title":{},"#, quoted(thread.title.as_str()))
        };
        format!(r#"{{"id":{},{title}"conversations":["#, quoted(thread.thread.as_str()))
    }

    fn message(&mut self, message: &Message, _: &[Origin]) -> Result<String, FindingKind> {
        if matches!(message.state, MessageState::Reserved | MessageState::Streaming) {
            return Err(FindingKind::Open);
        }
        let from = match message.role {
            Role::User => "human",
            Role::Assistant => "gpt",
            other => other.as_str(),
        };
        let text = message.text();
        let is_empty = text.is_empty() && loses_parts(message);
        let value = quoted(if is_empty { message.content.as_json() } else { &text });
        let comma = if std::mem::replace(&mut self.has_messages, true) { "," } else { "" };
        Ok(format!(r#"{comma}{{"from":"{from}","value":{value}}}"#))
    }

    fn loss(&self, message: &Message) -> Option<FindingKind> {
        loses_parts(message).then_some(FindingKind::TextOnly)
    }

    fn end(&mut self) -> String {
        "]}\n".to_owned()
    }
}

/// Whether a message has other parts than one text.
fn loses_parts(message: &Message) -> bool {
    let blocks = message.content.blocks();
    blocks.len() > 1 || !blocks.iter().all(|block| record::text_of(block.get()).is_some())
}
