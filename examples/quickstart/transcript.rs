//! What was read, as it has to come back: conversations, their turns in order, and what each turn says.

use std::{collections::HashMap, fmt, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;
use throughline::{InvalidId, MessageId, Role, ThreadId};

/// Conversations in the order in which they were met.
#[derive(Default)]
pub(crate) struct Transcript {
    conversations: Vec<Conversation>,
    index: HashMap<ThreadId, usize>,
}

/// A thread to be.
pub(crate) struct Conversation {
    pub(crate) thread: ThreadId,
    pub(crate) turns: Vec<Turn>,
    /// How often each name was asked for.
    names: HashMap<MessageId, usize>,
}

/// A message to be.
pub(crate) struct Turn {
    pub(crate) id: MessageId,
    pub(crate) role: Role,
    pub(crate) said: Said,
    pub(crate) origin: Origin,
}

/// Where a turn was read.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) file: Arc<str>,
    pub(crate) place: Place,
}

/// Where in a file, counted from 1.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Line(usize),
    /// Of a file that is one JSON array.
    Element(usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Line(line) => write!(f, "{}:{line}", self.file),
            Place::Element(element) => write!(f, "{}, element {element}", self.file),
        }
    }
}

/// What a turn says.
pub(crate) enum Said {
    /// A JSON array of blocks, added as it is and expected back byte for byte.
    Whole(String),
    /// Blocks that arrive one after the other, text in pieces.
    Streamed(Vec<Block>),
}

/// One block of a streamed turn.
pub(crate) enum Block {
    /// Text, expected back as the same characters. The store writes the JSON around it.
    Text(String),
    /// Anything else: raw JSON, expected back byte for byte.
    Raw(Box<RawValue>),
}

impl Block {
    /// Text that has nothing beside it, and that Rust can hold, is streamed as text; half a surrogate pair is not.
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

/// The text of a block that has a type, a text, and nothing beside.
pub(crate) fn plain_text(block: &RawValue) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Text {
        #[serde(rename = "type")]
        kind: String,
        text: String,
    }
    // An array would fit the struct too, field by field.
    let block = Some(block.get()).filter(|json| json.starts_with('{'))?;
    let block: Text = serde_json::from_str(block).ok()?;
    (block.kind == "text").then_some(block.text)
}

impl Said {
    /// Bytes of content, as they were read.
    pub(crate) fn byte_len(&self) -> usize {
        match self {
            Self::Whole(json) => json.len(),
            Self::Streamed(blocks) => blocks.iter().map(Block::byte_len).sum(),
        }
    }
}

impl Transcript {
    /// Adds a turn to the end of its conversation. A name that the conversation has already gets a number: the log of
    /// an agent may hold the same uuid twice, and nothing of it is to be lost.
    pub(crate) fn push(
        &mut self,
        thread: &str,
        name: Option<&str>,
        role: Role,
        said: Said,
        origin: Origin,
    ) -> Result<(), InvalidId> {
        let thread = ThreadId::new(thread)?;
        let name = name.map(MessageId::new).transpose()?;
        let at = *self.index.entry(thread.clone()).or_insert_with(|| {
            self.conversations.push(Conversation { thread, turns: Vec::new(), names: HashMap::new() });
            self.conversations.len() - 1
        });
        let conversation = &mut self.conversations[at];
        let id = conversation.free_name(name)?;
        conversation.turns.push(Turn { id, role, said, origin });
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
    fn free_name(&mut self, wanted: Option<MessageId>) -> Result<MessageId, InvalidId> {
        let wanted = match wanted {
            Some(wanted) => wanted,
            None => MessageId::new(format!("turn-{}", self.turns.len() + 1))?,
        };
        let mut name = wanted.clone();
        while self.names.contains_key(&name) {
            let number = self.names.entry(wanted.clone()).or_insert(1);
            *number += 1;
            name = MessageId::new(format!("{wanted}#{number}"))?;
        }
        self.names.insert(name.clone(), 1);
        Ok(name)
    }
}
