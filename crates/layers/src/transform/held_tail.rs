use std::borrow::Cow;

use super::{EditCounts, JsonString, Rewrite, TextPart, TextStream, Transform, definition::char_range};

/// Holds back the end of a text that may go on, from the byte on from which [`Transform::down`] is not certain.
///
/// An edit is passed on whole or held back whole, whatever the transform says is certain. The last 32 bytes of what was passed on are
/// kept as well: they say what can begin behind them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeldTail {
    /// The end of what was passed on, as it was given; then what is held back.
    text: String,
    /// Where what is held back begins.
    held: usize,
}

/// So much of what was passed on is kept.
const CONTEXT: usize = 32;

impl HeldTail {
    /// Passed on up to `passed`.
    fn after(text: &str, passed: usize) -> Self {
        let from = text.floor_char_boundary(passed.saturating_sub(CONTEXT));
        Self { text: text[from..].to_owned(), held: passed - from }
    }
}

/// Where to cut a text: at `rewrite.certain`, but between characters and not inside of an edit.
fn certain(text: &str, start: usize, rewrite: &Rewrite) -> usize {
    let certain = char_range(text, rewrite.certain.clamp(start, text.len())..text.len()).start;
    let over = |edit: &&super::Edit| edit.range().start < certain && edit.range().end > certain;
    rewrite.edits.iter().find(over).map_or(certain, |edit| edit.range().start.max(start))
}

impl<T: Transform> TextStream<T> for HeldTail {
    fn push(&mut self, transform: &T, more: &str, is_last: bool, counts: &mut EditCounts) -> String {
        let text = std::mem::take(&mut self.text) + more;
        let start = self.held;
        let rewrite = transform.down(TextPart::new(&text, start, is_last));
        let end = if is_last { text.len() } else { certain(&text, start, &rewrite) };
        counts.count_all(rewrite.edits.within(start..end));
        let passed = rewrite.edits.apply_within(&text, start..end);
        *self = Self::after(&text, end);
        passed
    }

    fn held(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.text[self.held..])
    }

    fn begin(transform: &T, text: &JsonString<'_>) -> (Rewrite, Self) {
        let says = text.text();
        let rewrite = transform.down(TextPart::new(says, 0, false));
        // Half of a pair cannot be given out again as a text.
        let certain = certain(says, 0, &rewrite);
        let end = if certain < text.after_halves() {
            let over = |edit: &&super::Edit| edit.range().end > text.after_halves();
            let edit =
                rewrite.edits.iter().find(|edit| over(edit) && edit.range().start < text.after_halves());
            edit.map_or(text.after_halves(), |edit| edit.range().end)
        } else {
            certain
        };
        let stream = Self::after(says, end);
        (Rewrite { edits: rewrite.edits, certain: end }, stream)
    }

    fn resume(_: &T, stored: &str) -> Self {
        Self::after(stored, stored.len())
    }

    fn append(transform: &T, stored: &str, more: &str, counts: &mut EditCounts) -> Option<String> {
        let text = [stored, more].concat();
        let whole = transform.down(TextPart::whole(&text)).edits;
        let over = |edit: &super::Edit| edit.range().start < stored.len() && edit.range().end > stored.len();
        if whole.iter().any(over) {
            return None;
        }
        Some(<Self as TextStream<T>>::resume(transform, stored).push(transform, more, true, counts))
    }
}

/// Shows how much is held back, and nothing of it.
impl std::fmt::Debug for HeldTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldTail").field("held", &(self.text.len() - self.held)).finish_non_exhaustive()
    }
}
