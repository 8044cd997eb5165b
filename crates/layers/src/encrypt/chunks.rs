//! Stores the content of a message as chunks, one for each change.
//!
//! Every change of content raises the revision by one and adds one chunk with that number, even when the content stays
//! equal. So the chunks of a message are numbered without a gap up to its revision, and the layer detects a missing,
//! repeated, moved or outdated chunk.

use serde::Deserialize;

use super::{Unreadable, Weakness, binding::Part, ciphertext::Ciphertext};
use throughline_core::{Content, Delta, MessageState, Revision, messages::ContentBuffer};

/// A chunk as the store keeps it: one content block.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    rev: u64,
    #[serde(rename = "as")]
    part: &'a str,
    #[serde(rename = "cell")]
    ciphertext: &'a str,
}

const BLOCK_PREFIX: &str = r#"{"type":"sealed","#;

/// Returns the content block of one chunk.
pub(super) fn block(part: Part, revision: u64, ciphertext: &str) -> Content {
    let part = part.as_str();
    let json = format!(r#"[{BLOCK_PREFIX}"rev":{revision},"as":"{part}","cell":"{ciphertext}"}}]"#);
    Content::from_json(json).expect("an array of one block, of plain letters")
}

/// Returns the length of `plain` bytes in base64.
pub(super) const fn sealed_bytes(plain: usize) -> usize {
    plain.div_ceil(3).saturating_mul(4)
}

/// Returns the limit on stored content for a limit of `plain` bytes on plaintext. It allows one chunk for each revision
/// up to this one, with `frame` bytes around each. Replaced content has fewer chunks, and may be longer by their
/// frames.
pub(super) const fn limit_of_sealed(plain: u64, revision: Revision, frame: usize) -> u64 {
    // Another chunk can have a longer key name, a longer revision number and more base64 padding.
    let frame = (frame as u64).saturating_add(SLACK);
    plain.div_ceil(3).saturating_mul(4).saturating_add(revision.get().saturating_mul(frame))
}

/// Returns the limit on plaintext for a limit of `sealed` bytes on its chunks. A sixteenth is reserved for their
/// frames.
pub(super) const fn limit_of_plain(sealed: u64) -> u64 {
    (sealed - sealed / 16) / 4 * 3
}

const SLACK: u64 = 96;

/// A parsed chunk.
pub(super) struct Chunk<'a> {
    pub(super) part: Part,
    pub(super) revision: u64,
    pub(super) ciphertext: Ciphertext<'a>,
}

impl<'a> Chunk<'a> {
    fn parse(block: &'a str) -> Result<Option<Self>, Unreadable> {
        if !block.starts_with(BLOCK_PREFIX) {
            return Ok(None);
        }
        let block: Block<'a> = serde_json::from_str(block).map_err(|_| Unreadable::Malformed)?;
        match (block.kind, Part::from_name(block.part), Ciphertext::parse(block.ciphertext)?) {
            ("sealed", Some(part), Some(ciphertext)) => {
                Ok(Some(Self { part, revision: block.rev, ciphertext }))
            }
            _ => Err(Unreadable::Malformed),
        }
    }
}

/// The facts about a message that its chunks are checked against.
#[derive(Debug, Clone, Copy)]
pub(super) struct MessageInfo {
    pub(super) revision: u64,
    pub(super) state: MessageState,
    pub(super) accepts_plaintext: bool,
    pub(super) weakness: Weakness,
}

/// Reassembles the content from its chunks, exactly as a store without the layer would have it.
pub(super) fn assemble(
    stored: &Content,
    info: MessageInfo,
    mut open: impl FnMut(&Chunk<'_>) -> Result<String, Unreadable>,
    mut met_plaintext: impl FnMut(),
) -> Result<Content, Unreadable> {
    let blocks = stored.blocks();
    let mut sealed = Vec::with_capacity(blocks.len());
    let mut plain = 0;
    for block in &blocks {
        match Chunk::parse(block.get())? {
            Some(chunk) => sealed.push(chunk),
            // Plaintext from before the encryption precedes all chunks.
            None if info.accepts_plaintext && sealed.is_empty() => plain += 1,
            None => return Err(Unreadable::Plaintext),
        }
    }
    check_order(&sealed, plain, info)?;
    let Some(first) = sealed.first() else {
        if plain > 0 {
            met_plaintext();
        }
        return Ok(stored.clone());
    };
    let (base, rest) = if first.part == Part::Whole {
        (Content::from_json(open(first)?).map_err(|_| Unreadable::Malformed)?, &sealed[1..])
    } else if plain > 0 {
        met_plaintext();
        let plain: Vec<_> = blocks[..plain].iter().map(|block| block.get()).collect();
        (
            Content::from_json(format!("[{}]", plain.join(","))).map_err(|_| Unreadable::Malformed)?,
            &sealed[..],
        )
    } else {
        (Content::empty(), &sealed[..])
    };
    let mut growth: Option<ContentBuffer> = None;
    for chunk in rest {
        let delta = match chunk.part {
            Part::FirstText | Part::Text => Delta::Text(open(chunk)?),
            Part::FirstBlocks | Part::Blocks => {
                Delta::Blocks(Content::from_json(open(chunk)?).map_err(|_| Unreadable::Malformed)?)
            }
            Part::Whole => return Err(Unreadable::Chunks),
        };
        // Content without appends keeps its bytes, as in every store.
        if !delta.is_empty() {
            growth.get_or_insert_with(|| ContentBuffer::new(&base)).push(&delta);
        }
    }
    Ok(growth.map_or(base, |growth| growth.content()))
}

/// The revision of a reservation; the first chunk creates the next one.
const RESERVED: u64 = 1;

fn check_order(chunks: &[Chunk<'_>], plain: usize, info: MessageInfo) -> Result<(), Unreadable> {
    let forgets_ends = info.weakness == Weakness::ForgetsEnds;
    let Some((first, last)) = chunks.first().zip(chunks.last()) else {
        let is_reservation = info.state == MessageState::Reserved && info.revision == RESERVED;
        let fits = info.accepts_plaintext || is_reservation;
        return if fits { Ok(()) } else { Err(Unreadable::Plaintext) };
    };
    // An append to plaintext from before the encryption has no first chunk.
    let may_begin_plain = info.accepts_plaintext && info.weakness != Weakness::AcceptsPlaintext;
    let begins = if first.part.begins() { plain == 0 } else { may_begin_plain };
    if !forgets_ends && (!begins || last.revision != info.revision) {
        return Err(Unreadable::Chunks);
    }
    let is_next = |pair: &[Chunk<'_>]| pair[1].revision == pair[0].revision + 1 && !pair[1].part.begins();
    if info.weakness != Weakness::ForgetsOrder && !chunks.windows(2).all(is_next) {
        return Err(Unreadable::Chunks);
    }
    Ok(())
}
