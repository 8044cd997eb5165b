//! Decrypts the answers to tail reads.
//!
//! The cursor of a tail read names the last chunk that the reader has, by its revision. The next chunk has the next revision, so
//! that the layer detects a missing, repeated or moved chunk between two reads too.
//!
//! Where plaintext is accepted, a host without encryption may still append to its messages. Behind plaintext, the cursor has the
//! revision zero: plaintext can follow, or any chunk that continues a message.

use super::{
    Unreadable,
    binding::Field,
    chunks::{Chunk, StoredBlocks},
    key_set::KeySet,
};
use throughline_core::{
    Content, Delta, MessageId, MessageState, Result, Revision, ThreadId,
    messages::{ContentCursor, ContentTail},
};

/// Decrypts the parts of a tail read after this cursor.
pub(super) fn open_tail(
    tail: &mut ContentTail,
    after: Option<ContentCursor>,
    key_set: &mut KeySet<'_>,
) -> Result<()> {
    let after = after.filter(|after| !tail.replaced && after.offset() > 0);
    let (thread, id) = (tail.thread.clone(), tail.id.clone());
    let mut opened = Opened {
        owner: (&thread, &id),
        key_set,
        parts: Vec::new(),
        revision: tail.revision.get(),
        reached: after.map(ContentCursor::revision),
        has_chunks: false,
        has_plaintext: false,
    };
    let read = opened.take(std::mem::take(&mut tail.parts)).and_then(|()| opened.check_end(tail));
    read.map_err(|why| why.at("content", &thread, Some(&id)))?;
    if tail.has_more || opened.reached == Some(UNKNOWN) {
        tail.next = tail.next.at_revision(opened.reached.unwrap_or(UNKNOWN));
    }
    tail.parts = opened.parts;
    Ok(())
}

/// The revision in a cursor behind plaintext.
const UNKNOWN: Revision = Revision::ZERO;

struct Opened<'a, 'k> {
    owner: (&'a ThreadId, &'a MessageId),
    key_set: &'a mut KeySet<'k>,
    parts: Vec<Delta>,
    /// The revision of the message.
    revision: u64,
    /// The revision of the last chunk, or [`UNKNOWN`] behind plaintext; `None` at the start of the content.
    reached: Option<Revision>,
    has_chunks: bool,
    has_plaintext: bool,
}

impl Opened<'_, '_> {
    fn take(&mut self, parts: Vec<Delta>) -> Result<(), Unreadable> {
        for part in parts {
            match part {
                Delta::Text(_) => {
                    self.accept_plaintext()?;
                    self.parts.push(part);
                }
                Delta::Blocks(stored) => {
                    let accepts = self.key_set.accepts_plaintext() && !self.has_chunks;
                    let blocks = StoredBlocks::parse(&stored, accepts)?;
                    if let Some(plain) = blocks.plaintext()? {
                        self.accept_plaintext()?;
                        self.parts.push(Delta::Blocks(plain));
                    }
                    blocks.chunks().iter().try_for_each(|chunk| self.chunk(chunk))?;
                }
            }
        }
        Ok(())
    }

    /// Refuses plaintext behind a chunk, and all plaintext unless it is accepted.
    fn accept_plaintext(&mut self) -> Result<(), Unreadable> {
        if self.has_chunks || !self.key_set.accepts_plaintext() {
            return Err(Unreadable::Plaintext);
        }
        if !self.has_plaintext {
            self.has_plaintext = true;
            // A host without encryption wrote it, with any number of writes.
            self.reached = Some(UNKNOWN);
            let (thread, id) = self.owner;
            self.key_set.met_plaintext(thread, Some(id), Field::Reason { revision: self.revision })?;
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> Result<(), Unreadable> {
        let is_due = match self.reached {
            None => chunk.part.begins(),
            // An append to plaintext starts nothing.
            Some(UNKNOWN) => !chunk.part.begins() && self.key_set.accepts_plaintext(),
            Some(reached) => !chunk.part.begins() && chunk.revision == reached.next().get(),
        };
        if !is_due {
            return Err(Unreadable::Chunks);
        }
        (self.reached, self.has_chunks) = (Some(Revision::new(chunk.revision)), true);
        let (thread, id) = self.owner;
        let field = Field::Content { part: chunk.part, revision: chunk.revision };
        let text = self.key_set.open_ciphertext(thread, Some(id), field, &chunk.ciphertext)?;
        let delta = if chunk.part.is_text() {
            Delta::Text(text)
        } else {
            Delta::Blocks(Content::from_json(text).map_err(|_| Unreadable::Malformed)?)
        };
        match (self.parts.last_mut(), delta) {
            (_, delta) if delta.is_empty() => {}
            (Some(Delta::Text(text)), Delta::Text(more)) => text.push_str(&more),
            (_, delta) => self.parts.push(delta),
        }
        Ok(())
    }

    /// Refuses an answer without the last chunk, and content without a chunk, except of a reservation.
    fn check_end(&self, tail: &ContentTail) -> Result<(), Unreadable> {
        if tail.has_more {
            return Ok(());
        }
        match self.reached {
            None => {
                let is_reservation = tail.state == MessageState::Reserved;
                let fits = self.key_set.accepts_plaintext() || is_reservation;
                if fits { Ok(()) } else { Err(Unreadable::Plaintext) }
            }
            Some(UNKNOWN) => Ok(()),
            Some(reached) if reached == tail.revision => Ok(()),
            Some(_) => Err(Unreadable::Chunks),
        }
    }
}
