//! The expected content of the store: conversations, their turns in order, and the content of each turn.

use std::{collections::HashMap, fmt, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;
use throughline::{InvalidId, MessageId, Role, ThreadId};

/// Conversations in the order of their first turn.
#[derive(Default)]
pub(crate) struct Transcript {
    conversations: Vec<Conversation>,
    index: HashMap<ThreadId, usize>,
}

/// A conversation, which becomes one thread.
pub(crate) struct Conversation {
    pub(crate) thread: ThreadId,
    pub(crate) turns: Vec<Turn>,
    /// How often each message id was requested.
    requested: HashMap<MessageId, usize>,
}

/// A turn, which becomes one message.
pub(crate) struct Turn {
    pub(crate) id: MessageId,
    pub(crate) role: Role,
    pub(crate) content: TurnContent,
    pub(crate) origin: Origin,
}

/// The file and the location that a turn was read from.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) file: Arc<str>,
    pub(crate) location: Location,
}

/// A location in a file, counted from 1.
#[derive(Clone, Copy)]
pub(crate) enum Location {
    Line(usize),
    /// An element of a file that is one JSON array.
    Element(usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.location {
            Location::Line(line) => write!(f, "{}:{line}", self.file),
            Location::Element(element) => write!(f, "{}, element {element}", self.file),
        }
    }
}

/// The content of a turn.
pub(crate) enum TurnContent {
    /// A JSON array of blocks that is added at once and expected back byte for byte.
    Whole(String),
    /// Blocks that are streamed in order, the text in several appends.
    Streamed(Vec<Block>),
}

/// One block of a streamed turn.
pub(crate) enum Block {
    /// Text, expected back with the same characters. The store writes the JSON around it.
    Text(String),
    /// Any other block: raw JSON, expected back byte for byte.
    Raw(Box<RawValue>),
}

impl Block {
    /// Returns a text block for a plain text that a Rust string can hold. Text with an unpaired surrogate stays raw JSON.
    pub(crate) fn read(block: &RawValue) -> Self {
        match plain_text(block) {
            Some(text) => Self::Text(text),
            None => Self::Raw(block.to_owned()),
        }
    }

    fn byte_len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Raw(json) => json.get().len(),
        }
    }
}

/// Returns the text of a block that has only the fields `type` and `text`.
pub(crate) fn plain_text(block: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Text {
        #[serde(rename = "type")]
        kind: String,
        text: String,
    }
    // Without this check, serde would also accept an array of the two values.
    let block = Some(block.get()).filter(|json| json.starts_with('{'))?;
    let block: Text = serde_json::from_str(block).ok()?;
    (block.kind == "text").then_some(block.text)
}

impl TurnContent {
    /// Returns the number of bytes of content in the input.
    pub(crate) fn byte_len(&self) -> usize {
        match self {
            Self::Whole(json) => json.len(),
            Self::Streamed(blocks) => blocks.iter().map(Block::byte_len).sum(),
        }
    }
}

impl Transcript {
    /// Adds a turn to the end of its conversation. A repeated message id gets a number, because the log of an agent can
    /// contain the same uuid twice.
    pub(crate) fn push(
        &mut self,
        thread: &str,
        name: Option<&str>,
        role: Role,
        content: TurnContent,
        origin: Origin,
    ) -> Result<(), InvalidId> {
        let thread = ThreadId::new(thread)?;
        let name = name.map(MessageId::new).transpose()?;
        let at = *self.index.entry(thread.clone()).or_insert_with(|| {
            self.conversations.push(Conversation { thread, turns: Vec::new(), requested: HashMap::new() });
            self.conversations.len() - 1
        });
        let conversation = &mut self.conversations[at];
        let id = conversation.unique_id(name)?;
        conversation.turns.push(Turn { id, role, content, origin });
        Ok(())
    }

    pub(crate) fn messages(&self) -> usize {
        self.conversations.iter().map(|conversation| conversation.turns.len()).sum()
    }

    pub(crate) fn into_conversations(self) -> Vec<Arc<Conversation>> {
        self.conversations.into_iter().map(Arc::new).collect()
    }
}

impl Conversation {
    fn unique_id(&mut self, wanted: Option<MessageId>) -> Result<MessageId, InvalidId> {
        let wanted = match wanted {
            Some(wanted) => wanted,
            None => MessageId::new(format!("turn-{}", self.turns.len() + 1))?,
        };
        let mut name = wanted.clone();
        while self.requested.contains_key(&name) {
            let number = self.requested.entry(wanted.clone()).or_insert(1);
            *number += 1;
            name = MessageId::new(format!("{wanted}#{number}"))?;
        }
        self.requested.insert(name.clone(), 1);
        Ok(name)
    }
}
