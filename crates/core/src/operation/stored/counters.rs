use serde::{Deserialize, Serialize};

use crate::{Content, Message, MessageState, Role, Seq, Timestamp, thread::ThreadSummary};

/// What the entry of a thread says of its messages, kept up to date message by message. Every backend counts alike by it.
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

/// What is missing in a [`ThreadCounters`] after a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Removed {
    /// Nothing.
    Complete,
    /// The message was the one in the preview: the latest final message of the user before it has to be
    /// [shown](ThreadCounters::show), or [none](ThreadCounters::show_none).
    PreviewIsDue,
}

impl ThreadCounters {
    /// Of a thread without messages that began then.
    #[must_use]
    pub const fn new(created_at: Timestamp) -> Self {
        Self { messages: 0, turns: 0, bytes: 0, preview_seq: None, preview: None, active_at: created_at }
    }

    /// A message was added or became settled, as it is now.
    pub fn settled(&mut self, message: &Message) {
        let Message { role, state, seq, .. } = *message;
        self.counted(role, state, message.content.byte_len() as u64, message.updated_at);
        let is_question = (role, state) == (Role::User, MessageState::Final);
        if is_question && self.preview_seq.is_none_or(|shown| shown < seq) {
            self.show(message);
        }
    }

    /// The same without the content, of which only the bytes are given. The preview stays: the latest final message of the user has to
    /// be [shown](Self::show).
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

/// The beginning of the text in `content`.
fn preview(content: &Content) -> Option<String> {
    let preview = content.plain_text(ThreadSummary::PREVIEW_CHARS);
    (!preview.is_empty()).then_some(preview)
}
