//! The redactor as a transform, which only rewrites text on the way to the store.

use std::{
    borrow::Cow,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Redactions, Redactor,
    marker::OPEN,
    scan::{Mode, Scan},
    stream::Stream,
};
use crate::transform::{EditCounts, Edits, JsonString, Rewrite, TextPart, TextStream, TooDeep, Transform};
use throughline_core::{Context, PersistArgs, Title, pipeline::Extensions};

/// The hook that runs after each write with redactions.
pub(super) type Hook = Arc<dyn Fn(&Context, &Redactions) + Send + Sync>;

/// Hides the matches of the rules, counts them, and calls the hook of the host.
#[derive(Clone)]
pub(super) struct Redaction {
    pub(super) redactor: Redactor,
    pub(super) hook: Option<Hook>,
    pub(super) counts: Arc<Mutex<Redactions>>,
}

impl Redaction {
    /// Creates the transform of these rules.
    pub(super) fn new(redactor: Redactor) -> Self {
        Self { redactor, hook: None, counts: Arc::default() }
    }

    /// Counts the redactions of an applied write, and calls the hook.
    fn hidden(&self, context: &Context, found: &Redactions) {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).add(found);
        if let Some(hook) = &self.hook {
            // The write is applied, even if the hook panics.
            let call = std::panic::AssertUnwindSafe(|| hook(context, found));
            drop(std::panic::catch_unwind(call));
        }
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction").field("redactor", &self.redactor).finish_non_exhaustive()
    }
}

impl Redactor {
    /// Returns the matches of a scan as edits of the text.
    pub(super) fn edits(&self, text: &str, scan: &Scan) -> Edits {
        let (mut edits, mut at) = (Edits::none(), 0);
        for cut in &scan.cuts {
            // A private key may end inside of a character, which is then hidden completely.
            let start = text.floor_char_boundary(cut.start).max(at);
            at = text.ceil_char_boundary(cut.end).max(start);
            match cut.rule {
                Some(rule) => {
                    let rule = &self.0.rules[rule];
                    edits.replace_as(&rule.name, start..at, rule.marker.clone());
                }
                None => edits.replace(start..at, ""),
            }
        }
        edits
    }
}

impl Transform for Redaction {
    type Stream = Stream;

    // Answers show the stored text.
    const RESTORES: bool = false;

    fn name(&self) -> &str {
        "redact"
    }

    fn down(&self, part: TextPart<'_>) -> Rewrite {
        let text = part.text();
        let scan = self.redactor.scan(text.as_bytes(), part.start(), Mode::Text, part.is_last());
        Rewrite { edits: self.redactor.edits(text, &scan), certain: scan.end }
    }

    fn up(&self, _: &str) -> Edits {
        Edits::none()
    }

    fn json(&self, json: &str, outer: &[&str], counts: &mut EditCounts) -> Result<Option<String>, TooDeep> {
        let mut found = Redactions::new();
        // A value of metadata is the value of a field.
        let field = outer.last().and_then(|name| self.redactor.metadata_field(name, json, &mut found));
        let redacted = match field {
            Some(hidden) => Some(hidden),
            None => self.redactor.json(json, outer, &mut found)?,
        };
        found.add_to(counts);
        Ok(redacted)
    }

    /// Also redacts the owner of a thread, in creations and in reads.
    fn prepare(&self, args: &mut PersistArgs, counts: &mut EditCounts) {
        let mut found = Redactions::new();
        self.redactor.owner(args, &mut found);
        found.add_to(counts);
    }

    /// Shortens a title that markers made too long, but never inside of a marker, because half of one has no meaning.
    fn shorten_title(&self, title: &str) -> Option<String> {
        let mut end = title.floor_char_boundary(Title::MAX_BYTES);
        if let Some(open) = title[..end].rfind('[') {
            let tail = &title[open..end];
            if !tail.contains(']') && (tail.starts_with(OPEN) || OPEN.starts_with(tail)) {
                end = open;
            }
        }
        Some(title[..end].to_owned())
    }

    fn applied(&self, context: &Context, counts: EditCounts, extensions: &mut Extensions) {
        let mut found = Redactions::from(counts);
        self.hidden(context, &found);
        if let Some(further) = extensions.get::<Redactions>() {
            found.add(further);
        }
        extensions.insert(found);
    }
}

impl TextStream<Redaction> for Stream {
    fn push(&mut self, by: &Redaction, more: &str, is_last: bool, counts: &mut EditCounts) -> String {
        let mut found = Redactions::new();
        let certain = Self::push(self, &by.redactor, more, is_last, &mut found);
        found.add_to(counts);
        certain
    }

    fn held(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.held_bytes())
    }

    fn begin(by: &Redaction, string: &JsonString<'_>) -> (Rewrite, Self) {
        let text = string.text();
        let scan = by.redactor.scan(text.as_bytes(), 0, Mode::Text, false);
        // Half of a surrogate pair cannot be returned as text: it is stored, and the buffered text begins after it. No
        // text of a private key is returned.
        let stored = match scan.mode {
            Mode::Block => scan.end,
            _ => scan.end.max(string.after_halves()),
        };
        let stream = Self::after(text.as_bytes(), &scan, stored);
        let edits = by.redactor.edits(text, &scan);
        (Rewrite { edits, certain: text.ceil_char_boundary(stored) }, stream)
    }

    fn resume(by: &Redaction, stored: &str) -> Self {
        Self::resumed(&by.redactor, stored.as_bytes())
    }

    fn append(by: &Redaction, stored: &str, more: &str, counts: &mut EditCounts) -> Option<String> {
        let mut stream = Self::edited(&by.redactor, stored.as_bytes(), more);
        Some(TextStream::push(&mut stream, by, more, true, counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::{Down, TooDeep};
    use throughline_core::{Content, Delta, Metadata, messages::ContentBuffer};

    fn metadata(redactor: &Redactor, metadata: &Metadata, is_patch: bool) -> (Option<Metadata>, Redactions) {
        let redaction = Redaction::new(redactor.clone());
        let mut down = Down::new(&redaction);
        let redacted = down.facts(metadata, is_patch).unwrap();
        (redacted, down.into_counts().into())
    }

    fn open_content(redactor: &Redactor, content: &Content) -> Result<(Option<Content>, Stream), TooDeep> {
        Down::new(&Redaction::new(redactor.clone())).open_content(content)
    }

    fn key() -> String {
        format!("AKIA{}", "ABCD2345".repeat(2))
    }

    #[test]
    fn open_content_buffers_a_possible_secret() {
        let redactor = Redactor::secrets();
        let key = key();
        for cut in 0..=key.len() {
            for before in [String::new(), format!(r#"{{"x":"{key}"}}, "#)] {
                let json = format!(r#"[{before}{{"type":"text","text":"say \u0022{}"}} ]"#, &key[..cut]);
                let content = Content::from_json(json).unwrap();
                let mut found = Redactions::new();
                let (stored, mut stream) = open_content(&redactor, &content).unwrap();
                let mut buffer = ContentBuffer::new(&stored.unwrap_or_else(|| content.clone()));
                assert!(!buffer.content().as_json().contains("AKIA"), "{cut}");
                let rest = format!("{} ok", &key[cut..]);
                buffer.push(&Delta::Text(Stream::push(&mut stream, &redactor, &rest, true, &mut found)));
                let mut whole = ContentBuffer::new(&content);
                whole.push(&Delta::Text(rest));
                let expected = Down::new(&Redaction::new(redactor.clone())).whole_content(&whole.content());
                assert_eq!(Ok(Some(buffer.content())), expected);
            }
        }
        let plain = "nothing to hide.";
        let scan = redactor.scan(plain.as_bytes(), 0, Mode::Text, false);
        let stream = Stream::after(plain.as_bytes(), &scan, plain.len());
        assert_eq!(open_content(&redactor, &Content::text(plain)).unwrap(), (None, stream));
    }

    #[test]
    fn metadata_names_and_values_are_searched_and_a_removed_name_stays_removed() {
        let redactor = Redactor::secrets();
        let (one, two) = (key(), key().replace("AB", "XY"));
        let json =
            format!(r#"{{"{one}":1.10,"{two}":null,"password":"x","api_key":null,"throughline.x":"{one}"}}"#);
        let given: Metadata = serde_json::from_str(&json).unwrap();
        let (redacted, found) = metadata(&redactor, &given, false);
        let redacted = redacted.unwrap();
        let marker = &redactor.0.rules.iter().find(|rule| &*rule.name == "aws-access-key").unwrap().marker;
        assert_eq!(redacted.get(marker).unwrap().get(), "1.10");
        assert_eq!(redacted.get(&format!("{marker}-2")).unwrap().get(), "null");
        assert_eq!(redacted.get("api_key").unwrap().get(), "null");
        assert!(redacted.get_as::<String>("password").unwrap().starts_with("[redacted:field#"));
        assert_eq!(redacted.get_as::<String>("throughline.x"), Some(one));
        assert_eq!((found.get("aws-access-key"), found.get("field")), (2, 1));
        assert_eq!(metadata(&redactor, &redacted, false).0, None);
        let patch = metadata(&redactor, &given, true).0.unwrap();
        let cleared: Vec<&str> =
            patch.iter().filter(|(_, value)| value.get() == "null").map(|(name, _)| name).collect();
        assert_eq!(cleared, [&*two, "api_key"], "its other name is given in the same patch");
    }

    #[test]
    fn a_title_fits_with_its_markers() {
        let redactor = Redactor::secrets();
        let text = "password=hunter2 ".repeat(240);
        let redaction = Redaction::new(redactor);
        let title = Down::new(&redaction).whole_title(&Title::new(&text).unwrap()).unwrap().unwrap();
        let count = |of: &str| title.as_str().matches(of).count();
        assert!(title.as_str().len() <= Title::MAX_BYTES && count("[") > 50 && count("[") == count("]"));
        assert!(!title.as_str().contains("hunter2"));
        assert_eq!(Down::new(&redaction).whole_title(&title).unwrap(), None);
    }
}
