use serde::{Deserialize, Serialize};

use crate::{Content, Message, MessageState, Role, Seq, Timestamp, thread::ThreadSummary};

/// The counters of a thread summary, which a store updates with every message. All backends count with this type.
///
/// ```
/// use throughline_core::{NewMessage, Seq, TenantId, Timestamp, backend::ThreadCounters, messages::Add};
///
/// let add = Add::new("t".parse()?, NewMessage::user("Where is Lisbon?"));
/// let message = add.to_message(&TenantId::default(), Seq::FIRST, Timestamp::from_micros(7));
/// let mut counters = ThreadCounters::new(Timestamp::from_micros(0));
/// counters.settled(&message);
/// assert_eq!((counters.messages, counters.turns), (1, 1));
/// assert_eq!(counters.preview.as_deref(), Some("Where is Lisbon?"));
/// assert_eq!(counters.active_at, Timestamp::from_micros(7));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThreadCounters {
    /// The number of final messages.
    pub messages: u64,
    /// The number of final user messages.
    pub turns: u64,
    /// The bytes of content in final messages.
    pub bytes: u64,
    /// The sequence number of the latest final user message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview_seq: Option<Seq>,
    /// The beginning of that message, if it has text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<String>,
    /// The time at which a settled message was last added, settled or changed, including deleted messages.
    pub active_at: Timestamp,
}

/// The part of [`ThreadCounters`] that is missing after a removal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Removed {
    /// Nothing.
    Complete,
    /// The removed message was the one in the preview. The caller must [show](ThreadCounters::show) the latest final user message
    /// before it, or [none](ThreadCounters::show_none).
    PreviewIsDue,
}

impl ThreadCounters {
    /// Returns the counters of a thread without messages, which began at that time.
    #[must_use]
    pub const fn new(created_at: Timestamp) -> Self {
        Self { messages: 0, turns: 0, bytes: 0, preview_seq: None, preview: None, active_at: created_at }
    }

    /// Counts a message that was added or became settled.
    pub fn settled(&mut self, message: &Message) {
        let Message { role, state, seq, .. } = *message;
        self.counted(role, state, message.content.byte_len() as u64, message.updated_at);
        let is_question = (role, state) == (Role::User, MessageState::Final);
        if is_question && self.preview_seq.is_none_or(|shown| shown < seq) {
            self.show(message);
        }
    }

    /// Counts a settled message by its size alone. The preview does not change: the caller must [show](Self::show) the latest
    /// final user message.
    pub fn counted(&mut self, role: Role, state: MessageState, bytes: u64, updated_at: Timestamp) {
        if !state.is_open() {
            self.active_at = self.active_at.max(updated_at);
        }
        if state == MessageState::Final {
            self.messages += 1;
            self.bytes += bytes;
            self.turns += u64::from(role == Role::User);
        }
    }

    /// Counts an edit of a final message, whose content had `bytes_before` bytes.
    pub fn edited(&mut self, bytes_before: u64, message: &Message) {
        self.touched(message);
        self.bytes = (self.bytes + message.content.byte_len() as u64).saturating_sub(bytes_before);
        if self.preview_seq == Some(message.seq) {
            self.show(message);
        }
    }

    /// Counts a change of a settled message apart from its content.
    pub fn touched(&mut self, message: &Message) {
        if !message.state.is_open() {
            self.active_at = self.active_at.max(message.updated_at);
        }
    }

    /// Counts the removal of a message with this role, state and size. An open message was never counted.
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

    /// Counts the removal of all messages.
    pub fn cleared(&mut self) {
        *self = Self::new(self.active_at);
    }

    /// Sets the preview to the latest final user message.
    pub fn show(&mut self, message: &Message) {
        self.preview_seq = Some(message.seq);
        self.preview = preview(&message.content);
    }

    /// Clears the preview, because there is no final user message.
    pub fn show_none(&mut self) {
        (self.preview_seq, self.preview) = (None, None);
    }
}

/// Returns the beginning of the text in `content`.
fn preview(content: &Content) -> Option<String> {
    let preview = content.plain_text(ThreadSummary::PREVIEW_CHARS);
    (!preview.is_empty()).then_some(preview)
}
