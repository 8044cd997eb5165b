//! Compares the stored messages with the input. The expected values come from the input alone.

use std::{collections::HashSet, sync::Arc};

use serde_json::value::RawValue;
use throughline::{
    Content, Message, MessageId, MessageState, Persistence, Result, ThreadId,
    messages::{Page, PageFrom, Visibility},
};

use crate::{
    skipped::MAX_LISTED,
    store::{Stores, is_agents},
    transcript::{Block, Conversation, Turn, TurnContent, plain_text},
};

/// The number of messages that one read returns.
const PAGE: u32 = 200;

/// The result of the comparison.
#[derive(Default)]
pub(crate) struct Verdict {
    pub(crate) expected: usize,
    pub(crate) verified: usize,
    /// Messages that the agents' file itself contains.
    pub(crate) redirected: usize,
    /// The first mismatches, at most [`MAX_LISTED`].
    pub(crate) mismatches: Vec<String>,
    pub(crate) more_mismatches: usize,
}

/// Reads every conversation through the same stack, and compares it with the input.
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

        // Read the agents' file directly too: the redirect must have sent each thread to the right file.
        let redirected = read_all(&stores.agents, conversation).await?.len();
        verdict.redirected += redirected;
        let wanted = if is_agents(stores.db.tenant(), &conversation.thread) { expected.len() } else { 0 };
        if redirected != wanted {
            let thread = &conversation.thread;
            verdict
                .mismatch(format!("{thread}: {redirected} messages in the agents' file, expected {wanted}"));
        }
    }
    Ok(verdict)
}

/// Reads all final messages, page by page. An abandoned reply is not part of the conversation.
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
    /// Compares turns and messages pairwise, in order.
    fn compare(&mut self, conversation: &Conversation, expected: &[&Turn], found: &[Message]) {
        self.expected += expected.len();
        for (turn, message) in expected.iter().zip(found) {
            match difference(turn, message) {
                None => self.verified += 1,
                Some(difference) => self.mismatch(format!("{}: {difference}", turn.origin)),
            }
        }
        if expected.len() != found.len() {
            let (thread, found, due) = (&conversation.thread, found.len(), expected.len());
            self.mismatch(format!("{thread}: {found} messages, expected {due}"));
        }
    }

    fn mismatch(&mut self, mismatch: String) {
        if self.mismatches.len() < MAX_LISTED {
            self.mismatches.push(mismatch);
        } else {
            self.more_mismatches += 1;
        }
    }
}

/// Returns the first difference between a turn and the stored message.
fn difference(turn: &Turn, message: &Message) -> Option<String> {
    let Turn { id, role, content, origin: _ } = turn;
    let found = &message.id;
    if found != id {
        return Some(out_of_order(id, found));
    }
    if (message.role, message.state) != (*role, MessageState::Final) {
        return Some(format!("found {} {}, expected {role} final", message.role, message.state));
    }
    match content {
        TurnContent::Whole(json) if message.content.as_json() == json => None,
        TurnContent::Whole(_) => Some("the content differs".to_owned()),
        TurnContent::Streamed(blocks) => different_block(blocks, &message.content),
    }
}

fn out_of_order(due: &MessageId, found: &MessageId) -> String {
    format!("found message `{found}`, expected `{due}`")
}

fn different_block(due: &[Block], content: &Content) -> Option<String> {
    let found = content.blocks();
    if found.len() != due.len() {
        return Some(format!("found {} blocks, expected {}", found.len(), due.len()));
    }
    let is_equal = |(due, found): (&Block, &&RawValue)| match due {
        Block::Text(text) => plain_text(found).as_ref() == Some(text),
        Block::Raw(json) => json.get() == found.get(),
    };
    let different = due.iter().zip(&found).position(|pair| !is_equal(pair))?;
    Some(format!("block {} differs", different + 1))
}
