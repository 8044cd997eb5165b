//! The content of an open message: a part of it in memory, shown in several events.

use super::{AppendedContent, ThreadEvent, cursor::ShownContent};
use crate::{
    Revision, Seq,
    message::{ContentCursor, ContentParts},
    operation::ContentTail,
};

/// The most bytes of content that a stream keeps for its next events. Only a single block that is not plain text can be longer.
///
/// A store reads the whole content behind a cursor, whatever the limit is. A lower bound would cost more reads of a long message.
pub(super) const MOST: u32 = 256 << 10;

/// The answer to a tail read, of which a part is shown.
///
/// A cursor in the middle is the content cursor of the read and the bytes of the answer that are shown. The offset of a content cursor
/// counts stored bytes, which only the store knows: encryption, for example, stores others than it shows.
pub(super) struct ReadAhead {
    seq: Seq,
    /// The answer without its parts.
    tail: ContentTail,
    parts: ContentParts,
    /// The cursor from which the answer was read.
    start: ContentCursor,
    /// Whether the next event is the first content, or begins again.
    begins_again: bool,
    /// Whether the answer was longer than [`MOST`], and its end was dropped. Another read brings it.
    is_cut: bool,
}

impl ReadAhead {
    /// Returns the rest of an answer to a read from `shown`. `None` if the answer does not continue what was shown: read from the
    /// start, without a cursor. Keeps at most [`MOST`] bytes: a layer can answer more than the limit of the read.
    pub(super) fn after(shown: Option<ShownContent>, seq: Seq, mut tail: ContentTail) -> Option<Self> {
        let mut parts = ContentParts::new(std::mem::take(&mut tail.parts));
        let start = shown.map(|shown| shown.cursor).filter(|_| !tail.replaced);
        let skipped = shown.map_or(0, |shown| shown.bytes);
        let mut begins_again = start.is_none();
        if let Some(start) = start.filter(|_| skipped > 0) {
            if start.epoch() != tail.next.epoch() {
                // An answer from the start of the content does not say that the content was replaced.
                begins_again = true;
            } else if !parts.skip(skipped) {
                return None;
            }
        }
        let (offset, revision) = match start.filter(|_| !begins_again) {
            Some(start) => (start.offset(), start.revision()),
            None => (0, Revision::ZERO),
        };
        let start = ContentCursor::new(tail.next.epoch(), offset, revision);
        let is_cut = parts.held() > MOST as usize && parts.cut(MOST);
        Some(Self { seq, tail, parts, start, begins_again, is_cut })
    }

    /// Whether this is the content that follows.
    pub(super) fn continues(&self, seq: Seq, shown: Option<ShownContent>) -> bool {
        self.seq == seq && shown == Some(self.shown())
    }

    /// Takes the next event of up to `limit` bytes. `None` if the answer brings nothing.
    pub(super) fn event(&mut self, limit: u32) -> Option<ThreadEvent> {
        let parts = self.parts.take(limit);
        let begins_again = std::mem::take(&mut self.begins_again);
        if parts.is_empty() && !begins_again {
            return None;
        }
        let ContentTail { id, state, revision, .. } = &self.tail;
        let (id, state, revision) = (id.clone(), *state, *revision);
        let appended = AppendedContent { id, seq: self.seq, revision, state, parts };
        Some(if begins_again { ThreadEvent::Replaced(appended) } else { ThreadEvent::Delta(appended) })
    }

    /// The content that is shown so far.
    pub(super) fn shown(&self) -> ShownContent {
        if self.parts.is_empty() && !self.is_cut {
            return self.tail.next.into();
        }
        ShownContent { cursor: self.start, bytes: self.parts.taken() }
    }

    /// The bytes of content in memory.
    pub(super) fn held(&self) -> usize {
        self.parts.held()
    }

    /// Whether all parts are shown.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether the message has more content than these parts.
    pub(super) const fn has_more(&self) -> bool {
        self.tail.has_more || self.is_cut
    }
}
