use std::borrow::Cow;

use super::{EditCounts, JsonString, Rewrite, TextPart, TextStream, Transform, definition::char_range};

/// Buffers the end of a text that may continue, from the byte at which [`Transform::down`] is no longer certain.
///
/// It never divides an edit, even if the transform reports a part of it as certain. It also keeps the last 32 bytes of
/// the forwarded text as context for the next part.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeldTail {
    /// The end of the forwarded text before its edits, followed by the buffered text.
    text: String,
    /// The offset at which the buffered text begins.
    held: usize,
}

/// The bytes of forwarded text that are kept as context.
const CONTEXT: usize = 32;

impl HeldTail {
    /// Returns the state after `text` was forwarded up to `passed`.
    fn after(text: &str, passed: usize) -> Self {
        let from = text.floor_char_boundary(passed.saturating_sub(CONTEXT));
        Self { text: text[from..].to_owned(), held: passed - from }
    }
}

/// Returns the offset at which to divide a text: `rewrite.certain`, moved to a character boundary and out of an edit.
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
        // Half of a surrogate pair cannot be returned as text later.
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

/// Prints the length of the buffered text, but no content.
impl std::fmt::Debug for HeldTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeldTail").field("held", &(self.text.len() - self.held)).finish_non_exhaustive()
    }
}
