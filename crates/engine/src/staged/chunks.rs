use std::collections::HashMap;

use foldhash::fast::RandomState;

use throughline_core::{Content, Delta, messages::ContentChange};

use crate::rows::{ContentBuilder, MessageKey};

/// A chunk of an open message to insert.
#[derive(Debug, Clone, PartialEq)]
pub struct StagedChunk {
    /// The number of the chunk in its message.
    pub number: u64,
    /// The change of the content.
    pub change: ContentChange,
}

/// The chunks that a transaction writes to open messages.
///
/// Adjacent text of one message becomes one chunk, so that a message with many appends in a transaction costs one row. Chunks
/// that a later replacement makes obsolete are not inserted.
#[derive(Debug, Default)]
pub struct StagedChunks {
    messages: HashMap<MessageKey, MessageChunks, RandomState>,
    undo: Vec<(MessageKey, Undo)>,
}

#[derive(Debug, Default)]
struct MessageChunks {
    chunks: Vec<StagedChunk>,
    /// Chunks below this number are deleted, and not inserted.
    deleted_below: u64,
}

#[derive(Debug)]
enum Undo {
    Pushed,
    /// Text was appended to the last chunk, which had this length before.
    Extended(usize),
    Deleted(u64),
    Dropped(Vec<StagedChunk>),
}

impl StagedChunks {
    /// Stages a change of an open message whose last chunk has the number `last`. Returns the number of its last chunk
    /// afterwards.
    pub fn append(&mut self, key: &MessageKey, last: u64, change: &ContentChange) -> u64 {
        let staged = self.messages.entry(key.clone()).or_default();
        let latest = staged.chunks.last_mut().filter(|chunk| chunk.number == last);
        if let (
            Some(StagedChunk { change: ContentChange::Append(Delta::Text(text)), .. }),
            ContentChange::Append(Delta::Text(more)),
        ) = (latest, change)
        {
            self.undo.push((key.clone(), Undo::Extended(text.len())));
            text.push_str(more);
            return last;
        }
        staged.chunks.push(StagedChunk { number: last + 1, change: change.clone() });
        self.undo.push((key.clone(), Undo::Pushed));
        last + 1
    }

    /// Deletes the chunks of a message below a number, stored ones and staged ones.
    pub fn delete_below(&mut self, key: &MessageKey, number: u64) {
        let staged = self.messages.entry(key.clone()).or_default();
        if number > staged.deleted_below {
            self.undo.push((key.clone(), Undo::Deleted(staged.deleted_below)));
            staged.deleted_below = number;
        }
    }

    /// Drops the staged chunks of a deleted message, before a new message of its id. Returns the number of the last chunk that the
    /// transaction has staged or deleted under the id: the chunks of the new message follow it, because no stage of a transaction may
    /// delete a chunk and insert another one with its number.
    pub fn begin_again(&mut self, key: &MessageKey) -> u64 {
        let Some(staged) = self.messages.get_mut(key) else { return 0 };
        let last = staged.chunks.last().map_or(0, |chunk| chunk.number);
        let dropped = std::mem::take(&mut staged.chunks);
        self.undo.push((key.clone(), Undo::Dropped(dropped)));
        last.max(staged.deleted_below.saturating_sub(1))
    }

    /// Returns the content of a message whose stored content is `stored`.
    #[must_use]
    pub fn fold(&self, key: &MessageKey, stored: Content) -> Content {
        let Some(staged) = self.messages.get(key).filter(|staged| !staged.chunks.is_empty()) else {
            return stored;
        };
        let mut builder = ContentBuilder::new(stored);
        staged.chunks.iter().for_each(|chunk| builder.push(&chunk.change));
        builder.content()
    }

    /// The chunks to insert; those of a message are in order.
    pub fn inserted(&self) -> impl Iterator<Item = (&MessageKey, &StagedChunk)> {
        self.messages.iter().flat_map(|(key, staged)| {
            let is_due = |chunk: &&StagedChunk| chunk.number >= staged.deleted_below;
            staged.chunks.iter().filter(is_due).map(move |chunk| (key, chunk))
        })
    }

    /// The messages with stored chunks to delete, and the number below which they are deleted.
    pub fn deleted(&self) -> impl Iterator<Item = (&MessageKey, u64)> {
        let deleted = self.messages.iter().filter(|(_, staged)| staged.deleted_below > 0);
        deleted.map(|(key, staged)| (key, staged.deleted_below))
    }

    /// Sets a savepoint.
    pub fn set_savepoint(&mut self) {
        self.undo.clear();
    }

    /// Undoes every change since the savepoint.
    pub fn undo(&mut self) {
        while let Some((key, undo)) = self.undo.pop() {
            let Some(staged) = self.messages.get_mut(&key) else { continue };
            match undo {
                Undo::Pushed => drop(staged.chunks.pop()),
                Undo::Extended(length) => {
                    if let Some(StagedChunk { change: ContentChange::Append(Delta::Text(text)), .. }) =
                        staged.chunks.last_mut()
                    {
                        text.truncate(length);
                    }
                }
                Undo::Deleted(below) => staged.deleted_below = below,
                Undo::Dropped(chunks) => staged.chunks = chunks,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> MessageKey {
        MessageKey::new(&"a".parse().unwrap(), &"t".parse().unwrap(), &"m".parse().unwrap())
    }

    #[test]
    fn chunks_of_the_next_message_follow_those_of_the_deleted_one() {
        let (mut chunks, key) = (StagedChunks::default(), key());
        assert_eq!(chunks.begin_again(&key), 0);
        assert_eq!(chunks.append(&key, 3, &text("old")), 4);
        chunks.set_savepoint();
        chunks.delete_below(&key, 5);
        assert_eq!(chunks.begin_again(&key), 4);
        assert_eq!(chunks.append(&key, 4, &text("new")), 5);
        assert_eq!(chunks.fold(&key, Content::empty()), Content::text("new"));
        let inserted: Vec<_> = chunks.inserted().map(|(_, chunk)| chunk.number).collect();
        assert_eq!((inserted, chunks.deleted().map(|(_, below)| below).collect()), (vec![5], vec![5]));
        chunks.undo();
        assert_eq!(chunks.fold(&key, Content::empty()), Content::text("old"));
        assert_eq!(chunks.deleted().count(), 0);
    }

    fn text(text: &str) -> ContentChange {
        ContentChange::Append(Delta::text(text))
    }

    fn blocks(json: &str) -> ContentChange {
        ContentChange::Append(Delta::Blocks(Content::from_json(json).unwrap()))
    }

    fn inserted(chunks: &StagedChunks) -> Vec<(u64, ContentChange)> {
        chunks.inserted().map(|(_, chunk)| (chunk.number, chunk.change.clone())).collect()
    }

    #[test]
    fn adjacent_text_becomes_one_chunk() {
        let (mut chunks, key) = (StagedChunks::default(), key());
        assert_eq!(chunks.append(&key, 4, &text("Hel")), 5);
        assert_eq!(chunks.append(&key, 5, &text("lo")), 5);
        assert_eq!(chunks.append(&key, 5, &blocks("[1]")), 6);
        assert_eq!(chunks.append(&key, 6, &text("!")), 7);
        assert_eq!(inserted(&chunks), [(5, text("Hello")), (6, blocks("[1]")), (7, text("!"))]);
        let stored = Content::text("Oh: ");
        let whole = r#"[{"type":"text","text":"Oh: Hello"},1,{"type":"text","text":"!"}]"#;
        assert_eq!(chunks.fold(&key, stored).as_json(), whole);
    }

    #[test]
    fn undo_truncates_a_chunk_that_was_extended() {
        let (mut chunks, key) = (StagedChunks::default(), key());
        chunks.append(&key, 0, &text("kept"));
        chunks.set_savepoint();
        chunks.append(&key, 1, &text(" and undone ✓"));
        chunks.append(&key, 1, &blocks("[1]"));
        chunks.delete_below(&key, 2);
        chunks.undo();
        assert_eq!(inserted(&chunks), [(1, text("kept"))]);
        assert_eq!(chunks.deleted().count(), 0);
    }

    #[test]
    fn a_replacement_makes_the_chunks_before_it_obsolete() {
        let (mut chunks, key) = (StagedChunks::default(), key());
        let replacement = ContentChange::Replace(Content::text("new"));
        chunks.append(&key, 7, &text("old"));
        let number = chunks.append(&key, 8, &replacement);
        chunks.delete_below(&key, number);
        assert_eq!(inserted(&chunks), [(9, replacement)]);
        assert_eq!(chunks.deleted().collect::<Vec<_>>(), [(&key, 9)]);
        assert_eq!(chunks.fold(&key, Content::text("stored")), Content::text("new"));
    }

    #[test]
    fn messages_keep_their_chunks_apart() {
        let (mut chunks, key) = (StagedChunks::default(), key());
        let other = MessageKey { id: "other".parse().unwrap(), ..key.clone() };
        chunks.append(&key, 0, &text("a"));
        chunks.append(&other, 0, &text("b"));
        assert_eq!(chunks.append(&key, 1, &text("c")), 1);
        assert_eq!(chunks.fold(&key, Content::empty()), Content::text("ac"));
        assert_eq!(chunks.fold(&other, Content::empty()), Content::text("b"));
    }
}
