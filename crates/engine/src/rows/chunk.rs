use throughline_core::{
    Content, Delta,
    backend::ContentFragment,
    messages::{ContentBuffer, ContentChange},
};

/// The encoding of a stored chunk. A chunk is the change of one write to the content of an open message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkKind {
    /// Text, as it was appended.
    Text,
    /// Blocks, as JSON.
    Blocks,
    /// The whole content, as JSON: the chunks after it append to it.
    Base,
}

impl ChunkKind {
    const ALL: [Self; 3] = [Self::Text, Self::Blocks, Self::Base];

    /// The number of the kind in a store. It never changes.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Text => 0,
            Self::Blocks => 1,
            Self::Base => 2,
        }
    }

    /// Returns the change of a chunk of this kind; `None` if its text is damaged.
    #[must_use]
    pub fn change(self, text: String) -> Option<ContentChange> {
        Some(match self {
            Self::Text => ContentChange::Append(Delta::Text(text)),
            Self::Blocks => ContentChange::Append(Delta::Blocks(Content::from_json(text).ok()?)),
            Self::Base => ContentChange::Replace(Content::from_json(text).ok()?),
        })
    }

    /// Returns the kind with this number.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// The kind and the text of a chunk, as a store keeps it.
#[must_use]
pub fn chunk_text(change: &ContentChange) -> (ChunkKind, &str) {
    match change {
        ContentChange::Append(Delta::Text(text)) => (ChunkKind::Text, text),
        ContentChange::Append(Delta::Blocks(blocks)) => (ChunkKind::Blocks, blocks.as_json()),
        ContentChange::Replace(content) => (ChunkKind::Base, content.as_json()),
    }
}

/// Builds content from its chunks, in order. Content without appends keeps its bytes.
///
/// ```
/// use throughline_core::Content;
/// use throughline_engine::rows::{ChunkKind, ContentBuilder};
///
/// let mut builder = ContentBuilder::new(Content::empty());
/// builder.push_stored(ChunkKind::Text, "Hel").unwrap();
/// builder.push_stored(ChunkKind::Text, "lo").unwrap();
/// assert_eq!(builder.content(), Content::text("Hello"));
/// ```
#[derive(Debug, Clone)]
pub struct ContentBuilder {
    base: Content,
    buffer: Option<ContentBuffer>,
}

impl ContentBuilder {
    /// Returns a builder with this content.
    #[must_use]
    pub const fn new(base: Content) -> Self {
        Self { base, buffer: None }
    }

    /// Applies a change.
    pub fn push(&mut self, change: &ContentChange) {
        match change {
            ContentChange::Replace(content) => *self = Self::new(content.clone()),
            ContentChange::Append(delta) if delta.is_empty() => {}
            ContentChange::Append(delta) => {
                let base = &self.base;
                self.buffer.get_or_insert_with(|| ContentBuffer::new(base)).push(delta);
            }
        }
    }

    /// Applies a stored chunk; `None` where its text is damaged.
    pub fn push_stored(&mut self, kind: ChunkKind, text: &str) -> Option<()> {
        self.push(&kind.change(text.to_owned())?);
        Some(())
    }

    /// The end of the content, as [`ContentBuffer::end`]. `None` before the first append.
    #[must_use]
    pub fn end(&self) -> Option<(u64, bool)> {
        self.buffer.as_ref().map(ContentBuffer::end)
    }

    /// Returns the content from an earlier [`end`](Self::end) on, or all of it from `(0, false)` on.
    #[must_use]
    pub fn fragment(&self, from: (u64, bool)) -> ContentFragment {
        match &self.buffer {
            Some(buffer) => buffer.fragment(from),
            None => ContentFragment::whole(&self.base),
        }
    }

    /// The content so far.
    #[must_use]
    pub fn content(&self) -> Content {
        self.buffer.as_ref().map_or_else(|| self.base.clone(), ContentBuffer::content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_without_appends_keeps_its_bytes() {
        let odd = r#"[ {"n":1.10}, "\ud800" ]"#;
        let mut builder = ContentBuilder::new(Content::from_json(odd).unwrap());
        builder.push(&ContentChange::Append(Delta::empty()));
        assert_eq!(builder.content().as_json(), odd);
    }

    #[test]
    fn content_is_built_from_the_last_base_chunk_on() {
        let mut builder = ContentBuilder::new(Content::empty());
        for (kind, text) in [
            (ChunkKind::Text, "replaced"),
            (ChunkKind::Base, "[1]"),
            (ChunkKind::Blocks, "[2 ]"),
            (ChunkKind::Text, "a"),
            (ChunkKind::Text, "b\0"),
        ] {
            builder.push_stored(kind, text).unwrap();
        }
        assert_eq!(builder.content().as_json(), r#"[1,2,{"type":"text","text":"ab\u0000"}]"#);
        assert_eq!(builder.push_stored(ChunkKind::Base, "{"), None);
    }

    #[test]
    fn codes_of_kinds_come_back() {
        for kind in ChunkKind::ALL {
            assert_eq!(ChunkKind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(ChunkKind::from_code(9), None);
    }
}
