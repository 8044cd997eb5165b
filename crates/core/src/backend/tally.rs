use serde::de::{Deserializer as _, Visitor};
use serde_json::value::RawValue;

use crate::{Content, Message, MessageState, Role, Seq, ThreadEntry, Timestamp};

/// What the entry of a thread says of its messages, kept up to date message by message. Every backend counts alike by it.
///
/// ```
/// use throughline_core::{Add, NewMessage, Seq, TenantId, Timestamp, backend::Tally};
///
/// let add = Add::new("t".parse()?, NewMessage::user("Where is Lisbon?"));
/// let message = add.to_message(&TenantId::default(), Seq::FIRST, Timestamp::from_micros(7));
/// let mut tally = Tally::new(Timestamp::from_micros(0));
/// tally.settled(&message);
/// assert_eq!((tally.messages, tally.turns), (1, 1));
/// assert_eq!(tally.preview.as_deref(), Some("Where is Lisbon?"));
/// assert_eq!(tally.active_at, Timestamp::from_micros(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// How many final messages there are.
    pub messages: u64,
    /// How many of them are the user's.
    pub turns: u64,
    /// The bytes of content in final messages.
    pub bytes: u64,
    /// The place of the latest final message of the user.
    pub preview_seq: Option<Seq>,
    /// How that message begins, if it has text.
    pub preview: Option<String>,
    /// When a settled message was last added, settled or changed, those that are gone by now included.
    pub active_at: Timestamp,
}

/// What is missing in a [`Tally`] after a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Removed {
    /// Nothing.
    Complete,
    /// The message was the one in the preview: the latest final message of the user before it has to be
    /// [shown](Tally::show), or [none](Tally::show_none).
    PreviewIsDue,
}

impl Tally {
    /// Of a thread without messages that began then.
    #[must_use]
    pub const fn new(created_at: Timestamp) -> Self {
        Self { messages: 0, turns: 0, bytes: 0, preview_seq: None, preview: None, active_at: created_at }
    }

    /// A message was added or became settled, as it is now.
    pub fn settled(&mut self, message: &Message) {
        self.touched(message);
        if message.state != MessageState::Final {
            return;
        }
        self.messages += 1;
        self.bytes += message.content.byte_len() as u64;
        if message.role == Role::User {
            self.turns += 1;
            if self.preview_seq.is_none_or(|seq| seq < message.seq) {
                self.show(message);
            }
        }
    }

    /// The content of a final message was replaced; it had so many bytes.
    pub fn edited(&mut self, bytes_before: u64, message: &Message) {
        self.touched(message);
        self.bytes = (self.bytes + message.content.byte_len() as u64).saturating_sub(bytes_before);
        if self.preview_seq == Some(message.seq) {
            self.show(message);
        }
    }

    /// Something of a settled message was changed that is not its content.
    pub fn touched(&mut self, message: &Message) {
        if !message.state.is_open() {
            self.active_at = self.active_at.max(message.updated_at);
        }
    }

    /// A message was deleted, or pruned: what it was, and how many bytes its content had. One that was open was never
    /// settled, and leaves nothing behind.
    pub fn removed(
        &mut self,
        at: Seq,
        role: Role,
        state: MessageState,
        bytes: u64,
        updated_at: Timestamp,
    ) -> Removed {
        if !state.is_open() {
            self.active_at = self.active_at.max(updated_at);
        }
        if state != MessageState::Final {
            return Removed::Complete;
        }
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        if role == Role::User {
            self.turns = self.turns.saturating_sub(1);
        }
        if self.preview_seq == Some(at) { Removed::PreviewIsDue } else { Removed::Complete }
    }

    /// Every message went.
    pub fn cleared(&mut self) {
        *self = Self::new(self.active_at);
    }

    /// This is the latest final message of the user.
    pub fn show(&mut self, message: &Message) {
        self.preview_seq = Some(message.seq);
        self.preview = preview(&message.content);
    }

    /// There is no final message of the user any more.
    pub fn show_none(&mut self) {
        (self.preview_seq, self.preview) = (None, None);
    }
}

/// The beginning of the text in `content`: of its text blocks, one after the other with a blank between them.
fn preview(content: &Content) -> Option<String> {
    let mut preview = String::new();
    let mut left = ThreadEntry::PREVIEW_CHARS;
    for text in content.blocks().into_iter().filter_map(text_of).filter(|text| !text.is_empty()) {
        if left > 0 && !preview.is_empty() {
            preview.push(' ');
            left -= 1;
        }
        let end = text.char_indices().nth(left).map_or(text.len(), |(at, _)| at);
        left -= text[..end].chars().count();
        preview.push_str(&text[..end]);
        if left == 0 {
            break;
        }
    }
    (!preview.is_empty()).then_some(preview)
}

/// The text of a block: a JSON string, or an object with the member `text`.
fn text_of(block: &RawValue) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Block<'a> {
        #[serde(borrow, default)]
        text: Option<&'a RawValue>,
    }
    if block.get().starts_with('"') {
        return string_of(block);
    }
    serde_json::from_str::<Block<'_>>(block.get()).ok()?.text.and_then(string_of)
}

/// A JSON string as text. A lone surrogate, which no text can hold, becomes the replacement character.
fn string_of(value: &RawValue) -> Option<String> {
    struct Lossy;

    impl Visitor<'_> for Lossy {
        type Value = String;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a string")
        }

        fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
    }

    if !value.get().starts_with('"') {
        return None;
    }
    serde_json::Deserializer::from_str(value.get()).deserialize_bytes(Lossy).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Option<String> {
        preview(&Content::from_json(json).unwrap())
    }

    #[test]
    fn a_preview_is_the_first_eighty_characters() {
        assert_eq!(of(r#"[{"type":"text","text":"hi"}]"#).as_deref(), Some("hi"));
        let long = "é".repeat(79) + "🦀x";
        let json = serde_json::to_string(&[&long]).unwrap();
        assert_eq!(of(&json), Some("é".repeat(79) + "🦀"));
        assert_eq!(of(&serde_json::to_string(&["x".repeat(80)]).unwrap()), Some("x".repeat(80)));
    }

    #[test]
    fn blocks_without_text_are_passed_over() {
        let json = r#"[{"type":"image","source":"a"}, 1, null, {"text":2}, "a", {"text":"b"}, {"text":""}]"#;
        assert_eq!(of(json).as_deref(), Some("a b"));
        assert_eq!(of(r#"[{"type":"image"}]"#), None);
        assert_eq!(of("[]"), None);
    }

    #[test]
    fn a_preview_is_cut_between_blocks_too() {
        let json = serde_json::to_string(&["x".repeat(79), "yz".to_owned()]).unwrap();
        assert_eq!(of(&json), Some("x".repeat(79) + " "));
    }

    #[test]
    fn what_no_text_can_hold_is_replaced() {
        assert_eq!(of(r#"["a\ud800b\u0000"]"#).unwrap().chars().last(), Some('\0'));
        assert!(of(r#"["a\ud800b"]"#).unwrap().contains('\u{fffd}'));
    }
}
