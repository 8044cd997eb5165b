//! The text that a redaction buffers for open messages.

use throughline_core::{
    Content, Delta, Idempotency, MessageId, PersistArgs, Revision, TenantId, ThreadId,
    messages::{ContentBuffer, ContentChange},
};

/// One message.
pub(super) type Key = (TenantId, ThreadId, MessageId);

/// The state of a message that a call changes.
#[derive(Debug, Clone, Default)]
pub(super) struct Open {
    /// The end of its text, which may become what is hidden.
    pub(super) tail: String,
    /// The same before the call.
    pub(super) before: String,
    /// The revision before the call, where that was read.
    pub(super) revision: Option<Revision>,
    /// The stored content, if the layer has read it.
    pub(super) stored: Option<ContentBuffer>,
}

impl Open {
    /// The text that was buffered before the call, and the text that continues it.
    pub(super) fn continued_by(&self, change: &ContentChange) -> Option<String> {
        match change {
            ContentChange::Append(Delta::Text(text)) if !self.before.is_empty() => {
                Some(format!("{}{text}", self.before))
            }
            _ => None,
        }
    }

    /// Whether `args` appends the rest of `hidden` to its buffered beginning.
    pub(super) fn completes(&self, args: &PersistArgs, hidden: &str) -> bool {
        match args {
            PersistArgs::UpdateContent(update) => {
                self.continued_by(&update.change).is_some_and(|text| text.contains(hidden))
            }
            _ => false,
        }
    }
}

/// A write of a message whose answer was lost.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) key: Option<Idempotency>,
    /// Before the write.
    pub(super) revision: Option<Revision>,
    /// The buffered text after the write, if the write succeeded.
    pub(super) after: String,
}

/// The length of the longest beginning of `hidden` at the end of `text`.
pub(super) fn begins(text: &str, hidden: &str) -> usize {
    let mut lengths = (1..hidden.len()).rev().filter(|len| hidden.is_char_boundary(*len));
    let begun = lengths.find(|len| text.ends_with(&hidden[..*len]));
    text.len() - begun.unwrap_or(0)
}

/// Takes the beginning of `hidden` off the end of a content, where text could be appended to it.
pub(super) fn cut_end(content: &Content, hidden: &str) -> (Content, String) {
    let blocks = content.blocks();
    let uncut = || (content.clone(), String::new());
    let Some((last, before)) = blocks.split_last() else { return uncut() };
    let Ok(block) = serde_json::from_str::<serde_json::Value>(last.get()) else { return uncut() };
    let Some(text) = block["text"].as_str().filter(|text| last.get() == plain(text)) else { return uncut() };
    let at = begins(text, hidden);
    let mut json: Vec<String> = before.iter().map(|block| block.get().to_owned()).collect();
    json.push(plain(&text[..at]));
    let cut = Content::from_json(format!("[{}]", json.join(","))).expect("blocks in an array");
    (cut, text[at..].to_owned())
}

/// The block of a plain text, as an append writes it.
fn plain(text: &str) -> String {
    let content = Content::text(text);
    let json = content.as_json();
    json[1..json.len() - 1].to_owned()
}
