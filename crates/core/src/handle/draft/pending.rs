//! The buffer of a draft: changes that wait to be written.

use std::{collections::VecDeque, iter};

use crate::{Delta, operation::ContentChange};

/// The size of the buffer in bytes: 4 MiB. At this size, an append waits.
pub(super) const MAX_WAITING: u32 = 4 << 20;

/// Returns the number of permits for a change of this many bytes. A change larger than the buffer takes all permits.
pub(super) fn permits_for(bytes: u64) -> u64 {
    bytes.min(MAX_WAITING.into())
}

/// One future write: one change, or several neighboring text appends.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PendingWrite {
    pub(super) change: ContentChange,
    /// The appended bytes that become durable with it: its own, and those that it supersedes.
    pub(super) bytes: u64,
    /// The permits that it and the superseded writes hold.
    pub(super) permits: u64,
    /// The start of each append but the first, as byte offsets into the text.
    starts: Vec<usize>,
}

impl PendingWrite {
    /// Returns a write without content, to settle a message or to renew its lease.
    pub(super) const fn empty() -> Self {
        Self { change: ContentChange::none(), bytes: 0, permits: 0, starts: Vec::new() }
    }

    /// Splits the text between two appends, near the middle. Returns itself as the error if it consists of one
    /// append.
    pub(super) fn split(self) -> Result<(Self, Self), Self> {
        let Self { change, bytes, permits, mut starts } = self;
        let ContentChange::Append(Delta::Text(mut text)) = change else {
            return Err(Self { change, bytes, permits, starts });
        };
        if starts.is_empty() {
            return Err(Self { change: ContentChange::Append(Delta::Text(text)), bytes, permits, starts });
        }
        let back_starts = starts.split_off(starts.len() / 2 + 1);
        let at = starts.pop().unwrap_or(0);
        let back = text.split_off(at);
        let back_bytes = back.len() as u64;
        let back_starts: Vec<usize> = back_starts.into_iter().map(|start| start - at).collect();
        let part_starts = iter::once(0).chain(back_starts.iter().copied());
        let ends = back_starts.iter().copied().chain([back.len()]);
        let back_permits = part_starts.zip(ends).map(|(start, end)| permits_for((end - start) as u64)).sum();
        let write = |text, bytes, permits, starts| {
            let change = ContentChange::Append(Delta::Text(text));
            Self { change, bytes, permits, starts }
        };
        Ok((
            write(text, bytes - back_bytes, permits - back_permits, starts),
            write(back, back_bytes, back_permits, back_starts),
        ))
    }
}

/// Changes in order. Neighboring text is coalesced up to a size, and superseded changes are removed.
#[derive(Debug)]
pub(super) struct Pending {
    writes: VecDeque<PendingWrite>,
    bytes: u64,
    coalesce_bytes: usize,
}

impl Pending {
    /// Creates a buffer that coalesces text up to this many bytes for each write.
    pub(super) fn new(coalesce_bytes: usize) -> Self {
        Self { writes: VecDeque::new(), bytes: 0, coalesce_bytes }
    }

    pub(super) fn push(&mut self, change: ContentChange) {
        let bytes = change.byte_len() as u64;
        let (mut superseded, mut permits) = (0, permits_for(bytes));
        if matches!(change, ContentChange::Replace(_)) {
            for write in self.writes.drain(..) {
                superseded += write.bytes;
                permits += write.permits;
            }
            self.bytes = 0;
        }
        self.bytes += bytes;
        if let ContentChange::Append(Delta::Text(more)) = &change
            && let Some(write) = self.writes.back_mut()
            && let ContentChange::Append(Delta::Text(text)) = &mut write.change
            && text.len() < self.coalesce_bytes
        {
            write.starts.push(text.len());
            text.push_str(more);
            write.bytes += bytes;
            write.permits += permits;
            return;
        }
        // Superseded content counts as durable once its replacement is durable.
        self.writes.push_back(PendingWrite {
            change,
            bytes: superseded + bytes,
            permits,
            starts: Vec::new(),
        });
    }

    pub(super) fn pop(&mut self) -> Option<PendingWrite> {
        let write = self.writes.pop_front()?;
        self.bytes -= write.change.byte_len() as u64;
        Some(write)
    }

    /// Puts a refused write back to the front.
    pub(super) fn put_back(&mut self, write: PendingWrite) {
        self.bytes += write.change.byte_len() as u64;
        self.writes.push_front(write);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Returns the number of buffered bytes.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Removes all changes.
    pub(super) fn clear(&mut self) {
        self.writes.clear();
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
        pending.pop().map(|write| (write.change, write.bytes))
    }

    #[test]
    fn text_is_coalesced_up_to_a_size_and_blocks_are_not() {
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
    fn a_replacement_supersedes_buffered_changes() {
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
    fn every_write_holds_the_permits_of_its_appends() {
        const ALL: u64 = MAX_WAITING as u64;
        let large = "x".repeat(MAX_WAITING as usize + 5);
        let mut pending = Pending::new(usize::MAX);
        for part in ["ab", &large, "c"] {
            pending.push(text(part));
        }
        let (front, back) = pending.pop().unwrap().split().unwrap();
        assert_eq!((front.permits, front.bytes), (2 + ALL, 2 + ALL + 5));
        assert_eq!((back.permits, back.bytes), (1, 1));
        let (ab, large) = front.split().unwrap();
        assert_eq!((ab.permits, large.permits), (2, ALL));
        pending.push(text("abc"));
        pending.push(ContentChange::Replace(Content::empty()));
        assert_eq!(pending.pop().unwrap().permits, 3 + 2);
    }

    #[test]
    fn coalesced_text_is_split_between_appends() {
        let mut pending = Pending::new(100);
        for part in ["ab", "c", "def", "g"] {
            pending.push(text(part));
        }
        let (front, back) = pending.pop().unwrap().split().unwrap();
        assert_eq!((&front.change, front.bytes), (&text("abc"), 3));
        assert_eq!((&back.change, back.bytes), (&text("defg"), 4));
        let (def, g) = back.split().unwrap();
        assert_eq!((def.change.clone(), g.change.clone()), (text("def"), text("g")));
        let (ab, c) = front.split().unwrap();
        assert_eq!((ab.change.clone(), c.change.clone()), (text("ab"), text("c")));
        assert!(ab.split().is_err() && c.split().is_err() && def.split().is_err() && g.split().is_err());
    }
}
