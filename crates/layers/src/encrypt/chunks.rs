//! Stores the content of a message as chunks, one for each change.
//!
//! Every change of content raises the revision by one and adds one chunk with that number, even when the content stays
//! equal. So the chunks of a message are numbered without a gap up to its revision, and the layer detects a missing,
//! repeated, moved or outdated chunk.

use std::io::Write as _;

use serde::Deserialize;

use super::{Unreadable, binding::Part, ciphertext::Ciphertext};
use throughline_core::{Content, Delta, MessageState, PersistError, Revision, messages::ContentBuffer};

/// A chunk as the store keeps it: one content block.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    rev: u64,
    #[serde(rename = "as")]
    part: &'a str,
    ciphertext: &'a str,
}

const BLOCK_PREFIX: &str = r#"{"type":"sealed","#;

/// The bytes of a block around its part, its revision and its ciphertext, at most.
const FRAME: usize = 80;

/// Returns the content block of one chunk, whose ciphertext `seal` appends: at most `sealed` bytes.
pub(super) fn block(
    part: Part,
    revision: u64,
    sealed: usize,
    seal: impl FnOnce(&mut Vec<u8>) -> Result<(), PersistError>,
) -> Result<Content, PersistError> {
    let part = part.as_str();
    let mut json = Vec::with_capacity(FRAME + part.len() + sealed);
    write!(json, r#"[{BLOCK_PREFIX}"rev":{revision},"as":"{part}","ciphertext":""#)
        .expect("a vector takes all bytes");
    seal(&mut json)?;
    json.extend_from_slice(br#""}]"#);
    let json = String::from_utf8(json).expect("a block is ASCII");
    Ok(Content::from_json(json).expect("an array of one block, of plain letters"))
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
}

/// The blocks of a message: plaintext from before the encryption, then chunks.
pub(super) struct StoredBlocks<'a> {
    stored: &'a Content,
    plain: Vec<&'a str>,
    chunks: Vec<Chunk<'a>>,
}

impl<'a> StoredBlocks<'a> {
    /// Parses the blocks. Refuses plaintext behind a chunk, and all plaintext unless it is accepted.
    pub(super) fn parse(stored: &'a Content, accepts_plaintext: bool) -> Result<Self, Unreadable> {
        let blocks = stored.blocks();
        let (mut plain, mut chunks) = (Vec::new(), Vec::with_capacity(blocks.len()));
        for block in blocks {
            match Chunk::parse(block.get())? {
                Some(chunk) => chunks.push(chunk),
                None if accepts_plaintext && chunks.is_empty() => plain.push(block.get()),
                None => return Err(Unreadable::Plaintext),
            }
        }
        Ok(Self { stored, plain, chunks })
    }

    /// The plaintext from before the encryption, if there is any.
    pub(super) fn plaintext(&self) -> Result<Option<Content>, Unreadable> {
        if self.plain.is_empty() {
            return Ok(None);
        }
        let plain = Content::from_json(format!("[{}]", self.plain.join(",")));
        plain.map(Some).map_err(|_| Unreadable::Malformed)
    }

    /// The chunks, in their order.
    pub(super) fn chunks(&self) -> &[Chunk<'a>] {
        &self.chunks
    }

    /// Refuses content without a chunk, except of a reservation, unless plaintext is accepted.
    pub(super) fn check_presence(&self, info: MessageInfo) -> Result<(), Unreadable> {
        // Of any revision: the id of a deleted message can be reserved again.
        let is_reservation = info.state == MessageState::Reserved;
        let fits = !self.chunks.is_empty() || info.accepts_plaintext || is_reservation;
        if fits { Ok(()) } else { Err(Unreadable::Plaintext) }
    }

    /// Refuses chunks whose first one does not start the content, or whose last one is not the message's revision.
    pub(super) fn check_ends(&self, info: MessageInfo) -> Result<(), Unreadable> {
        let Some((first, last)) = self.chunks.first().zip(self.chunks.last()) else { return Ok(()) };
        // An append to plaintext from before the encryption has no first chunk.
        let begins = if first.part.begins() { self.plain.is_empty() } else { info.accepts_plaintext };
        if begins && last.revision == info.revision { Ok(()) } else { Err(Unreadable::Chunks) }
    }

    /// Refuses a gap or a repetition between two chunks, and a second start.
    pub(super) fn check_order(&self) -> Result<(), Unreadable> {
        let is_next = |pair: &[Chunk<'_>]| pair[1].revision == pair[0].revision + 1 && !pair[1].part.begins();
        if self.chunks.windows(2).all(is_next) { Ok(()) } else { Err(Unreadable::Chunks) }
    }

    /// Decrypts the chunks and joins them, without any check of their order.
    pub(super) fn join(
        &self,
        mut open: impl FnMut(&Chunk<'_>) -> Result<String, Unreadable>,
        mut met_plaintext: impl FnMut(),
    ) -> Result<Content, Unreadable> {
        let Some(first) = self.chunks.first() else {
            if !self.plain.is_empty() {
                met_plaintext();
            }
            return Ok(self.stored.clone());
        };
        let (base, rest) = if first.part == Part::Whole {
            let whole = Content::from_json(open(first)?).map_err(|_| Unreadable::Malformed)?;
            (whole, &self.chunks[1..])
        } else if let Some(plain) = self.plaintext()? {
            met_plaintext();
            (plain, &self.chunks[..])
        } else {
            (Content::empty(), &self.chunks[..])
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
}

/// Reassembles the content from its chunks, exactly as a store without the layer would have it.
pub(super) fn assemble(
    stored: &Content,
    info: MessageInfo,
    open: impl FnMut(&Chunk<'_>) -> Result<String, Unreadable>,
    met_plaintext: impl FnMut(),
) -> Result<Content, Unreadable> {
    let blocks = StoredBlocks::parse(stored, info.accepts_plaintext)?;
    blocks.check_presence(info)?;
    blocks.check_ends(info)?;
    blocks.check_order()?;
    blocks.join(open, met_plaintext)
}
