//! Writes a transcript as a host would: it adds the messages of users, and streams the replies of the assistant.

use std::{
    collections::HashSet,
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use throughline::{
    Content, Draft, ErrorKind, MessageId, NewMessage, NewReservation, Persistence, Result, Thread, ThreadId,
    messages::Coalesce,
};
use tokio::task::JoinSet;

use crate::{
    skipped::MAX_LISTED,
    transcript::{Block, Conversation, Turn, TurnContent},
};

/// The number of conversations that are written concurrently.
const MAX_CONCURRENT: usize = 64;

/// The size at which a draft writes its pending text. It is smaller than in production, so that most replies take
/// several writes.
const COALESCE_BYTES: usize = 1024;

/// The result of the writes.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) took: Duration,
    /// The turns that the pipeline refused as too large or too deeply nested.
    pub(crate) refused: HashSet<(ThreadId, MessageId)>,
    /// The refusals of the first of these turns, at most [`MAX_LISTED`].
    refusals: Vec<String>,
}

/// Writes every conversation: concurrently, but each one in order.
pub(crate) async fn write_all(
    db: &Persistence,
    conversations: &[Arc<Conversation>],
    bar: &ProgressBar,
) -> Result<Written, Box<dyn Error>> {
    let begun = Instant::now();
    let mut all = Written::default();
    let mut running = JoinSet::new();
    let mut waiting = conversations.iter();
    loop {
        while running.len() < MAX_CONCURRENT
            && let Some(conversation) = waiting.next()
        {
            let thread = db.thread(&conversation.thread);
            running.spawn(write_conversation(thread, Arc::clone(conversation), bar.clone()));
        }
        let Some(written) = running.join_next().await else { break };
        let Written { messages, bytes, refused, refusals, took: _ } = written??;
        all.messages += messages;
        all.bytes += bytes;
        all.refused.extend(refused);
        all.refusals.extend(refusals.into_iter().take(MAX_LISTED - all.refusals.len()));
    }
    bar.suspend(|| all.refusals.iter().for_each(|refusal| eprintln!("refused {refusal}")));
    Ok(Written { took: begun.elapsed(), ..all })
}

async fn write_conversation(
    thread: Thread,
    conversation: Arc<Conversation>,
    bar: ProgressBar,
) -> Result<Written> {
    let mut written = Written::default();
    for turn in &conversation.turns {
        let stored = match &turn.content {
            TurnContent::Whole(json) => add(&thread, turn, json).await,
            TurnContent::Streamed(blocks) => stream(&thread, turn, blocks).await,
        };
        match stored {
            Ok(()) => {
                written.messages += 1;
                written.bytes += turn.content.byte_len();
            }
            Err(error) if error.kind() == ErrorKind::TooLarge => {
                if written.refusals.len() < MAX_LISTED {
                    written.refusals.push(format!("{}: {error}", turn.origin));
                }
                written.refused.insert((conversation.thread.clone(), turn.id.clone()));
            }
            Err(error) => return Err(error),
        }
        bar.inc(1);
    }
    Ok(written)
}

async fn add(thread: &Thread, turn: &Turn, json: &str) -> Result<()> {
    let message = NewMessage::new(turn.role, Content::from_json(json)?).with_id(turn.id.clone());
    thread.add(message).await?;
    Ok(())
}

async fn stream(thread: &Thread, turn: &Turn, blocks: &[Block]) -> Result<()> {
    let reservation = NewReservation::new(turn.role).with_id(turn.id.clone());
    let coalesce = Coalesce { bytes: COALESCE_BYTES, ..Coalesce::default() };
    let mut draft = thread.reserve(reservation).coalesce(coalesce).await?;
    let written = stream_blocks(&mut draft, blocks).await;
    if written.is_err() {
        // If `abandon` fails too, the message stays open until its lease expires and a host recovers it.
        drop(draft.abandon("its content was refused").await);
    }
    written
}

async fn stream_blocks(draft: &mut Draft, blocks: &[Block]) -> Result<()> {
    for (at, block) in blocks.iter().enumerate() {
        match block {
            Block::Raw(json) => draft.append_blocks(Content::from_json(format!("[{json}]"))?).await?,
            Block::Text(text) => {
                let mut tokens = tokens(text);
                // `append` continues a preceding text block. Text that is empty, or that follows another block, must
                // start a new block.
                if at > 0 || text.is_empty() {
                    draft.append_blocks(Content::text(tokens.next().unwrap_or_default())).await?;
                }
                for token in tokens {
                    draft.append(token).await?;
                }
            }
        }
    }
    draft.finish().await?;
    Ok(())
}

/// Splits text into uneven parts at character boundaries, similar to the tokens of a model.
fn tokens(mut text: &str) -> impl Iterator<Item = &str> {
    let mut sizes = [4, 1, 9, 2, 30, 6, 3, 120].into_iter().cycle();
    std::iter::from_fn(move || {
        let size = sizes.next().filter(|_| !text.is_empty())?;
        let end = text.char_indices().nth(size).map_or(text.len(), |(end, _)| end);
        let (token, rest) = text.split_at(end);
        text = rest;
        Some(token)
    })
}
