use throughline_core::{
    Delta, Effect, ErrorKind, MessageState, PersistError, Result, Revision, Seq,
    backend::{ContentFragment, Length, Tail},
    messages::{ContentChange, ContentCursor, ContentTail, ReadContent},
};

use crate::rows::ChunkKind;

/// The columns of a message that a tail read needs, in addition to the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentState {
    /// The sequence number of the message.
    pub seq: Seq,
    /// The state of the message.
    pub state: MessageState,
    /// The revision of the message.
    pub revision: Revision,
    /// The revision that last replaced the content; zero if nothing did.
    pub replaced: Revision,
    /// The length of the content, of an open message.
    pub length: Length,
}

/// The start of a tail read: the offset of its cursor, or zero if the content was replaced since the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailStart {
    offset: u64,
    is_replaced: bool,
}

impl TailStart {
    /// Compares the cursor of a read with the row of its message.
    #[must_use]
    pub fn of(read: &ReadContent, row: &ContentState) -> Self {
        let Some(after) = read.after.filter(|after| after.offset() > 0) else {
            return Self { offset: 0, is_replaced: false };
        };
        if after.epoch() == row.replaced {
            Self { offset: after.offset(), is_replaced: false }
        } else {
            Self { offset: 0, is_replaced: true }
        }
    }

    /// The first byte to read, as [`ContentFragment`] counts them.
    #[must_use]
    pub const fn offset(self) -> u64 {
        self.offset
    }

    /// Answers the read from a fragment that contains the start.
    ///
    /// # Errors
    /// `Invalid` if the cursor is after the end of the content, or inside of a character or a block.
    pub fn answer(
        self,
        read: &ReadContent,
        row: &ContentState,
        fragment: &ContentFragment,
    ) -> Result<ContentTail> {
        let slice = fragment.read(self.offset, read.limit).ok_or_else(|| {
            let detail = "the content cursor is after the end of the content, or divides a character or a block: \
                read from the start, without a cursor";
            PersistError::new(ErrorKind::Invalid, detail)
                .with_effect(Effect::NotApplied)
                .about(&read.thread, &read.id)
        })?;
        let before = read.after.filter(|_| self.offset > 0).map_or(Revision::ZERO, ContentCursor::revision);
        let reached = if slice.has_more { before } else { row.revision };
        Ok(ContentTail {
            thread: read.thread.clone(),
            id: read.id.clone(),
            seq: row.seq,
            state: row.state,
            revision: row.revision,
            replaced: self.is_replaced,
            parts: slice.parts,
            next: ContentCursor::new(row.replaced, slice.next, reached),
            has_more: slice.has_more,
        })
    }
}

/// The chunks of an open message from its last one back to the start of a tail read, so that the read costs the bytes after its
/// cursor.
///
/// ```
/// use throughline_core::{Content, Delta, NewMessage, Seq, TenantId, Timestamp};
/// use throughline_core::{backend::Length, messages::{Add, ContentChange, ReadContent}};
/// use throughline_engine::{read::{ChunksBackward, TailStart}, rows::{ChunkKind, LastChange, MessageRow}};
///
/// let read = ReadContent::new("t".parse()?, "m".parse()?, None);
/// # let message = Add::new("t".parse()?, NewMessage::user("")).to_message(&TenantId::default(), Seq::FIRST, Timestamp::from_micros(0));
/// # let mut row = MessageRow::new(&message, LastChange::Stored(1));
/// # row.length = Length::settled(&Content::empty());
/// # for text in ["Hel", "lo"] {
/// #     row.length = row.length.after(&ContentChange::Append(Delta::text(text)));
/// # }
/// let row = row.content_state();
/// let start = TailStart::of(&read, &row);
/// let mut chunks = ChunksBackward::new(start, &row);
/// for text in ["lo", "Hel"] {
///     assert!(!chunks.is_complete());
///     chunks.push(ChunkKind::Text, text.to_owned()).unwrap();
/// }
/// let tail = start.answer(&read, &row, &chunks.into_fragment().unwrap())?;
/// assert_eq!(tail.parts, [Delta::text("Hello")]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ChunksBackward {
    from: u64,
    /// The end of the content before the chunks that are resolved.
    end: u64,
    /// The changes, the last one first. The beginning of the last element depends on the chunk before it.
    changes: Vec<Delta>,
    /// The end of the content before the first change, once it is known.
    before: Option<(u64, bool)>,
}

impl ChunksBackward {
    /// Returns the chunks of an open message for this start, without any.
    #[must_use]
    pub fn new(start: TailStart, row: &ContentState) -> Self {
        let end = open_end(row.length);
        let mut chunks = Self { from: start.offset, end, changes: Vec::new(), before: None };
        // Appends change no offset of the end, so that the state of the end does not matter.
        if end <= start.offset {
            chunks.before = Some((end, row.length.tail == Tail::Text));
        }
        chunks
    }

    /// The most chunks that can contain changes after the cursor, and one before them. `None` if that is not known.
    #[must_use]
    pub fn expected(read: &ReadContent, start: TailStart, revision: Revision) -> Option<u64> {
        let after = read.after.filter(|_| start.offset > 0)?;
        let changes = revision.get().checked_sub(after.revision().get())?;
        changes.checked_add(2)
    }

    /// Whether the chunks reach the start of the read.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.before.is_some()
    }

    /// Adds the chunk before the others; `None` if it is damaged.
    pub fn push(&mut self, kind: ChunkKind, text: String) -> Option<()> {
        match kind.change(text)? {
            ContentChange::Append(delta) if delta.is_empty() => {}
            ContentChange::Append(delta) => {
                self.resolve(tail_after(&delta))?;
                if self.before.is_none() {
                    self.changes.push(delta);
                }
            }
            ContentChange::Replace(base) => {
                let length = empty().after(&ContentChange::Replace(base.clone()));
                self.resolve(length.tail)?;
                if self.before.is_none() {
                    // The content starts with it.
                    (self.end == open_end(length)).then_some(())?;
                    self.changes.push(Delta::Blocks(base));
                    self.before = Some((0, false));
                }
            }
        }
        Some(())
    }

    /// Sets the end of the content before the first of the changes.
    fn resolve(&mut self, tail: Tail) -> Option<()> {
        if let Some(first) = self.changes.last().filter(|_| self.before.is_none()) {
            let before = Length { bytes: u64::from(u32::MAX), tail };
            let before = if tail == Tail::Nothing { empty() } else { before };
            let added = open_end(before.after(&ContentChange::Append(first.clone()))) - open_end(before);
            self.end = self.end.checked_sub(added)?;
            if self.end <= self.from {
                self.before = Some((self.end, tail == Tail::Text));
            }
        }
        Some(())
    }

    /// Returns the fragment; `None` if the chunks end before the start of the content.
    #[must_use]
    pub fn into_fragment(mut self) -> Option<ContentFragment> {
        if self.before.is_none() {
            self.resolve(Tail::Nothing)?;
            (self.end == 0).then_some(())?;
        }
        let (start, is_in_text) = self.before.unwrap_or((0, false));
        let mut fragment = ContentFragment::after(start, is_in_text);
        self.changes.iter().rev().for_each(|delta| fragment.push(delta));
        Some(fragment)
    }
}

const fn empty() -> Length {
    Length { bytes: 2, tail: Tail::Nothing }
}

/// The offset of the end of content with this length.
const fn open_end(length: Length) -> u64 {
    let closing = match length.tail {
        Tail::Text => "\"}".len() + "[]".len(),
        Tail::Nothing | Tail::Block => "[]".len(),
    };
    length.bytes.saturating_sub(closing as u64)
}

fn tail_after(delta: &Delta) -> Tail {
    empty().after(&ContentChange::Append(delta.clone())).tail
}
