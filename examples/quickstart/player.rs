//! Plays a transcript as a host would have: what people say is added, what the assistant says is streamed.

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

use crate::transcript::{Block, Conversation, Said, Turn};

/// How many conversations go on at once.
const AT_ONCE: usize = 64;

/// How many waiting bytes of a reply are written at once. Less than a host would choose, so that most replies are
/// written in several pieces.
const PIECE: usize = 1024;

/// What was stored.
#[derive(Default)]
pub(crate) struct Played {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    pub(crate) took: Duration,
    /// The turns that the pipeline refused for what they hold: too large, or nested too deeply.
    pub(crate) refused: HashSet<(ThreadId, MessageId)>,
}

/// Plays every conversation: in order inside each, many side by side.
pub(crate) async fn play(
    db: &Persistence,
    conversations: &[Arc<Conversation>],
    bar: &ProgressBar,
) -> Result<Played, Box<dyn Error>> {
    let begun = Instant::now();
    let mut all = Played::default();
    let mut running = JoinSet::new();
    let mut waiting = conversations.iter();
    loop {
        while running.len() < AT_ONCE
            && let Some(conversation) = waiting.next()
        {
            let thread = db.thread(&conversation.thread);
            running.spawn(play_one(thread, Arc::clone(conversation), bar.clone()));
        }
        let Some(played) = running.join_next().await else { break };
        let Played { messages, bytes, refused, took: _ } = played??;
        all.messages += messages;
        all.bytes += bytes;
        all.refused.extend(refused);
    }
    Ok(Played { took: begun.elapsed(), ..all })
}

async fn play_one(thread: Thread, conversation: Arc<Conversation>, bar: ProgressBar) -> Result<Played> {
    let mut played = Played::default();
    for turn in &conversation.turns {
        let stored = match &turn.said {
            Said::Whole(json) => add(&thread, turn, json).await,
            Said::Streamed(blocks) => stream(&thread, turn, blocks).await,
        };
        match stored {
            Ok(()) => {
                played.messages += 1;
                played.bytes += turn.said.byte_len();
            }
            Err(error) if error.kind() == ErrorKind::TooLarge => {
                bar.suspend(|| eprintln!("refused {}: {error}", turn.origin));
                played.refused.insert((conversation.thread.clone(), turn.id.clone()));
            }
            Err(error) => return Err(error),
        }
        bar.inc(1);
    }
    Ok(played)
}

async fn add(thread: &Thread, turn: &Turn, json: &str) -> Result<()> {
    let message = NewMessage::new(turn.role, Content::from_json(json)?).with_id(turn.id.clone());
    thread.add(message).await?;
    Ok(())
}

async fn stream(thread: &Thread, turn: &Turn, blocks: &[Block]) -> Result<()> {
    let reservation = NewReservation::new(turn.role).with_id(turn.id.clone());
    let coalesce = Coalesce { bytes: PIECE, ..Coalesce::default() };
    let mut draft = thread.reserve(reservation).coalesce(coalesce).await?;
    let written = write(&mut draft, blocks).await;
    if written.is_err() {
        // Where giving up fails too, the row stays open until a sweep finds it.
        drop(draft.abandon("what it says was refused").await);
    }
    written
}

async fn write(draft: &mut Draft, blocks: &[Block]) -> Result<()> {
    for (at, block) in blocks.iter().enumerate() {
        match block {
            Block::Raw(json) => draft.append_blocks(Content::from_json(format!("[{json}]"))?).await?,
            Block::Text(text) => {
                let mut pieces = pieces(text);
                // Text that is appended continues a text block before it. One that is to stay apart from the block
                // before it, or that is empty, begins as a block.
                if at > 0 || text.is_empty() {
                    draft.append_blocks(Content::text(pieces.next().unwrap_or_default())).await?;
                }
                for piece in pieces {
                    draft.append(piece).await?;
                }
            }
        }
    }
    draft.finish().await?;
    Ok(())
}

/// Cuts text into uneven pieces of whole characters, as a model's tokens come.
fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    let mut sizes = [4, 1, 9, 2, 30, 6, 3, 120].into_iter().cycle();
    std::iter::from_fn(move || {
        let size = sizes.next().filter(|_| !text.is_empty())?;
        let end = text.char_indices().nth(size).map_or(text.len(), |(end, _)| end);
        let (piece, rest) = text.split_at(end);
        text = rest;
        Some(piece)
    })
}
