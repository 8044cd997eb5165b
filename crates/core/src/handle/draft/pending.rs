//! What waits to be written.

use std::{collections::VecDeque, iter};

use crate::{Delta, operation::ContentChange};

/// The most bytes that wait to be written before an append waits too: 4 MiB.
pub(super) const MAX_WAITING: u32 = 4 << 20;

/// How much room a change of so many bytes takes. One larger than all the room takes all of it.
pub(super) fn taken(bytes: u64) -> u64 {
    bytes.min(MAX_WAITING.into())
}

/// One write to come: what was given in one go, or neighbouring text gathered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Piece {
    pub(super) change: ContentChange,
    /// Bytes given to the draft that are committed with it: its own, and those that it supersedes.
    pub(super) bytes: u64,
    /// Of the room of the draft, what it and those that it supersedes have taken.
    pub(super) room: u64,
    /// Where the text was given in parts: the byte lengths of all but the first, from the front.
    cuts: Vec<usize>,
}

impl Piece {
    /// A piece that writes nothing: to settle or to renew.
    pub(super) const fn nothing() -> Self {
        Self { change: ContentChange::none(), bytes: 0, room: 0, cuts: Vec::new() }
    }

    /// Parts it where it was given in parts, near the middle; itself again when it was given in one go.
    pub(super) fn part(self) -> Result<(Self, Self), Self> {
        let Self { change, bytes, room, mut cuts } = self;
        let ContentChange::Append(Delta::Text(mut text)) = change else {
            return Err(Self { change, bytes, room, cuts });
        };
        if cuts.is_empty() {
            return Err(Self { change: ContentChange::Append(Delta::Text(text)), bytes, room, cuts });
        }
        let back_cuts = cuts.split_off(cuts.len() / 2 + 1);
        let at = cuts.pop().unwrap_or(0);
        let back = text.split_off(at);
        let back_bytes = back.len() as u64;
        let back_cuts: Vec<usize> = back_cuts.into_iter().map(|cut| cut - at).collect();
        let starts = iter::once(0).chain(back_cuts.iter().copied());
        let ends = back_cuts.iter().copied().chain([back.len()]);
        let back_room = starts.zip(ends).map(|(start, end)| taken((end - start) as u64)).sum();
        let piece = |text, bytes, room, cuts| {
            let change = ContentChange::Append(Delta::Text(text));
            Self { change, bytes, room, cuts }
        };
        Ok((
            piece(text, bytes - back_bytes, room - back_room, cuts),
            piece(back, back_bytes, back_room, back_cuts),
        ))
    }
}

/// Changes in order, neighbouring text gathered up to a size. What a replacement supersedes is not kept.
#[derive(Debug)]
pub(super) struct Pending {
    pieces: VecDeque<Piece>,
    bytes: u64,
    gather: usize,
}

impl Pending {
    /// Gathers text until a piece has this many bytes.
    pub(super) fn new(gather: usize) -> Self {
        Self { pieces: VecDeque::new(), bytes: 0, gather }
    }

    pub(super) fn push(&mut self, change: ContentChange) {
        let bytes = change.byte_len() as u64;
        let (mut superseded, mut room) = (0, taken(bytes));
        if matches!(change, ContentChange::Replace(_)) {
            for piece in self.pieces.drain(..) {
                superseded += piece.bytes;
                room += piece.room;
            }
            self.bytes = 0;
        }
        self.bytes += bytes;
        if let ContentChange::Append(Delta::Text(more)) = &change
            && let Some(piece) = self.pieces.back_mut()
            && let ContentChange::Append(Delta::Text(text)) = &mut piece.change
            && text.len() < self.gather
        {
            piece.cuts.push(text.len());
            text.push_str(more);
            piece.bytes += bytes;
            piece.room += room;
            return;
        }
        // What was given counts as committed once what replaced it is.
        self.pieces.push_back(Piece { change, bytes: superseded + bytes, room, cuts: Vec::new() });
    }

    pub(super) fn pop(&mut self) -> Option<Piece> {
        let piece = self.pieces.pop_front()?;
        self.bytes -= piece.change.byte_len() as u64;
        Some(piece)
    }

    /// Puts back what was refused and can be written later, or otherwise.
    pub(super) fn put_back(&mut self, piece: Piece) {
        self.bytes += piece.change.byte_len() as u64;
        self.pieces.push_front(piece);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Bytes that wait to be written.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Drops everything and answers how much of what was given that was.
    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Content;

    fn text(text: &str) -> ContentChange {
        ContentChange::Append(Delta::text(text))
    }

    fn popped(pending: &mut Pending) -> Option<(ContentChange, u64)> {
        pending.pop().map(|piece| (piece.change, piece.bytes))
    }

    #[test]
    fn text_is_gathered_up_to_a_size_and_blocks_are_not() {
        let blocks = ContentChange::Append(Delta::Blocks(Content::text("x")));
        let mut pending = Pending::new(3);
        for change in [text("a"), text("b"), text("cd"), text("e"), blocks.clone(), text("f")] {
            pending.push(change);
        }
        let block_bytes = blocks.byte_len() as u64;
        assert_eq!(pending.bytes(), 6 + block_bytes);
        assert_eq!(popped(&mut pending), Some((text("abcd"), 4)));
        assert_eq!(popped(&mut pending), Some((text("e"), 1)));
        assert_eq!(popped(&mut pending), Some((blocks, block_bytes)));
        assert_eq!(popped(&mut pending), Some((text("f"), 1)));
        assert_eq!((popped(&mut pending), pending.bytes()), (None, 0));
    }

    #[test]
    fn a_replacement_supersedes_what_waits() {
        let replace = ContentChange::Replace(Content::empty());
        let mut pending = Pending::new(100);
        pending.push(text("abc"));
        pending.push(replace.clone());
        pending.push(text("d"));
        assert_eq!(pending.bytes(), 2 + 1);
        assert_eq!(popped(&mut pending), Some((replace, 5)));
        assert_eq!(popped(&mut pending), Some((text("d"), 1)));
    }

    #[test]
    fn every_piece_gives_back_the_room_that_was_taken_for_it() {
        const ROOM: u64 = MAX_WAITING as u64;
        let large = "x".repeat(MAX_WAITING as usize + 5);
        let mut pending = Pending::new(usize::MAX);
        for part in ["ab", &large, "c"] {
            pending.push(text(part));
        }
        let (front, back) = pending.pop().unwrap().part().unwrap();
        assert_eq!((front.room, front.bytes), (2 + ROOM, 2 + ROOM + 5));
        assert_eq!((back.room, back.bytes), (1, 1));
        let (ab, large) = front.part().unwrap();
        assert_eq!((ab.room, large.room), (2, ROOM));
        pending.push(text("abc"));
        pending.push(ContentChange::Replace(Content::empty()));
        assert_eq!(pending.pop().unwrap().room, 3 + 2);
    }

    #[test]
    fn gathered_text_is_parted_where_it_was_given_in_parts() {
        let mut pending = Pending::new(100);
        for part in ["ab", "c", "def", "g"] {
            pending.push(text(part));
        }
        let (front, back) = pending.pop().unwrap().part().unwrap();
        assert_eq!((&front.change, front.bytes), (&text("abc"), 3));
        assert_eq!((&back.change, back.bytes), (&text("defg"), 4));
        let (def, g) = back.part().unwrap();
        assert_eq!((def.change.clone(), g.change.clone()), (text("def"), text("g")));
        let (ab, c) = front.part().unwrap();
        assert_eq!((ab.change.clone(), c.change.clone()), (text("ab"), text("c")));
        assert!(ab.part().is_err() && c.part().is_err() && def.part().is_err() && g.part().is_err());
    }
}
