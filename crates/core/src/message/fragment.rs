use std::fmt;

use serde_json::value::RawValue;

use super::{
    Content, ContentBuffer, Delta,
    content::{TEXT_BLOCK_CLOSE, TEXT_BLOCK_OPEN, escape_into},
    delta::is_plain_text,
};

/// The content of a message from a point between two writes on, for an answer to a tail read.
///
/// An offset counts the bytes of JSON between the brackets of the content, without surrounding whitespace. The offset at the end
/// of a plain text block, which appended text continues, is before its closing quote. So appends move no offset.
///
/// ```
/// use throughline_core::{Content, Delta, backend::ContentFragment};
///
/// let read = ContentFragment::whole(&Content::text("Hel")).end();
/// // Later, only the new text is at hand. It continues a text block.
/// let mut fragment = ContentFragment::after(read, true);
/// fragment.push(&Delta::text("lo!"));
/// let slice = fragment.read(read + 1, 1000).unwrap();
/// assert_eq!((slice.parts, slice.next), (vec![Delta::text("o!")], read + 3));
/// ```
#[derive(Clone)]
pub struct ContentFragment {
    /// The offset of the beginning.
    start: u64,
    /// The bytes from there on, with the end of open text.
    json: String,
    /// The end of the content in `json`.
    end: usize,
    /// Whether the fragment begins inside of a plain text block.
    is_in_text: bool,
}

/// A part of a [`ContentFragment`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentSlice {
    /// The appends, in order. The first one of text continues the text before the slice.
    pub parts: Vec<Delta>,
    /// The offset behind the slice.
    pub next: u64,
    /// Whether the fragment has more.
    pub has_more: bool,
}

/// A block of a fragment, or the rest of one.
#[derive(Clone, Copy)]
struct Extent {
    /// The beginning of the block.
    start: usize,
    /// The text of a plain text block, as JSON without quotes.
    text: Option<(usize, usize)>,
    /// The end of the block.
    end: usize,
}

impl ContentFragment {
    /// Returns the fragment of the whole content.
    #[must_use]
    pub fn whole(content: &Content) -> Self {
        let mut fragment = Self::after(0, false);
        fragment.push(&Delta::Blocks(content.clone()));
        fragment
    }

    /// Returns the fragment behind this offset, without bytes. `is_in_text` says whether the content before it ends with a plain
    /// text block.
    #[must_use]
    pub const fn after(start: u64, is_in_text: bool) -> Self {
        Self { start, json: String::new(), end: 0, is_in_text }
    }

    /// Returns the fragment with bytes as a [`ContentBuffer`] has them.
    pub(super) fn of_open((start, is_in_text): (u64, bool), json: &str, is_open_text: bool) -> Self {
        let mut fragment = Self::after(start, is_in_text);
        fragment.extend(json, is_open_text);
        fragment
    }

    /// Appends `delta`. Costs the bytes of the delta.
    pub fn push(&mut self, delta: &Delta) {
        if delta.is_empty() {
            return;
        }
        let is_at_start = self.start == 0 && self.json.is_empty();
        let is_text = if self.json.is_empty() { self.is_in_text } else { self.end < self.json.len() };
        let (json, is_open_text) = ContentBuffer::added_by(delta, is_at_start, is_text);
        self.extend(&json, is_open_text);
    }

    /// Replaces the end of open text by these bytes.
    fn extend(&mut self, json: &str, is_open_text: bool) {
        self.json.truncate(self.end);
        self.json.push_str(json);
        self.end = self.json.len();
        if is_open_text {
            self.json.push_str(TEXT_BLOCK_CLOSE);
        }
    }

    /// The offset behind the last byte.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start + self.end as u64
    }

    /// Returns up to `max_bytes` bytes of JSON from an offset on; text is divided between characters. At least one character or
    /// one block is returned if there is one. `None` if the offset is after the end, inside of a block or of a character.
    #[must_use]
    pub fn read(&self, from: u64, max_bytes: u32) -> Option<ContentSlice> {
        let from = usize::try_from(from.checked_sub(self.start)?).ok()?;
        if from > self.end {
            return None;
        }
        let mut slice =
            Slicer { json: &self.json, left: max_bytes as usize, parts: Vec::new(), blocks: None };
        // The end of the extent before, and whether it is text.
        let (mut end, mut is_after_text) = (0, false);
        let mut next = None;
        let mut at = 0;
        while let Some(extent) = self.extent(at) {
            at = extent.end;
            let extent_end = extent.text.map_or(extent.end, |(_, end)| end);
            let taken = if next.is_some() || (from == end && !self.continues(extent)) {
                slice.block(extent, is_after_text)
            } else if let Some(text) = extent.text.filter(|(start, end)| (*start..=*end).contains(&from)) {
                slice.rest_of_text(from, text)?
            } else if from >= extent_end {
                (end, is_after_text) = (extent_end, extent.text.is_some());
                continue;
            } else {
                return None;
            };
            next = taken.or(next).or(Some(from));
            if taken != Some(extent_end) {
                return Some(slice.finish(self.start + next.unwrap_or(from) as u64, true));
            }
            (end, is_after_text) = (extent_end, extent.text.is_some());
        }
        if next.is_none() && from != end {
            return None;
        }
        Some(slice.finish(self.end(), false))
    }

    /// Whether the extent is the rest of a text that began before the fragment.
    const fn continues(&self, extent: Extent) -> bool {
        self.is_in_text && extent.start == 0
    }

    /// Returns the block from a byte on, after the separator.
    fn extent(&self, at: usize) -> Option<Extent> {
        if self.json.is_empty() {
            return None;
        }
        if at == 0 && self.is_in_text {
            let end = end_of_text(&self.json);
            return Some(Extent {
                start: 0,
                text: Some((0, end)),
                end: (end + TEXT_BLOCK_CLOSE.len()).min(self.json.len()),
            });
        }
        let rest = &self.json[at..];
        let start = at + rest.len() - rest.trim_start_matches([',', ' ', '\t', '\n', '\r']).len();
        let mut values = serde_json::Deserializer::from_str(&self.json[start..]).into_iter::<&RawValue>();
        let block = values.next()?.ok()?.get();
        let end = start + block.len();
        let text =
            is_plain_text(block).then(|| (start + TEXT_BLOCK_OPEN.len(), end - TEXT_BLOCK_CLOSE.len()));
        Some(Extent { start, text, end })
    }
}

/// Returns the byte of the quote that ends a text.
fn end_of_text(json: &str) -> usize {
    let mut is_escaped = false;
    let ends = |byte: u8| match byte {
        _ if is_escaped => {
            is_escaped = false;
            false
        }
        b'\\' => {
            is_escaped = true;
            false
        }
        byte => byte == b'"',
    };
    json.bytes().position(ends).unwrap_or(json.len())
}

/// Collects the parts of an answer.
struct Slicer<'a> {
    json: &'a str,
    left: usize,
    parts: Vec<Delta>,
    /// Adjacent blocks that are not in `parts` yet.
    blocks: Option<(usize, usize)>,
}

impl Slicer<'_> {
    const fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.blocks.is_none()
    }

    /// Takes the rest of a text block whose beginning the reader has, which can be a block without text. Returns the offset behind what fits, which `None` says is
    /// nothing; the outer `None` says that `from` is no boundary.
    fn rest_of_text(&mut self, from: usize, (start, end): (usize, usize)) -> Option<Option<usize>> {
        if from > start && boundary(&self.json[start..end], from - start) != from - start {
            return None;
        }
        let text = canonical(&self.json[from..end])?;
        if text.is_empty() {
            return Some(Some(end));
        }
        Some(self.text(from, end).map(|(text, next)| {
            self.flush();
            self.parts.push(Delta::Text(text));
            next
        }))
    }

    /// Takes a block that the reader does not have. Returns the offset behind what fits, if anything does.
    fn block(&mut self, extent: Extent, is_after_text: bool) -> Option<usize> {
        let whole = (extent.start, extent.end);
        let Some((start, end)) = extent.text.filter(|(start, end)| {
            // Other spellings of a text, such as `\u0041`, are kept.
            start < end && canonical(&self.json[*start..*end]).is_some()
        }) else {
            return self.whole(whole).then(|| extent.text.map_or(extent.end, |(_, end)| end));
        };
        // Text would continue the text block before it.
        if is_after_text && self.whole_fits(whole) {
            self.whole(whole);
            return Some(end);
        }
        if is_after_text {
            self.left = self.left.saturating_sub(TEXT_BLOCK_OPEN.len() + TEXT_BLOCK_CLOSE.len());
        }
        let (text, next) = self.text(start, end)?;
        self.flush();
        self.parts.push(if is_after_text { Delta::Blocks(Content::text(&text)) } else { Delta::Text(text) });
        Some(next)
    }

    const fn whole_fits(&self, (start, end): (usize, usize)) -> bool {
        end - start <= self.left
    }

    fn whole(&mut self, (start, end): (usize, usize)) -> bool {
        if !self.is_empty() && !self.whole_fits((start, end)) {
            return false;
        }
        self.left = self.left.saturating_sub(end - start);
        self.blocks = Some((self.blocks.map_or(start, |(start, _)| start), end));
        true
    }

    /// Takes as many characters as fit, and at least one for an empty answer.
    fn text(&mut self, start: usize, end: usize) -> Option<(String, usize)> {
        let json = &self.json[start..end];
        let mut taken = if json.len() <= self.left { json.len() } else { boundary(json, self.left) };
        if taken == 0 && self.is_empty() {
            taken = first_character(json);
        }
        self.left = self.left.saturating_sub(taken);
        let text = canonical(&json[..taken]).filter(|text| !text.is_empty())?;
        Some((text, start + taken))
    }

    fn flush(&mut self) {
        if let Some((start, end)) = self.blocks.take() {
            let json = format!("[{}]", &self.json[start..end]);
            self.parts.push(Delta::Blocks(Content::from_json(json).expect("blocks of an array")));
        }
    }

    fn finish(mut self, next: u64, has_more: bool) -> ContentSlice {
        self.flush();
        ContentSlice { parts: self.parts, next, has_more }
    }
}

/// Returns the text of the inside of a JSON string, if [`escape_into`] writes the text in the same way.
fn canonical(json: &str) -> Option<String> {
    let text: String = if json.contains('\\') {
        serde_json::from_str(&format!("\"{json}\"")).ok()?
    } else {
        json.to_owned()
    };
    let mut again = String::with_capacity(json.len());
    escape_into(&mut again, &text);
    (again == json).then_some(text)
}

/// The bytes of the first character of the inside of a JSON string.
fn first_character(json: &str) -> usize {
    match json.as_bytes() {
        [b'\\', b'u', ..] => "\\u0000".len().min(json.len()),
        [b'\\', ..] => "\\n".len().min(json.len()),
        _ => json.chars().next().map_or(0, char::len_utf8),
    }
}

/// Returns the last boundary of characters up to `most` in the inside of a JSON string.
fn boundary(json: &str, most: usize) -> usize {
    let most = json.floor_char_boundary(most.min(json.len()));
    let mut at = 0;
    while let Some(escape) = json[at..most].find('\\') {
        let next = at + escape + first_character(&json[at + escape..]);
        if next > most {
            return at + escape;
        }
        at = next;
    }
    most
}

impl fmt::Debug for ContentFragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentFragment({} bytes from {})", self.json.len(), self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contents whose every cut is read: text, blocks, both, other spellings, empty text and whitespace.
    const CONTENTS: [&str; 12] = [
        "[]",
        "[ ]",
        r#"[{"type":"text","text":"a\"b\\c\né✓\u0000𝄞"}]"#,
        r#"[{"type":"text","text":""}]"#,
        r#"[ {"n":1.10}, "\ud800" , 7 ]"#,
        r#"[{"type":"text","text":"one"},{"type":"text","text":"two"}]"#,
        r#"[{"type":"text","text":"one"}, {"type":"image"},{"type":"text","text":"two"}]"#,
        r#"[{"type":"text","text":"\u0041\ud800"},{"type":"text","text":""}, {"type":"text","text":"é"}]"#,
        r#"["a","b,c",[1,[2]],{"x":"}"},null,true,-1.5e3]"#,
        r#"[{"type":"text","text":"x","y":1},{"type":"text","text":"z"}]"#,
        r#"[{"type": "text","text":"x"},{"type":"text","text":"\\"}]"#,
        r#"[{"type":"text","text":"\/"}]"#,
    ];

    fn blocks(content: &Content) -> Vec<String> {
        content.blocks().iter().map(|block| block.get().to_owned()).collect()
    }

    /// Reads from the start to the end with this limit.
    fn assemble(fragment: &ContentFragment, limit: u32) -> Content {
        let mut buffer = ContentBuffer::new(&Content::empty());
        let mut at = 0;
        loop {
            let slice = fragment.read(at, limit).unwrap();
            assert!(slice.next > at || !slice.has_more, "an answer makes progress");
            slice.parts.iter().for_each(|part| {
                assert!(!part.is_empty());
                buffer.push(part);
            });
            at = slice.next;
            if !slice.has_more {
                assert_eq!(at, fragment.end());
                return buffer.content();
            }
        }
    }

    #[test]
    fn slices_of_any_limit_are_the_content() {
        for json in CONTENTS {
            let content = Content::from_json(json).unwrap();
            let fragment = ContentFragment::whole(&content);
            for limit in (1..=json.len() as u32 + 1).chain([u32::MAX]) {
                assert_eq!(blocks(&assemble(&fragment, limit)), blocks(&content), "{json} by {limit}");
            }
        }
    }

    #[test]
    fn an_offset_is_taken_or_refused_and_continues_the_content() {
        for json in CONTENTS {
            let content = Content::from_json(json).unwrap();
            let fragment = ContentFragment::whole(&content);
            let mut buffer = ContentBuffer::new(&Content::empty());
            let mut at = 0;
            while fragment.read(at, 1).unwrap().has_more || at < fragment.end() {
                let slice = fragment.read(at, 1).unwrap();
                let mut whole = buffer.clone();
                fragment.read(at, u32::MAX).unwrap().parts.iter().for_each(|part| whole.push(part));
                assert_eq!(blocks(&whole.content()), blocks(&content), "{json} from {at}");
                slice.parts.iter().for_each(|part| buffer.push(part));
                at = slice.next;
            }
            assert_eq!(fragment.read(fragment.end() + 1, 9), None, "{json}");
        }
        let fragment =
            ContentFragment::whole(&Content::from_json(r#"[{"type":"text","text":"é\n"},{"x":1}]"#).unwrap());
        let text = TEXT_BLOCK_OPEN.len() as u64;
        let refused: Vec<u64> = (0..=fragment.end()).filter(|at| fragment.read(*at, 9).is_none()).collect();
        let taken: Vec<u64> = (0..=fragment.end()).filter(|at| !refused.contains(at)).collect();
        assert_eq!(taken, [0, text, text + 2, text + 4, fragment.end()]);
    }

    #[test]
    fn a_fragment_from_any_write_on_continues_the_content() {
        let text = |text: &str| Delta::text(text);
        let blocks_of = |json: &str| Delta::Blocks(Content::from_json(json).unwrap());
        let writes = [
            text("a"),
            text("\n\""),
            blocks_of(r#"[1, {"type":"text","text":"x"}]"#),
            text("é"),
            blocks_of("[ ]"),
            blocks_of("[2 ]"),
            text("z"),
            blocks_of(r#"[{"type":"text","text":"\u0041"}]"#),
            text("end"),
            blocks_of(r#"[{"type":"text","text":""}]"#),
            text("later"),
        ];
        let mut whole = ContentBuffer::new(&Content::empty());
        let mut ends = vec![(0, false)];
        for write in &writes {
            whole.push(write);
            ends.push(whole.end());
        }
        for (skipped, end) in ends.iter().enumerate() {
            let mut fragment = ContentFragment::after(end.0, end.1);
            writes[skipped..].iter().for_each(|write| fragment.push(write));
            assert_eq!(fragment.end(), whole.end().0);
            let same = whole.fragment(*end);
            assert_eq!(fragment.json[..fragment.end], same.json[..same.end]);
            let mut content = ContentBuffer::new(&Content::empty());
            writes[..skipped].iter().for_each(|write| content.push(write));
            fragment.read(end.0, u32::MAX).unwrap().parts.iter().for_each(|part| content.push(part));
            assert_eq!(blocks(&content.content()), blocks(&whole.content()), "after {skipped} writes");
        }
    }

    #[test]
    fn an_answer_ends_at_its_limit() {
        let content = r#"[{"type":"text","text":"aé\nb"},{"x":"0123456789"},3,{"type":"text","text":"cd"}]"#;
        let fragment = ContentFragment::whole(&Content::from_json(content).unwrap());
        let read = |from, limit| {
            let slice = fragment.read(from, limit).unwrap();
            let parts = slice.parts.iter().map(|part| match part {
                Delta::Text(text) => text.clone(),
                Delta::Blocks(blocks) => blocks.as_json().to_owned(),
            });
            (parts.collect::<Vec<_>>().join("|"), slice.next, slice.has_more)
        };
        let text = TEXT_BLOCK_OPEN.len() as u64;
        assert_eq!(read(0, 2), ("a".to_owned(), text + 1, true));
        assert_eq!(read(0, 4), ("aé".to_owned(), text + 3, true));
        assert_eq!(read(text + 1, 1), ("é".to_owned(), text + 3, true));
        assert_eq!(read(text + 3, 3), ("\nb".to_owned(), text + 6, true));
        let (parts, next, _) = read(text + 6, 19);
        assert_eq!(parts, r#"[{"x":"0123456789"},3]"#);
        assert_eq!(read(next, 1), ("c".to_owned(), next + 1 + text + 1, true));
        assert_eq!(read(next + 1 + text + 1, 1), ("d".to_owned(), fragment.end(), false));
        assert_eq!(read(text + 6, 3).0, r#"[{"x":"0123456789"}]"#);
    }
}
