//! Applies a transform to the fields of one call.

use super::{
    EditCounts, Edits, FieldOwner, JsonString, RewriteFields, Snippet, TextPart, TextStream as _, TooDeep,
    Transform, metadata::rewrite_metadata, rewrite_json,
};
use throughline_core::{
    Content, Delta, Effect, ErrorKind, Metadata, PersistArgs, PersistError, Result, Title,
};

/// Rewrites fields on the way to the store, and counts the edits.
///
/// A host that rewrites existing data can use it without a pipeline: each method returns `None` without replacements.
#[derive(Debug)]
pub struct Down<'a, T> {
    transform: &'a T,
    counts: EditCounts,
    /// Whether content and deltas stay unchanged, because a call that changes content rewrites them together with the
    /// buffered text.
    leaves_content: bool,
}

impl<'a, T: Transform> Down<'a, T> {
    /// Creates the rewriter of this transform.
    #[must_use]
    pub const fn new(transform: &'a T) -> Self {
        Self { transform, counts: EditCounts::new(), leaves_content: false }
    }

    pub(super) const fn leave_content(&mut self, leaves_content: bool) {
        self.leaves_content = leaves_content;
    }

    pub(super) fn prepare(&mut self, args: &mut PersistArgs) {
        self.transform.prepare(args, &mut self.counts);
    }

    pub(super) const fn parts(&mut self) -> (&'a T, &mut EditCounts) {
        (self.transform, &mut self.counts)
    }

    /// Returns the counts of the edits.
    #[must_use]
    pub fn into_counts(self) -> EditCounts {
        self.counts
    }

    fn string(&mut self, text: &str) -> Edits {
        let edits = self.transform.down(TextPart::whole(text)).edits;
        self.counts.count_all(&edits);
        edits
    }

    fn json(&mut self, json: &str, outer: &[&str]) -> Result<Option<String>, TooDeep> {
        self.transform.json(json, outer, &mut self.counts)
    }

    /// Rewrites a complete text.
    pub fn text(&mut self, text: &str) -> Option<String> {
        self.string(text).apply(text)
    }

    /// Rewrites content that no append continues.
    ///
    /// # Errors
    /// [`TooDeep`] if it nests deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    pub fn whole_content(&mut self, content: &Content) -> Result<Option<Content>, TooDeep> {
        Ok(self.json(content.as_json(), &[])?.map(as_content))
    }

    /// Rewrites content that an append may continue. Returns the storable form, and the state of its last text.
    pub(crate) fn open_content(
        &mut self,
        content: &Content,
    ) -> Result<(Option<Content>, T::Stream), TooDeep> {
        let Some(open) = content.open_text() else {
            return Ok((self.whole_content(content)?, T::Stream::default()));
        };
        let json = content.as_json();
        let before = self.json(&json[..open.start - 1], &[])?;
        let string = JsonString::new(&json[open.clone()]);
        let (rewrite, stream) = T::Stream::begin(self.transform, &string);
        self.counts.count_all(rewrite.edits.within(0..rewrite.certain));
        let is_changed = rewrite.edits.within(0..rewrite.certain).next().is_some();
        if before.is_none() && !is_changed && stream.held().is_empty() {
            return Ok((None, stream));
        }
        let mut out = before.unwrap_or_else(|| json[..open.start - 1].to_owned());
        out.push('"');
        out.push_str(&rewrite.edits.apply_to_json_before(&string, rewrite.certain));
        out.push_str(&json[open.end..]);
        Ok((Some(as_content(out)), stream))
    }

    /// Rewrites metadata, or a patch of it in which `null` removes a member.
    ///
    /// # Errors
    /// [`TooDeep`] if a value nests deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    pub fn facts(&mut self, metadata: &Metadata, is_patch: bool) -> Result<Option<Metadata>, TooDeep> {
        rewrite_metadata(metadata, is_patch, self, Self::string, |down, name, json| down.json(json, &[name]))
    }

    /// Rewrites a title.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) if it is too long with its edits, and the transform does not shorten it.
    pub fn whole_title(&mut self, title: &Title) -> Result<Option<Title>> {
        let Some(text) = self.text(title.as_str()) else { return Ok(None) };
        let text = if text.len() > Title::MAX_BYTES {
            self.transform.shorten_title(&text).unwrap_or(text)
        } else {
            text
        };
        let bytes = text.len();
        Title::new(text).map(Some).map_err(|_| {
            let (name, most) = (self.transform.name(), Title::MAX_BYTES);
            let detail = format!("`{name}` makes the title {bytes} bytes long, and {most} are allowed");
            PersistError::new(ErrorKind::TooLarge, detail).with_effect(Effect::NotApplied)
        })
    }

    /// Returns the error for a field that nests too deep to be rewritten.
    pub(super) fn refuse(&self, field: &str, why: TooDeep) -> PersistError {
        let detail = format!("the {field} cannot be rewritten by `{}`: {why}", self.transform.name());
        PersistError::new(ErrorKind::TooLarge, detail).with_effect(Effect::NotApplied)
    }

    fn any_metadata(&mut self, owner: FieldOwner<'_>, metadata: &mut Metadata, is_patch: bool) -> Result<()> {
        let rewritten = self.facts(metadata, is_patch);
        if let Some(rewritten) = rewritten.map_err(|why| owner.name_in(self.refuse("metadata", why)))? {
            *metadata = rewritten;
        }
        Ok(())
    }

    fn any_text(&mut self, text: &mut String) {
        if let Some(rewritten) = self.text(text) {
            *text = rewritten;
        }
    }
}

fn as_content(json: String) -> Content {
    Content::from_json(json).expect("an array stays one")
}

impl<T: Transform> RewriteFields for Down<'_, T> {
    fn content(&mut self, owner: FieldOwner<'_>, content: &mut Content) -> Result<()> {
        if self.leaves_content {
            return Ok(());
        }
        let rewritten = self.whole_content(content);
        if let Some(rewritten) = rewritten.map_err(|why| owner.name_in(self.refuse("content", why)))? {
            *content = rewritten;
        }
        Ok(())
    }

    fn delta(&mut self, owner: FieldOwner<'_>, delta: &mut Delta) -> Result<()> {
        match delta {
            _ if self.leaves_content => Ok(()),
            Delta::Text(text) => {
                self.any_text(text);
                Ok(())
            }
            Delta::Blocks(blocks) => self.content(owner, blocks),
        }
    }

    fn metadata(&mut self, owner: FieldOwner<'_>, metadata: &mut Metadata) -> Result<()> {
        self.any_metadata(owner, metadata, false)
    }

    fn metadata_patch(&mut self, owner: FieldOwner<'_>, patch: &mut Metadata) -> Result<()> {
        self.any_metadata(owner, patch, true)
    }

    fn reason(&mut self, _: FieldOwner<'_>, reason: &mut String) -> Result<()> {
        self.any_text(reason);
        Ok(())
    }

    fn title(&mut self, owner: FieldOwner<'_>, title: &mut Title) -> Result<()> {
        if let Some(rewritten) = self.whole_title(title).map_err(|error| owner.name_in(error))? {
            *title = rewritten;
        }
        Ok(())
    }

    fn preview(&mut self, _: FieldOwner<'_>, preview: &mut String) -> Result<()> {
        self.any_text(preview);
        Ok(())
    }

    fn snippet(&mut self, _: FieldOwner<'_>, mut snippet: Snippet<'_>) -> Result<()> {
        let edits = self.string(snippet.text);
        rewrite_snippet(&mut snippet, &edits);
        Ok(())
    }

    fn query(&mut self, query: &mut String) -> Result<()> {
        self.any_text(query);
        Ok(())
    }

    fn criterion(&mut self, criterion: &mut Metadata) -> Result<()> {
        let rewritten = self.facts(criterion, false).map_err(|why| self.refuse("metadata", why))?;
        if let Some(rewritten) = rewritten {
            *criterion = rewritten;
        }
        Ok(())
    }
}

fn rewrite_snippet(snippet: &mut Snippet<'_>, edits: &Edits) {
    if let Some(rewritten) = edits.apply(snippet.text) {
        snippet.marks.iter_mut().for_each(|mark| *mark = edits.move_mark(*mark));
        // If one edit replaced two terms, their marks become one.
        snippet.marks.sort_unstable();
        snippet.marks.dedup_by(|next, last| {
            let is_over = next.0 < last.1;
            if is_over {
                last.1 = last.1.max(next.1);
            }
            is_over
        });
        snippet.marks.retain(|(start, end)| start < end);
        *snippet.text = rewritten;
    }
}

/// Rewrites fields on the way to the caller. It refuses nothing: text that cannot be restored is returned as stored.
#[derive(Debug)]
pub struct Up<'a, T> {
    transform: &'a T,
}

impl<'a, T: Transform> Up<'a, T> {
    /// Creates the rewriter of this transform.
    #[must_use]
    pub const fn new(transform: &'a T) -> Self {
        Self { transform }
    }

    /// Without a limit of depth, because all stored content is returned.
    fn json(&self, json: &str) -> Result<Option<String>, TooDeep> {
        rewrite_json(json, usize::MAX, |text| self.transform.up(text))
    }

    fn any_metadata(&mut self, metadata: &mut Metadata) {
        let name = |up: &mut Self, name: &str| up.transform.up(name);
        let value = |up: &mut Self, _: &str, json: &str| up.json(json);
        if let Ok(Some(rewritten)) = rewrite_metadata(metadata, false, self, name, value) {
            *metadata = rewritten;
        }
    }

    fn any_text(&self, text: &mut String) {
        if let Some(rewritten) = self.transform.up(text).apply(text) {
            *text = rewritten;
        }
    }
}

impl<T: Transform> RewriteFields for Up<'_, T> {
    fn content(&mut self, _: FieldOwner<'_>, content: &mut Content) -> Result<()> {
        if let Ok(Some(json)) = self.json(content.as_json()) {
            *content = as_content(json);
        }
        Ok(())
    }

    fn delta(&mut self, owner: FieldOwner<'_>, delta: &mut Delta) -> Result<()> {
        match delta {
            Delta::Text(text) => {
                self.any_text(text);
                Ok(())
            }
            Delta::Blocks(blocks) => self.content(owner, blocks),
        }
    }

    fn metadata(&mut self, _: FieldOwner<'_>, metadata: &mut Metadata) -> Result<()> {
        self.any_metadata(metadata);
        Ok(())
    }

    fn metadata_patch(&mut self, owner: FieldOwner<'_>, patch: &mut Metadata) -> Result<()> {
        self.metadata(owner, patch)
    }

    fn reason(&mut self, _: FieldOwner<'_>, reason: &mut String) -> Result<()> {
        self.any_text(reason);
        Ok(())
    }

    fn title(&mut self, _: FieldOwner<'_>, title: &mut Title) -> Result<()> {
        let rewritten = self.transform.up(title.as_str()).apply(title.as_str());
        if let Some(Ok(rewritten)) = rewritten.map(Title::new) {
            *title = rewritten;
        }
        Ok(())
    }

    fn preview(&mut self, _: FieldOwner<'_>, preview: &mut String) -> Result<()> {
        self.any_text(preview);
        Ok(())
    }

    fn snippet(&mut self, _: FieldOwner<'_>, mut snippet: Snippet<'_>) -> Result<()> {
        let edits = self.transform.up(snippet.text);
        rewrite_snippet(&mut snippet, &edits);
        Ok(())
    }

    fn query(&mut self, query: &mut String) -> Result<()> {
        self.any_text(query);
        Ok(())
    }

    fn criterion(&mut self, criterion: &mut Metadata) -> Result<()> {
        self.any_metadata(criterion);
        Ok(())
    }
}
