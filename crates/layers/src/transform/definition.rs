use std::{fmt::Debug, ops::Range};

use super::{EditCounts, Edits, JsonString, MAX_DEPTH, TooDeep, rewrite_json};
use throughline_core::{Context, PersistArgs, pipeline::Extensions};

/// Rewrites text on its way to the store, and back on its way to the caller.
///
/// It says what is replaced in one text. [`TransformLayer`](super::TransformLayer) does the rest: it finds the text in every operation and
/// every answer, holds back the end of a text that may go on, and keeps all that is not replaced as it is.
///
/// It must be a function of the text: the same text has the same edits at any time and in every process. Otherwise a repeated call, an
/// import of what is there, and a title that is expected do not match what is stored.
pub trait Transform: Send + Sync + Sized + 'static {
    /// What is known of a text that may go on. [`HeldTail`](super::HeldTail) is right for every transform that looks at a
    /// bounded part of the text.
    type Stream: TextStream<Self>;

    /// Whether there is a way up. Without one, answers are passed on as they are, and [`up`](Self::up) is not asked.
    const RESTORES: bool = true;

    /// The name of the layer.
    fn name(&self) -> &str;

    /// What is replaced on the way down, and how much of the text is certain: see [`Rewrite`].
    ///
    /// It is asked for strings of content at any depth and names of members, for appended text, for names and values of metadata, and for
    /// titles, reasons and search queries. It runs in place and must not wait. A panic fails the call, and nothing is stored.
    fn down(&self, part: TextPart<'_>) -> Rewrite;

    /// What is replaced on the way up, in a text as it is stored: [`down`](Self::down) undone.
    fn up(&self, text: &str) -> Edits;

    /// What is stored in place of JSON: of content, of its beginning up to where a member of it begins, or of a value of metadata, whose name
    /// `outer` then is. None where it stays as it is. Its strings are rewritten one by one, unless a transform goes by more than what a string
    /// says, such as the names around it.
    ///
    /// # Errors
    /// [`TooDeep`]: it nests deeper than [`MAX_DEPTH`].
    fn json(&self, json: &str, outer: &[&str], counts: &mut EditCounts) -> Result<Option<String>, TooDeep> {
        let _ = outer;
        rewrite_json(json, MAX_DEPTH, |text| {
            let edits = self.down(TextPart::whole(text)).edits;
            counts.count_all(&edits);
            edits
        })
    }

    /// Changes what the toolkit passes on as it is: of an operation, or of one item of a batch, anything but the id of a thread or message. For a
    /// transform that goes by more than content, such as the owner of a thread in what is created and in what is asked for. It is called
    /// before the fields are rewritten.
    fn prepare(&self, args: &mut PersistArgs, counts: &mut EditCounts) {
        let _ = (args, counts);
    }

    /// What is stored of a title that the edits made longer than [`Title::MAX_BYTES`](throughline_core::Title::MAX_BYTES). With none the call is
    /// refused as [`TooLarge`](throughline_core::ErrorKind::TooLarge).
    fn shorten_title(&self, title: &str) -> Option<String> {
        let _ = title;
        None
    }

    /// The store has made a write in which these edits were made; `extensions` are those of the answer. Not called for a replay, and
    /// not where no edit has a [name](Edits::replace_as). It must not wait.
    fn applied(&self, context: &Context, counts: EditCounts, extensions: &mut Extensions) {
        let _ = (context, counts, extensions);
    }
}

/// A text that is rewritten, or the next part of one.
#[derive(Clone, Copy)]
pub struct TextPart<'a> {
    text: &'a str,
    start: usize,
    is_last: bool,
}

impl<'a> TextPart<'a> {
    /// A text that is complete.
    #[must_use]
    pub const fn whole(text: &'a str) -> Self {
        Self { text, start: 0, is_last: true }
    }

    /// The part of `text` from the byte `start` on. What is before was passed on already. Unless it is the last, more may follow.
    ///
    /// # Panics
    /// When `start` is not within `text`, or not between characters.
    #[must_use]
    pub const fn new(text: &'a str, start: usize, is_last: bool) -> Self {
        assert!(text.is_char_boundary(start), "a part begins between characters");
        Self { text, start, is_last }
    }

    /// The text. What is before [`start`](Self::start) only says what can begin there, and is not replaced; of a long text it is the last
    /// characters.
    #[must_use]
    pub const fn text(&self) -> &'a str {
        self.text
    }

    /// Where the part begins in the text.
    #[must_use]
    pub const fn start(&self) -> usize {
        self.start
    }

    /// Whether the text ends with this part.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.is_last
    }

    /// Where the end of the text is the beginning of one of these words, at `from` or later; otherwise the end. What is before depends on
    /// nothing that follows, for a transform that replaces these words.
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
            // Shorter than the word: all of it would be found.
            let longest = end.saturating_sub(word.len().saturating_sub(1)).max(from.max(self.start));
            (longest..end).find(|at| word.as_bytes().starts_with(&text[*at..]))
        };
        words.into_iter().filter_map(first).min().unwrap_or(end)
    }
}

/// Shows lengths only: content does not belong into logs.
impl Debug for TextPart<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextPart")
            .field("text", &format_args!("{} bytes", self.text.len()))
            .field("start", &self.start)
            .field("is_last", &self.is_last)
            .finish()
    }
}

/// What [`Transform::down`] makes of a part of a text.
///
/// The edits before `certain` must stay the same whatever text follows, and no edit of the longer text may begin before it. What is behind
/// is held back, and asked for again with what follows. An edit that goes over it is held back whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// What is replaced, in the text as if it ended here.
    pub edits: Edits,
    /// The byte of the text from which on it depends on what follows. Of the last part it is not looked at.
    pub certain: usize,
}

/// What is known of a text that may go on, between two calls.
///
/// [`HeldTail`](super::HeldTail) is one. Another one is needed where a rewrite can go on without a bound, as a secret does whose end has
/// not been seen.
///
/// The law: a text in parts, cut anywhere, comes out as [`Transform::down`] of the whole text.
pub trait TextStream<T>: Clone + Default + Debug + Send + Sync + 'static {
    /// Adds `more` to the text. Answers what can be passed on now: all that is left, where the text ends here.
    fn push(&mut self, transform: &T, more: &str, is_last: bool, counts: &mut EditCounts) -> String;

    /// The bytes that were added and not passed on.
    fn held(&self) -> std::borrow::Cow<'_, str>;

    /// Begins with a text that may go on, written as a JSON string. Answers what is replaced, and up to which byte of the text it is passed
    /// on; [`JsonString::after_halves`] at least.
    fn begin(transform: &T, text: &JsonString<'_>) -> (Rewrite, Self);

    /// Goes on with a text whose beginning is stored, and of which nothing is known: it was written by another process, or before a restart.
    fn resume(transform: &T, stored: &str) -> Self;

    /// What an edit appends to a stored text that was complete. None where an edit of the text would begin in what is stored: then the whole
    /// content is replaced.
    fn append(transform: &T, stored: &str, more: &str, counts: &mut EditCounts) -> Option<String>;
}

/// The range of the characters around `range`.
pub(super) fn char_range(text: &str, range: Range<usize>) -> Range<usize> {
    text.floor_char_boundary(range.start)..text.ceil_char_boundary(range.end)
}
