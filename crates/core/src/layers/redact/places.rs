//! The places of an operation, one by one.

use super::{
    Redactions, json::Blind, marker::OPEN, names::FreeNames, redactor::Redactor, scan::Mode, stream::Stream,
    text::Decoded,
};
use crate::{
    Content, Delta, Effect, ErrorKind, Metadata, PersistArgs, PersistError, PlaceMut, Result, SlotMut,
    ThreadArgs, Title, message::open_text, operation::CarriesContent as _,
};

impl Redactor {
    /// Hides what is in the places of `args` that stand for themselves: in all of them, but for the content that an
    /// [`UpdateContent`](crate::UpdateContent) brings, which may go on later.
    pub(super) fn places(&self, args: &mut PersistArgs, found: &mut Redactions) -> Result<()> {
        let goes_on = matches!(args, PersistArgs::UpdateContent(_));
        let is_patch = matches!(args, PersistArgs::Update(_) | PersistArgs::Thread(ThreadArgs::Label(_)));
        for place in args.places_mut() {
            if goes_on && matches!(place.slot, SlotMut::Whole(_) | SlotMut::Delta(_)) {
                continue;
            }
            self.place(place, is_patch, found)?;
        }
        Ok(())
    }

    fn place(&self, place: PlaceMut<'_>, is_patch: bool, found: &mut Redactions) -> Result<()> {
        let (thread, message) = (place.thread, place.message);
        let blind = |what: &'static str| {
            move |why| {
                let error = blind(what, why);
                message.map_or(error.clone(), |message| error.about(thread, message))
            }
        };
        match place.slot {
            SlotMut::Whole(content) => {
                if let Some(redacted) = self.content(content, found).map_err(blind("content"))? {
                    *content = redacted;
                }
            }
            SlotMut::Delta(delta) => match delta {
                Delta::Text(text) => self.string_in_place(text, found),
                Delta::Blocks(blocks) => {
                    if let Some(redacted) = self.content(blocks, found).map_err(blind("content"))? {
                        *blocks = redacted;
                    }
                }
            },
            SlotMut::Metadata(metadata) => {
                if let Some(redacted) = self.metadata(metadata, is_patch, found).map_err(blind("metadata"))? {
                    *metadata = redacted;
                }
            }
            SlotMut::Reason(text) | SlotMut::Preview(text) => self.string_in_place(text, found),
            SlotMut::Title(title) => {
                if let Some(redacted) = self.title(title, found) {
                    *title = redacted;
                }
            }
        }
        Ok(())
    }

    fn string_in_place(&self, text: &mut String, found: &mut Redactions) {
        if let Some(redacted) = self.text(text, found) {
            *text = redacted;
        }
    }

    /// Content that nothing continues; nothing when it holds no secret.
    pub(super) fn content(
        &self,
        content: &Content,
        found: &mut Redactions,
    ) -> Result<Option<Content>, Blind> {
        let redacted = self.json(content.as_json(), &[], found)?;
        Ok(redacted.map(|json| Content::from_json(json).expect("an array stays one")))
    }

    /// Content that text may continue: what can be stored of it now, if that is not all of it as it is, and where it goes on.
    pub(super) fn open_content(
        &self,
        content: &Content,
        found: &mut Redactions,
    ) -> Result<(Option<Content>, Stream), Blind> {
        let Some(open) = open_text(content) else {
            return Ok((self.content(content, found)?, Stream::default()));
        };
        let (json, mut redactions) = (content.as_json(), Redactions::new());
        let before = self.json(&json[..open.start - 1], &[], &mut redactions)?;
        let raw = &json[open.clone()];
        let text = Decoded::of(raw).ok_or(Blind::TooLong)?;
        let scan = self.scan(&text.bytes, 0, Mode::Text, false);
        // Half of a surrogate pair cannot be given out again as text: it is stored, and what is held back begins behind it. Of a
        // private key nothing is given out.
        let stored = match scan.mode {
            Mode::Block => scan.end,
            _ => scan.end + behind_halves(&text.bytes[scan.end..]),
        };
        found.add(&redactions);
        let stream = Stream::after(&text.bytes, scan.begins, scan.end, stored, scan.mode);
        if before.is_none() && scan.cuts.is_empty() && stream.held() == 0 {
            return Ok((None, stream));
        }
        let mut out = before.unwrap_or_else(|| json[..open.start - 1].to_owned());
        out.push('"');
        let mut at = 0;
        for cut in &scan.cuts {
            out.push_str(&raw[text.raw(at)..text.raw(cut.start)]);
            if let Some(rule) = cut.rule {
                let rule = &self.0.rules[rule];
                out.push_str(&rule.marker);
                found.count(&rule.name);
            }
            at = cut.end;
        }
        // A private key may be cut inside a character.
        if at < stored {
            out.push_str(&raw[text.raw(at)..text.raw(stored)]);
        }
        out.push_str(&json[open.end..]);
        Ok((Some(Content::from_json(out).expect("an array stays one")), stream))
    }

    /// Metadata or a patch of it; nothing when it holds no secret. A patch clears a name that holds one as it is and as it would
    /// be stored: a store keeps nothing of what is cleared, and the name may be older than the rule.
    pub(super) fn metadata(
        &self,
        metadata: &Metadata,
        is_patch: bool,
        found: &mut Redactions,
    ) -> Result<Option<Metadata>, Blind> {
        let (mut redacted, mut names, mut is_changed) = (Metadata::new(), FreeNames::default(), false);
        for (name, value) in metadata.iter() {
            // The framework's own.
            if name.starts_with(Metadata::RESERVED) {
                redacted.set_raw(name, value.to_owned());
                continue;
            }
            let json = value.get();
            if is_patch && json == "null" {
                redacted.set_raw(name, value.to_owned());
                let stored = self.text(name, found).filter(|stored| metadata.get(stored).is_none());
                if let Some(stored) = stored.filter(|stored| redacted.get(stored).is_none()) {
                    redacted.set_raw(stored, value.to_owned());
                    is_changed = true;
                }
                continue;
            }
            let hidden = self.metadata_field(name).and_then(|only| self.hidden_field(json, only, found));
            let new_value = match hidden {
                Some(hidden) => Some(hidden),
                None => self.json(json, &[name], found)?,
            };
            let new_name = self.text(name, found).map(|new| names.free(&redacted, metadata, new));
            is_changed |= new_value.is_some() || new_name.is_some();
            let value = match new_value {
                Some(json) => serde_json::value::RawValue::from_string(json).expect("JSON stays JSON"),
                None => value.to_owned(),
            };
            redacted.set_raw(new_name.as_deref().unwrap_or(name), value);
        }
        Ok(is_changed.then_some(redacted))
    }

    /// A title; nothing when it holds no secret. It is cut where the markers make it too long.
    pub(super) fn title(&self, title: &Title, found: &mut Redactions) -> Option<Title> {
        let mut text = self.text(title.as_str(), found)?;
        if text.len() > Title::MAX_BYTES {
            let mut end = Title::MAX_BYTES;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            // Not inside a marker: half of one says nothing.
            if let Some(open) = text[..end].rfind('[') {
                let tail = &text[open..end];
                if !tail.contains(']') && (tail.starts_with(OPEN) || OPEN.starts_with(tail)) {
                    end = open;
                }
            }
            text.truncate(end);
        }
        Some(Title::new(text).expect("short enough"))
    }
}

/// How much of `bytes` stands before what is UTF-8 to its end.
fn behind_halves(bytes: &[u8]) -> usize {
    let (mut at, mut behind) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        at += chunk.valid().len() + chunk.invalid().len();
        if !chunk.invalid().is_empty() {
            behind = at;
        }
    }
    behind
}

/// What cannot be looked at is not stored.
pub(super) fn blind(what: &str, why: Blind) -> PersistError {
    let why = match why {
        Blind::TooDeep => "it nests deeper than 1024 levels",
        Blind::TooLong => "a text in it is longer than 4 GiB",
    };
    PersistError::new(ErrorKind::TooLarge, format!("the {what} cannot be searched for secrets: {why}"))
        .with_effect(Effect::NotApplied)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ContentBuffer;

    fn key() -> String {
        format!("AKIA{}", "ABCD2345".repeat(2))
    }

    #[test]
    fn open_content_keeps_back_what_may_become_a_secret() {
        let redactor = Redactor::secrets();
        let key = key();
        for cut in 0..=key.len() {
            for before in [String::new(), format!(r#"{{"x":"{key}"}}, "#)] {
                let json = format!(r#"[{before}{{"type":"text","text":"say \u0022{}"}} ]"#, &key[..cut]);
                let content = Content::from_json(json).unwrap();
                let mut found = Redactions::new();
                let (stored, mut stream) = redactor.open_content(&content, &mut found).unwrap();
                let mut buffer = ContentBuffer::new(&stored.unwrap_or_else(|| content.clone()));
                assert!(!buffer.content().as_json().contains("AKIA"), "{cut}");
                let rest = format!("{} ok", &key[cut..]);
                buffer.push(&Delta::Text(stream.push(&redactor, &rest, true, &mut found)));
                let mut whole = ContentBuffer::new(&content);
                whole.push(&Delta::Text(rest));
                let expected = redactor.content(&whole.content(), &mut Redactions::new()).unwrap().unwrap();
                assert_eq!(buffer.content(), expected);
            }
        }
        let plain = Content::text("nothing to hide.");
        assert_eq!(
            redactor.open_content(&plain, &mut Redactions::new()).unwrap(),
            (None, Stream::after(b"ide.", 0, 4, 4, Mode::Text))
        );
    }

    #[test]
    fn metadata_is_searched_in_names_and_values_and_a_cleared_name_stays_cleared() {
        let redactor = Redactor::secrets();
        let (one, two) = (key(), key().replace("AB", "XY"));
        let json =
            format!(r#"{{"{one}":1.10,"{two}":null,"password":"x","api_key":null,"throughline.x":"{one}"}}"#);
        let metadata: Metadata = serde_json::from_str(&json).unwrap();
        let mut found = Redactions::new();
        let redacted = redactor.metadata(&metadata, false, &mut found).unwrap().unwrap();
        let marker = &redactor.0.rules.iter().find(|rule| &*rule.name == "aws-access-key").unwrap().marker;
        assert_eq!(redacted.get(marker).unwrap().get(), "1.10");
        assert_eq!(redacted.get(&format!("{marker}-2")).unwrap().get(), "null");
        assert_eq!(redacted.get("api_key").unwrap().get(), "null");
        assert!(redacted.get_as::<String>("password").unwrap().starts_with("[redacted:field#"));
        assert_eq!(redacted.get_as::<String>("throughline.x"), Some(one));
        assert_eq!((found.get("aws-access-key"), found.get("field")), (2, 1));
        assert_eq!(redactor.metadata(&redacted, false, &mut Redactions::new()), Ok(None));
        let patch = redactor.metadata(&metadata, true, &mut Redactions::new()).unwrap().unwrap();
        let cleared: Vec<&str> =
            patch.iter().filter(|(_, value)| value.get() == "null").map(|(name, _)| name).collect();
        assert_eq!(cleared, [&*two, "api_key"], "its other name is given in the same patch");
    }

    #[test]
    fn a_title_fits_with_its_markers() {
        let redactor = Redactor::secrets();
        let text = "password=hunter2 ".repeat(240);
        let title = redactor.title(&Title::new(&text).unwrap(), &mut Redactions::new()).unwrap();
        let count = |of: &str| title.as_str().matches(of).count();
        assert!(title.as_str().len() <= Title::MAX_BYTES && count("[") > 50 && count("[") == count("]"));
        assert!(!title.as_str().contains("hunter2"));
        assert_eq!(redactor.title(&title, &mut Redactions::new()), None);
    }
}
