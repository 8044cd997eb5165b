use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Range, sync::Arc};

use super::JsonString;

/// A replacement of a range of bytes in a text.
#[derive(Clone, PartialEq, Eq)]
pub struct Edit {
    range: Range<usize>,
    with: Cow<'static, str>,
    name: Option<Arc<str>>,
}

impl Edit {
    /// Returns the range of the replaced bytes.
    #[must_use]
    pub const fn range(&self) -> &Range<usize> {
        &self.range
    }

    /// Returns the replacement.
    #[must_use]
    pub fn with(&self) -> &str {
        &self.with
    }

    /// Returns the name under which the edit is [counted](EditCounts).
    #[must_use]
    pub const fn name(&self) -> Option<&Arc<str>> {
        self.name.as_ref()
    }
}

/// Prints lengths only: content does not belong in logs.
impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edit")
            .field("range", &self.range)
            .field("with", &format_args!("{} bytes", self.with.len()))
            .field("name", &self.name)
            .finish()
    }
}

/// The replacements in one text, in order and without overlap.
///
/// A transform returns edits instead of a new text, so that all other bytes stay the same: escapes of a JSON string,
/// half of a surrogate pair, and the marks of a search hit.
///
/// ```
/// use throughline_layers::transform::Edits;
///
/// let mut edits = Edits::none();
/// edits.replace(3..8, "A.");
/// assert_eq!(edits.apply("by Alice, 1999").as_deref(), Some("by A., 1999"));
/// assert_eq!(edits.move_mark((10, 14)), (7, 11));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edits(Vec<Edit>);

impl Edits {
    /// Returns an empty list of edits.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Replaces the bytes in `range`.
    ///
    /// # Panics
    /// Panics if `range` begins before the end of the last edit. A panic of a transform fails the call, and nothing is
    /// stored.
    pub fn replace(&mut self, range: Range<usize>, with: impl Into<Cow<'static, str>>) {
        self.push(Edit { range, with: with.into(), name: None });
    }

    /// Replaces the bytes in `range`, and counts the edit under `name`: see
    /// [`Transform::applied`](super::Transform::applied).
    ///
    /// # Panics
    /// As for [`replace`](Self::replace).
    pub fn replace_as(&mut self, name: &Arc<str>, range: Range<usize>, with: impl Into<Cow<'static, str>>) {
        self.push(Edit { range, with: with.into(), name: Some(Arc::clone(name)) });
    }

    fn push(&mut self, edit: Edit) {
        let after = self.0.last().map_or(0, |last| last.range.end);
        assert!(after <= edit.range.start && edit.range.start <= edit.range.end, "edits are in order");
        self.0.push(edit);
    }

    /// Returns true if there are no edits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the edits in their order.
    pub fn iter(&self) -> std::slice::Iter<'_, Edit> {
        self.0.iter()
    }

    /// Returns the text with the replacements; `None` without edits.
    ///
    /// # Panics
    /// Panics if an edit is outside of `text` or not on character boundaries.
    #[must_use]
    pub fn apply(&self, text: &str) -> Option<String> {
        (!self.is_empty()).then(|| self.apply_within(text, 0..text.len()))
    }

    /// Returns the part `range` of the text, with the replacements within it.
    pub(super) fn apply_within(&self, text: &str, range: Range<usize>) -> String {
        let (mut out, mut at) = (String::with_capacity(range.len()), range.start);
        for edit in self.within(range.clone()) {
            out.push_str(&text[at..edit.range.start]);
            out.push_str(&edit.with);
            at = edit.range.end;
        }
        out.push_str(&text[at..range.end]);
        out
    }

    /// Returns the inside of a JSON string with the replacements, escaped.
    #[must_use]
    pub fn apply_to_json(&self, string: &JsonString<'_>) -> String {
        self.apply_to_json_before(string, string.text().len())
    }

    /// Returns the same up to the byte `end` of the decoded text.
    pub(super) fn apply_to_json_before(&self, string: &JsonString<'_>, end: usize) -> String {
        let raw = string.raw();
        let (mut out, mut at) = (String::with_capacity(raw.len()), 0);
        for edit in self.within(0..end) {
            out.push_str(&raw[at..string.raw_offset(edit.range.start)]);
            let quoted = serde_json::to_string(&edit.with).expect("a string serializes into memory");
            out.push_str(&quoted[1..quoted.len() - 1]);
            at = string.raw_offset(edit.range.end);
        }
        out.push_str(&raw[at..string.raw_offset(end)]);
        out
    }

    /// Returns the edits within `range`.
    pub(super) fn within(&self, range: Range<usize>) -> impl Iterator<Item = &Edit> {
        self.0.iter().filter(move |edit| range.start <= edit.range.start && edit.range.end <= range.end)
    }

    /// Maps the mark of a text to the text with the replacements. A mark is a pair of a start byte and an end byte. A
    /// mark that begins or ends inside of an edit covers the whole replacement.
    #[must_use]
    pub fn move_mark(&self, (start, end): (u32, u32)) -> (u32, u32) {
        (self.move_offset(start, false), self.move_offset(end, true))
    }

    fn move_offset(&self, offset: u32, is_end: bool) -> u32 {
        let at = offset as usize;
        let mut moved = at;
        for Edit { range, with, .. } in &self.0 {
            if range.end <= at {
                moved = moved + with.len() - range.len();
            } else if range.start < at {
                // Inside of the edit: the mark moves to the start or the end of the replacement.
                moved = moved - (at - range.start) + if is_end { with.len() } else { 0 };
                break;
            } else {
                break;
            }
        }
        u32::try_from(moved).unwrap_or(u32::MAX)
    }
}

impl<'a> IntoIterator for &'a Edits {
    type Item = &'a Edit;
    type IntoIter = std::slice::Iter<'a, Edit>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The number of edits by their names: see [`Edits::replace_as`]. It never contains the replaced text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EditCounts(BTreeMap<Arc<str>, u64>);

impl EditCounts {
    /// Returns empty counts.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Adds one to the count of this name.
    pub fn count(&mut self, name: &Arc<str>) {
        self.add(name, 1);
    }

    /// Adds `more` to the count of this name.
    pub fn add(&mut self, name: &Arc<str>, more: u64) {
        match self.0.get_mut(name) {
            Some(count) => *count += more,
            None => drop(self.0.insert(Arc::clone(name), more)),
        }
    }

    /// Counts these edits.
    pub fn count_all<'a>(&mut self, edits: impl IntoIterator<Item = &'a Edit>) {
        edits.into_iter().filter_map(Edit::name).for_each(|name| self.count(name));
    }

    /// Returns true if all counts are zero.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the counts in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, u64)> {
        self.0.iter().map(|(name, count)| (name, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edits(of: &[(Range<usize>, &'static str)]) -> Edits {
        let mut edits = Edits::none();
        of.iter().for_each(|(range, with)| edits.replace(range.clone(), *with));
        edits
    }

    #[test]
    fn an_edit_in_a_json_string_keeps_all_other_bytes() {
        let string = JsonString::new(r"\u0041\n\ud800 name \ud83e\udd80é");
        let at = string.text().find("name").unwrap();
        let edits = edits(&[(0..1, "\"\n"), (at..at + 4, "")]);
        assert_eq!(edits.apply_to_json(&string), r#"\"\n\n\ud800  \ud83e\udd80é"#);
    }

    #[test]
    fn a_mark_moves_with_the_text_and_covers_the_replacement() {
        let edits = edits(&[(2..4, "12345"), (6..9, "")]);
        for (mark, moved) in [
            ((0, 2), (0, 2)),
            ((2, 4), (2, 7)),
            ((3, 5), (2, 8)),
            ((1, 3), (1, 7)),
            ((5, 10), (8, 10)),
            ((7, 8), (9, 9)),
        ] {
            assert_eq!(edits.move_mark(mark), moved, "{mark:?}");
        }
    }

    #[test]
    #[should_panic(expected = "in order")]
    fn edits_that_overlap_are_refused() {
        edits(&[(2..4, ""), (3..5, "")]);
    }

    #[test]
    fn debug_shows_no_text() {
        assert!(!format!("{:?}", edits(&[(0..1, "hunter2")])).contains("hunter2"));
    }
}
