//! Adds the conversations of files to the store.

use std::{path::PathBuf, sync::Arc};

use throughline::{
    Content, ErrorKind, Labels, NewMessage, NewThread, Persistence, Title, threads::CreateThread,
};

use crate::{
    Result,
    reader::Reader,
    transcript::{Block, Conversation, Turn, TurnContent},
};

const SAMPLE: &str = include_str!("../quickstart/sample.jsonl");

/// The longest title, in characters.
const TITLE: usize = 80;

/// Reads the files, or the sample of the quickstart without any.
pub(crate) fn read(files: &[PathBuf]) -> Vec<Arc<Conversation>> {
    let mut reader = Reader::default();
    if files.is_empty() {
        reader.input("sample.jsonl", SAMPLE.as_bytes());
    }
    files.iter().for_each(|file| reader.file(file));
    let Reader { transcript, records, skipped } = reader;
    eprint!("{skipped}");
    let (messages, skipped) = (transcript.messages(), skipped.total());
    println!("read {records} records with {messages} messages, skipped {skipped}");
    transcript.into_conversations()
}

/// Adds each conversation as a thread. Returns the number of messages. A second run over the same file adds nothing.
pub(crate) async fn add(db: &Persistence, conversations: &[Arc<Conversation>]) -> Result<usize> {
    let mut added = 0;
    for conversation in conversations {
        let kind = conversation.thread.as_str().split(':').next().unwrap_or_default();
        let new = NewThread::new()
            .with_id(conversation.thread.clone())
            .with_title(title(conversation)?)
            .with_labels(Labels::new().with("kind", kind)?);
        match db.on_thread(CreateThread::new(new)).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error.into()),
        }
        let thread = db.thread(&conversation.thread);
        for turn in &conversation.turns {
            let message = NewMessage::new(turn.role, content(turn)?).with_id(turn.id.clone());
            match thread.add(message).await {
                Ok(_) => added += 1,
                // The limits of the pipeline refuse a message that is too large or too deeply nested.
                Err(error) if error.kind() == ErrorKind::TooLarge => eprintln!("refused: {error}"),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(added)
}

/// Returns the begin of the first text as a title.
fn title(conversation: &Conversation) -> Result<Title> {
    let mut texts = conversation.turns.iter().filter_map(text_of);
    let text = texts.find(|text| !text.trim().is_empty()).unwrap_or_default();
    let line = text.trim().lines().next().unwrap_or_default();
    let short: String = line.chars().take(TITLE).collect();
    let more = if line.chars().nth(TITLE).is_some() { "…" } else { "" };
    Ok(Title::new(short + more)?)
}

/// Returns the first text of a turn.
pub(crate) fn text_of(turn: &Turn) -> Option<String> {
    match &turn.content {
        TurnContent::Whole(json) => {
            let blocks: Vec<serde_json::Value> = serde_json::from_str(json).ok()?;
            blocks.iter().find_map(|block| block["text"].as_str().map(str::to_owned))
        }
        TurnContent::Streamed(blocks) => blocks.iter().find_map(|block| match block {
            Block::Text(text) => Some(text.clone()),
            Block::Raw(_) => None,
        }),
    }
}

fn content(turn: &Turn) -> Result<Content> {
    let blocks = match &turn.content {
        TurnContent::Whole(json) => return Ok(Content::from_json(json.clone())?),
        TurnContent::Streamed(blocks) => blocks,
    };
    let json: Vec<String> = blocks
        .iter()
        .map(|block| match block {
            Block::Text(text) => serde_json::json!({"type": "text", "text": text}).to_string(),
            Block::Raw(json) => json.get().to_owned(),
        })
        .collect();
    Ok(Content::from_json(format!("[{}]", json.join(",")))?)
}
