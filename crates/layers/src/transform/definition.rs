use std::{fmt::Debug, ops::Range};

use super::{EditCounts, Edits, JsonString, MAX_DEPTH, TooDeep, rewrite_json};
use throughline_core::{Context, PersistArgs, pipeline::Extensions};

/// Rewrites text on its way to the store, and back on its way to the caller.
///
/// A transform names the replacements in one text. [`TransformLayer`](super::TransformLayer) does the rest: it visits
/// the text in every operation and every answer, buffers the end of a text that may continue, and keeps all other bytes
/// unchanged.
///
/// It must be a function of the text: the same text has the same edits at any time and in every process. Otherwise a
/// repeated call, a second import and an expected title do not match the stored data.
pub trait Transform: Send + Sync + Sized + 'static {
    /// The state of a text that may continue. [`HeldTail`](super::HeldTail) fits every transform that looks at a
    /// bounded part of the text.
    type Stream: TextStream<Self>;

    /// Whether the transform restores text in answers. If not, the layer forwards answers unchanged and never calls
    /// [`up`](Self::up).
    const RESTORES: bool = true;

    /// Returns the name of the layer.
    fn name(&self) -> &str;

    /// Returns the replacements on the way to the store, and the part of the text for which they are certain: see
    /// [`Rewrite`].
    ///
    /// The layer calls it for strings of content at any depth and names of members, for appended text, for names and
    /// values of metadata, and for titles, reasons and search queries. It runs in place and must not wait. A panic
    /// fails the call, and nothing is stored.
    fn down(&self, part: TextPart<'_>) -> Rewrite;

    /// Returns the replacements on the way to the caller, in a stored text. They undo [`down`](Self::down).
    fn up(&self, text: &str) -> Edits;

    /// Rewrites JSON: the whole content, its beginning up to the start of a member, or a value of metadata, whose name
    /// `outer` then is. `None` leaves it unchanged. The default rewrites each string by itself; override it for a
    /// transform that depends on more than the string, such as the names around it.
    ///
    /// # Errors
    /// [`TooDeep`] if the JSON nests deeper than [`MAX_DEPTH`].
    fn json(&self, json: &str, outer: &[&str], counts: &mut EditCounts) -> Result<Option<String>, TooDeep> {
        let _ = outer;
        rewrite_json(json, MAX_DEPTH, |text| {
            let edits = self.down(TextPart::whole(text)).edits;
            counts.count_all(&edits);
            edits
        })
    }

    /// Changes the other fields of an operation or of one item of a batch, except the ids of threads and messages. It
    /// is for a transform that covers more than content, such as the owner of a thread in creations and in reads. The
    /// layer calls it before it rewrites the content fields.
    fn prepare(&self, args: &mut PersistArgs, counts: &mut EditCounts) {
        let _ = (args, counts);
    }

    /// Shortens a title that the edits made longer than [`Title::MAX_BYTES`](throughline_core::Title::MAX_BYTES). With
    /// `None` the layer refuses the call as [`TooLarge`](throughline_core::ErrorKind::TooLarge).
    fn shorten_title(&self, title: &str) -> Option<String> {
        let _ = title;
        None
    }

    /// Runs after the store applied a write with these edits; `extensions` are those of the answer. It does not run for
    /// a replay, or if no edit has a [name](Edits::replace_as). It must not wait.
    fn applied(&self, context: &Context, counts: EditCounts, extensions: &mut Extensions) {
        let _ = (context, counts, extensions);
    }
}

/// A text to rewrite, or the next part of one.
#[derive(Clone, Copy)]
pub struct TextPart<'a> {
    text: &'a str,
    start: usize,
    is_last: bool,
}

impl<'a> TextPart<'a> {
    /// Returns a complete text as one part.
    #[must_use]
    pub const fn whole(text: &'a str) -> Self {
        Self { text, start: 0, is_last: true }
    }

    /// Returns the part of `text` from the byte `start`. The layer has already forwarded the bytes before it. More text
    /// may come later, unless this part is the last.
    ///
    /// # Panics
    /// Panics if `start` is outside of `text` or not on a character boundary.
    #[must_use]
    pub const fn new(text: &'a str, start: usize, is_last: bool) -> Self {
        assert!(text.is_char_boundary(start), "a part begins on a character boundary");
        Self { text, start, is_last }
    }

    /// Returns the text. The bytes before [`start`](Self::start) are context only and are not replaced; of a long text
    /// they are its last characters.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// Returns the byte at which the part begins in the text.
    #[must_use]
    pub const fn start(&self) -> usize {
        self.start
    }

    /// Returns true if the text ends with this part.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.is_last
    }

    /// Returns the offset, `from` or later, at which the end of the text is a prefix of one of these words; without
    /// such a prefix, the end of the text. For a transform that replaces these words, the bytes before the offset do
    /// not depend on later text.
    ///
    /// ```
    /// use throughline_layers::transform::TextPart;
    ///
    /// let part = TextPart::new("It was Ada Lov", 0, false);
    /// assert_eq!(part.certain_before(0, ["Ada Lovelace", "Alan"]), "It was ".len());
    /// ```
    #[must_use]
    pub fn certain_before<'w>(&self, from: usize, words: impl IntoIterator<Item = &'w str>) -> usize {
        let (text, end) = (self.text.as_bytes(), self.text.len());
        if self.is_last {
            return end;
        }
        let first = |word: &'w str| {
            // A complete word would match, so the prefix must be shorter.
            let longest = end.saturating_sub(word.len().saturating_sub(1)).max(from.max(self.start));
            (longest..end).find(|at| word.as_bytes().starts_with(&text[*at..]))
        };
        words.into_iter().filter_map(first).min().unwrap_or(end)
    }
}

/// Prints lengths only: content does not belong in logs.
impl Debug for TextPart<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextPart")
            .field("text", &format_args!("{} bytes", self.text.len()))
            .field("start", &self.start)
            .field("is_last", &self.is_last)
            .finish()
    }
}

/// The result of [`Transform::down`] for a part of a text.
///
/// The edits before `certain` must stay the same whatever text comes later, and no edit of the longer text may begin
/// before it. The layer buffers the bytes after it and passes them again with the next text. It also buffers all of an
/// edit that crosses it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// The replacements, in the text as if it ended here.
    pub edits: Edits,
    /// The byte from which the edits depend on later text. The layer ignores it for the last part.
    pub certain: usize,
}

/// The state of a text that may continue, between two calls.
///
/// [`HeldTail`](super::HeldTail) is the default choice. Use another type if a rewrite can continue without a bound,
/// such as a secret whose end has not been seen.
///
/// The law: for a text that is divided anywhere, the concatenated results equal [`Transform::down`] of the whole text.
pub trait TextStream<T>: Clone + Default + Debug + Send + Sync + 'static {
    /// Appends `more` to the text. Returns the text that can be stored now; for the last part, all of it.
    fn push(&mut self, transform: &T, more: &str, is_last: bool, counts: &mut EditCounts) -> String;

    /// Returns the buffered text.
    fn held(&self) -> std::borrow::Cow<'_, str>;

    /// Starts with a text that may continue, written as a JSON string. Returns the replacements and the byte up to
    /// which the text is stored, which is at least [`JsonString::after_halves`].
    fn begin(transform: &T, text: &JsonString<'_>) -> (Rewrite, Self);

    /// Continues a stored text in an unknown state, because another process wrote it, or this one before a restart.
    fn resume(transform: &T, stored: &str) -> Self;

    /// Returns the text that an edit appends to a complete stored text. `None` if a replacement would begin in the
    /// stored text; the layer then replaces the whole content.
    fn append(transform: &T, stored: &str, more: &str, counts: &mut EditCounts) -> Option<String>;
}

/// Returns `range`, extended to character boundaries.
pub(super) fn char_range(text: &str, range: Range<usize>) -> Range<usize> {
    text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end)
}
