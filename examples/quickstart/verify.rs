//! Compares what the store answers with what was read. What is expected comes from the input alone.

use std::{collections::HashSet, sync::Arc};

use serde_json::value::RawValue;
use throughline::{
    Content, Message, MessageId, MessageState, Persistence, Result, ThreadId,
    messages::{Page, PageFrom, Visibility},
};

use crate::{
    store::{Stores, is_agents},
    transcript::{Block, Conversation, Said, Turn, plain_text},
};

/// How many messages are read at once.
const PAGE: u32 = 200;

/// What came back as it went in, and what did not.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) expected: usize,
    pub(crate) verified: usize,
    /// Messages that were found in the agents' file itself.
    pub(crate) redirected: usize,
    pub(crate) faults: Vec<String>,
}

/// Reads every conversation back, through the same stack.
pub(crate) async fn verify(
    stores: &Stores,
    conversations: &[Arc<Conversation>],
    refused: &HashSet<(ThreadId, MessageId)>,
) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    for conversation in conversations {
        let is_stored = |turn: &&Turn| !refused.contains(&(conversation.thread.clone(), turn.id.clone()));
        let expected: Vec<&Turn> = conversation.turns.iter().filter(is_stored).collect();
        let found = read_all(&stores.db, conversation).await?;
        verdict.compare(conversation, &expected, &found);

        // The redirect has to have done what it says, in the one file and in the other.
        let there = read_all(&stores.agents, conversation).await?.len();
        verdict.redirected += there;
        let due = if is_agents(stores.db.tenant(), &conversation.thread) { expected.len() } else { 0 };
        if there != due {
            let thread = &conversation.thread;
            verdict
                .faults
                .push(format!("{thread}: {there} messages in the agents' file, where {due} are due"));
        }
    }
    Ok(verdict)
}

/// All final messages, page by page: an abandoned reply is no part of the conversation.
async fn read_all(db: &Persistence, conversation: &Conversation) -> Result<Vec<Message>> {
    let thread = db.thread(&conversation.thread);
    let mut messages = Vec::new();
    let mut next = Some(PageFrom::Start);
    while let Some(from) = next {
        let page: Page = thread.page_showing(from, PAGE, Visibility::Final).await?;
        next = page.next(from);
        messages.extend(page.messages);
    }
    Ok(messages)
}

impl Verdict {
    /// Turn by turn, in order: the first message has to be the first turn.
    fn compare(&mut self, conversation: &Conversation, expected: &[&Turn], found: &[Message]) {
        self.expected += expected.len();
        for (turn, message) in expected.iter().zip(found) {
            match difference(turn, message) {
                None => self.verified += 1,
                Some(what) => self.faults.push(format!("{}: {what}", turn.origin)),
            }
        }
        if expected.len() != found.len() {
            let (thread, found, due) = (&conversation.thread, found.len(), expected.len());
            self.faults.push(format!("{thread}: {found} messages, where {due} are due"));
        }
    }
}

/// The first thing that is not as it was read.
fn difference(turn: &Turn, message: &Message) -> Option<String> {
    let Turn { id, role, said, origin: _ } = turn;
    let found = &message.id;
    if found != id {
        return Some(out_of_order(id, found));
    }
    if (message.role, message.state) != (*role, MessageState::Final) {
        return Some(format!("{} {}, where {role} final is due", message.role, message.state));
    }
    match said {
        Said::Whole(json) if message.content.as_json() == json => None,
        Said::Whole(_) => Some("another content".to_owned()),
        Said::Streamed(blocks) => different_block(blocks, &message.content),
    }
}

fn out_of_order(due: &MessageId, found: &MessageId) -> String {
    format!("message `{found}` stands where `{due}` is due")
}

fn different_block(due: &[Block], content: &Content) -> Option<String> {
    let found = content.blocks();
    if found.len() != due.len() {
        return Some(format!("{} blocks, where {} are due", found.len(), due.len()));
    }
    let is_equal = |(due, found): (&Block, &&RawValue)| match due {
        Block::Text(text) => plain_text(found).as_ref() == Some(text),
        Block::Raw(json) => json.get() == found.get(),
    };
    let different = due.iter().zip(&found).position(|pair| !is_equal(pair))?;
    Some(format!("block {} is another", different + 1))
}
