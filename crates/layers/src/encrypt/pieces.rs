//! The content of a message as the pieces that it was written in.
//!
//! Every change of content raises the revision by one and leaves one piece with that number, a change to nothing new too. So
//! the pieces of a message are numbered without a gap, up to its revision, and a piece that is missing, doubled, moved or of
//! an earlier time is seen.

use serde::Deserialize;

use super::{Unreadable, Weakness, binding::Part, cell::Cell};
use throughline_core::{Content, Delta, MessageState, Revision, messages::ContentBuffer};

/// A piece as it stands in the store: a block of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Block<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    rev: u64,
    #[serde(rename = "as")]
    part: &'a str,
    cell: &'a str,
}

const OPENS: &str = r#"{"type":"sealed","#;

/// The block of one piece.
pub(super) fn block(part: Part, revision: u64, cell: &str) -> Content {
    let part = part.as_str();
    let json = format!(r#"[{OPENS}"rev":{revision},"as":"{part}","cell":"{cell}"}}]"#);
    Content::from_json(json).expect("an array of one block, of plain letters")
}

/// So many bytes are so many in base64.
pub(super) const fn sealed_bytes(plain: usize) -> usize {
    plain.div_ceil(3).saturating_mul(4)
}

/// How long content may be in the store that may have `plain` bytes as it was given, with a piece for each revision up to this one and a
/// `frame` of so many bytes around each. Content that was replaced has fewer pieces, and may be that much longer.
pub(super) const fn limit_of_sealed(plain: u64, revision: Revision, frame: usize) -> u64 {
    // The name of a key, the number of a revision and what base64 fills up may be longer in another piece.
    let frame = (frame as u64).saturating_add(SLACK);
    plain.div_ceil(3).saturating_mul(4).saturating_add(revision.get().saturating_mul(frame))
}

/// How long content may be as it is given, so that its pieces have `sealed` bytes at most. A sixteenth is kept for their frames.
pub(super) const fn limit_of_plain(sealed: u64) -> u64 {
    (sealed - sealed / 16) / 4 * 3
}

const SLACK: u64 = 96;

/// A piece that was found.
pub(super) struct Piece<'a> {
    pub(super) part: Part,
    pub(super) revision: u64,
    pub(super) cell: Cell<'a>,
}

impl<'a> Piece<'a> {
    fn parse(block: &'a str) -> Result<Option<Self>, Unreadable> {
        if !block.starts_with(OPENS) {
            return Ok(None);
        }
        let block: Block<'a> = serde_json::from_str(block).map_err(|_| Unreadable::Malformed)?;
        match (block.kind, Part::from_name(block.part), Cell::parse(block.cell)?) {
            ("sealed", Some(part), Some(cell)) => Ok(Some(Self { part, revision: block.rev, cell })),
            _ => Err(Unreadable::Malformed),
        }
    }
}

/// What is known of the message that the pieces are of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whose {
    pub(super) revision: u64,
    pub(super) state: MessageState,
    pub(super) accepts_plaintext: bool,
    pub(super) weakness: Weakness,
}

/// Puts the content together from its pieces, just as a store would have without the layer.
pub(super) fn assemble(
    stored: &Content,
    whose: Whose,
    mut open: impl FnMut(&Piece<'_>) -> Result<String, Unreadable>,
    mut met_plaintext: impl FnMut(),
) -> Result<Content, Unreadable> {
    let blocks = stored.blocks();
    let mut sealed = Vec::with_capacity(blocks.len());
    let mut plain = 0;
    for block in &blocks {
        match Piece::parse(block.get())? {
            Some(piece) => sealed.push(piece),
            // What was there before the pipeline encrypted stands before what came later.
            None if whose.accepts_plaintext && sealed.is_empty() => plain += 1,
            None => return Err(Unreadable::Plaintext),
        }
    }
    check_order(&sealed, plain, whose)?;
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
    for piece in rest {
        let delta = match piece.part {
            Part::FirstText | Part::Text => Delta::Text(open(piece)?),
            Part::FirstBlocks | Part::Blocks => {
                Delta::Blocks(Content::from_json(open(piece)?).map_err(|_| Unreadable::Malformed)?)
            }
            Part::Whole => return Err(Unreadable::Pieces),
        };
        // Content that nothing is appended to keeps its bytes, as in every store.
        if !delta.is_empty() {
            growth.get_or_insert_with(|| ContentBuffer::new(&base)).push(&delta);
        }
    }
    Ok(growth.map_or(base, |growth| growth.content()))
}

/// The revision that a message is at as soon as it is reserved; the first piece makes the next one.
const RESERVED: u64 = 1;

fn check_order(pieces: &[Piece<'_>], plain: usize, whose: Whose) -> Result<(), Unreadable> {
    let forgets_ends = whose.weakness == Weakness::ForgetsEnds;
    let Some((first, last)) = pieces.first().zip(pieces.last()) else {
        let is_reservation = whose.state == MessageState::Reserved && whose.revision == RESERVED;
        let fits = whose.accepts_plaintext || is_reservation;
        return if fits { Ok(()) } else { Err(Unreadable::Plaintext) };
    };
    // What is appended to text of before the pipeline encrypted has no first piece.
    let may_begin_plain = whose.accepts_plaintext && whose.weakness != Weakness::AcceptsPlaintext;
    let begins = if first.part.begins() { plain == 0 } else { may_begin_plain };
    if !forgets_ends && (!begins || last.revision != whose.revision) {
        return Err(Unreadable::Pieces);
    }
    let follows = |pair: &[Piece<'_>]| pair[1].revision == pair[0].revision + 1 && !pair[1].part.begins();
    if whose.weakness != Weakness::ForgetsOrder && !pieces.windows(2).all(follows) {
        return Err(Unreadable::Pieces);
    }
    Ok(())
}
