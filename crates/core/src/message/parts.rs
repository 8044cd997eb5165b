use std::collections::VecDeque;

use super::{
    Content, Delta,
    content::{TEXT_BLOCK_CLOSE, TEXT_BLOCK_OPEN, escape_into, escaped_len},
    delta::is_plain_text,
};

/// The parts of one answer to a tail read, which a reader takes in several steps.
///
/// [`taken`](Self::taken) counts the bytes of JSON that are taken: text with its escapes, the beginning of a text block, and
/// whole blocks of other kinds. Separators and the ends of text blocks do not count. So another answer from the same cursor has the
/// same counts, although appends and the end of the message divide its parts otherwise.
#[derive(Debug, Clone)]
pub(crate) struct ContentParts {
    parts: VecDeque<Delta>,
    /// The bytes of the first part that are taken, if it is text.
    at: usize,
    taken: u64,
    /// Whether the last taken part was a block that text does not continue.
    is_after_block: bool,
}

/// The blocks that become parts of their own at once, or a sixteenth of them: each step costs the bytes of all.
const DIVIDED: usize = 4096;

impl ContentParts {
    pub(crate) fn new(parts: Vec<Delta>) -> Self {
        let parts = parts.into_iter().filter(|part| !part.is_empty()).collect();
        Self { parts, at: 0, taken: 0, is_after_block: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The bytes that are taken.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes up to `limit` bytes, but at least one character or one block if there is one. Costs the bytes that it takes, and the
    /// bytes of a part of blocks for each step in which it is divided.
    pub(crate) fn take(&mut self, limit: u32) -> Vec<Delta> {
        let end = self.taken + u64::from(limit);
        let mut joined = Joined::default();
        while let Some(part) = self.part(end.saturating_sub(self.taken), joined.is_empty()) {
            joined.push(part);
        }
        joined.finish()
    }

    /// Skips the first `bytes` bytes of the answer. `false` if they end within a character or a block, or behind the end.
    pub(crate) fn skip(&mut self, bytes: u64) -> bool {
        while self.taken < bytes {
            if self.part(bytes - self.taken, false).is_none() {
                return false;
            }
        }
        self.taken == bytes
    }

    /// The bytes in memory of the parts, including text that is taken of the first one.
    pub(crate) fn held(&self) -> usize {
        self.parts.iter().map(|part| size_of::<Delta>() + part.byte_len()).sum()
    }

    /// Drops what is behind the next `bytes` bytes, but keeps at least one character or one block. Returns whether something was
    /// dropped. It is behind [`taken`](Self::taken), once the rest is taken.
    pub(crate) fn cut(&mut self, bytes: u32) -> bool {
        let Self { taken, is_after_block, .. } = *self;
        let kept = self.take(bytes);
        let is_cut = !self.is_empty();
        *self = Self { taken, is_after_block, ..Self::new(kept) };
        is_cut
    }

    /// Takes text or one block of up to `left` bytes. `must` takes one character or one block if none is short enough.
    fn part(&mut self, left: u64, must: bool) -> Option<Delta> {
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        self.divide_blocks();
        match self.parts.front()? {
            Delta::Text(text) => {
                let open = if self.is_after_block { TEXT_BLOCK_OPEN.len() } else { 0 };
                let rest = &text[self.at..];
                let most = fitting(rest, left.saturating_sub(open), must);
                if most == 0 {
                    return None;
                }
                let part = rest[..most].to_owned();
                if most == rest.len() {
                    self.parts.pop_front();
                    self.at = 0;
                } else {
                    self.at += most;
                }
                self.count(open + escaped_len(&part), false);
                Some(Delta::Text(part))
            }
            Delta::Blocks(blocks) => {
                let block = between_brackets(blocks);
                let is_text = is_plain_text(block);
                let bytes = if is_text { block.len() - TEXT_BLOCK_CLOSE.len() } else { block.len() };
                if bytes <= left {
                    self.count(bytes, !is_text);
                    return self.parts.pop_front();
                }
                let Some(text) = divisible(block) else {
                    return must.then(|| self.count(bytes, !is_text)).and_then(|()| self.parts.pop_front());
                };
                let most = fitting(&text, left.saturating_sub(TEXT_BLOCK_OPEN.len()), must);
                if most == 0 {
                    return None;
                }
                let part = Delta::Blocks(Content::text(&text[..most]));
                self.count(TEXT_BLOCK_OPEN.len() + escaped_len(&text[..most]), false);
                self.parts.pop_front();
                if most < text.len() {
                    self.parts.push_front(Delta::Text(text));
                    self.at = most;
                }
                Some(part)
            }
        }
    }

    const fn count(&mut self, bytes: usize, is_after_block: bool) {
        self.taken += bytes as u64;
        self.is_after_block = is_after_block;
    }

    /// Divides the first part if it has several blocks, so that the first of them are parts. The others stay together: a part of its
    /// own costs more memory than a short block.
    fn divide_blocks(&mut self) {
        while let Some(Delta::Blocks(blocks)) = self.parts.front() {
            let each = blocks.blocks();
            if let [only] = each[..]
                && only.get().len() == between_brackets(blocks).len()
            {
                return;
            }
            let (first, others) = each.split_at(each.len().min(DIVIDED.max(each.len() / 16)));
            let first: Vec<Delta> = first.iter().map(|block| array(block.get())).collect();
            let others: Vec<&str> = others.iter().map(|block| block.get()).collect();
            let others = (!others.is_empty()).then(|| array(&others.join(",")));
            self.parts.pop_front();
            first.into_iter().chain(others).rev().for_each(|part| self.parts.push_front(part));
        }
    }
}

fn array(blocks: &str) -> Delta {
    Delta::Blocks(Content::from_json(format!("[{blocks}]")).expect("blocks of an array"))
}

fn between_brackets(content: &Content) -> &str {
    let json = content.as_json();
    &json[1..json.len() - 1]
}

/// Returns the text of a plain text block, if an append would write it in the same way.
fn divisible(block: &str) -> Option<String> {
    let inside = block.strip_prefix(TEXT_BLOCK_OPEN)?.strip_suffix(TEXT_BLOCK_CLOSE)?;
    let text: String = serde_json::from_str(&format!("\"{inside}\"")).ok()?;
    let mut again = String::with_capacity(inside.len());
    escape_into(&mut again, &text);
    (again == inside && !text.is_empty()).then_some(text)
}

/// Returns the end of the most characters whose JSON has up to `left` bytes; of one character if none has and `must` is set.
fn fitting(text: &str, left: usize, must: bool) -> usize {
    let (mut end, mut bytes) = (0, 0);
    for character in text.chars() {
        let next = end + character.len_utf8();
        bytes += escaped_len(&text[end..next]);
        if bytes > left {
            return if must && end == 0 { next } else { end };
        }
        end = next;
    }
    end
}

/// Joins adjacent parts of the same kind.
#[derive(Default)]
struct Joined {
    parts: Vec<Delta>,
    /// Adjacent blocks that are not in `parts` yet.
    blocks: String,
}

impl Joined {
    const fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.blocks.is_empty()
    }

    fn push(&mut self, part: Delta) {
        match part {
            Delta::Blocks(block) => {
                if !self.blocks.is_empty() {
                    self.blocks.push(',');
                }
                self.blocks.push_str(between_brackets(&block));
            }
            Delta::Text(more) => {
                self.flush();
                match self.parts.last_mut() {
                    Some(Delta::Text(text)) => text.push_str(&more),
                    _ => self.parts.push(Delta::Text(more)),
                }
            }
        }
    }

    fn flush(&mut self) {
        if !self.blocks.is_empty() {
            self.parts.push(array(&std::mem::take(&mut self.blocks)));
        }
    }

    fn finish(mut self) -> Vec<Delta> {
        self.flush();
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ContentBuffer, ContentFragment};

    const WRITES: [&str; 11] = [
        "a text\n\"é✓𝄞",
        r#"[1, {"type":"text","text":"x\\y"} ,{"type":"text","text":"z"}]"#,
        "é\u{1}",
        r#"[{"type":"image","source":"0123456789"}]"#,
        "after a block",
        r#"[{"type":"text","text":""}]"#,
        "later",
        r#"[{"type":"text","text":"\u0041\ud800"}, "\ud800" , [1,[2]]]"#,
        r#"["a]b,c"]"#,
        r#"[{"type":"text","text":"one"},{"type":"text","text":"two"}]"#,
        "end",
    ];

    fn writes() -> Vec<Delta> {
        let delta = |write: &&str| match write.strip_prefix('[') {
            Some(_) => Delta::Blocks(Content::from_json(*write).unwrap()),
            None => Delta::text(*write),
        };
        WRITES.iter().map(delta).collect()
    }

    fn blocks(content: &Content) -> Vec<String> {
        content.blocks().iter().map(|block| block.get().to_owned()).collect()
    }

    fn push_all(buffer: &mut ContentBuffer, parts: &[Delta]) {
        parts.iter().for_each(|part| buffer.push(part));
    }

    #[test]
    fn parts_of_any_limit_are_the_content_and_any_other_answer_continues_them() {
        for skipped in 0..WRITES.len() {
            let mut before = ContentBuffer::new(&Content::empty());
            push_all(&mut before, &writes()[..skipped]);
            let mut whole = before.clone();
            push_all(&mut whole, &writes()[skipped..]);
            let expected = blocks(&whole.content());
            // The answer of a store that has one row, and the answer by writes, as behind encryption.
            let (from, _) = before.end();
            let merged = ContentFragment::whole(&whole.content()).read(from, u32::MAX).unwrap().parts;
            for answer in [merged, writes()[skipped..].to_vec()] {
                for limit in (1..64).chain([u32::MAX]) {
                    let (mut parts, mut buffer) = (ContentParts::new(answer.clone()), before.clone());
                    while !parts.is_empty() {
                        let (start, taken) = (parts.taken(), parts.take(limit));
                        assert!(parts.taken() > start, "each call makes progress");
                        push_all(&mut buffer, &taken);
                        let mut resumed = ContentParts::new(answer.clone());
                        assert!(resumed.skip(parts.taken()));
                        let mut rest = buffer.clone();
                        push_all(&mut rest, &resumed.take(u32::MAX));
                        assert_eq!(blocks(&rest.content()), expected, "from {skipped} by {limit}");
                    }
                    assert_eq!(blocks(&buffer.content()), expected, "from {skipped} by {limit}");
                }
            }
        }
    }

    #[test]
    fn the_rest_of_a_cut_answer_continues_where_it_was_cut() {
        for skipped in [0, 7, 30] {
            for limit in (1..64).chain([u32::MAX]) {
                let mut whole = ContentParts::new(writes());
                if !whole.skip(skipped) {
                    continue;
                }
                let mut shown = ContentBuffer::new(&Content::empty());
                let mut taken = skipped;
                loop {
                    let mut parts = ContentParts::new(writes());
                    assert!(parts.skip(taken));
                    let is_cut = parts.cut(limit);
                    assert_eq!(parts.taken(), taken, "nothing is taken by the cut");
                    while !parts.is_empty() {
                        push_all(&mut shown, &parts.take(3));
                    }
                    taken = parts.taken();
                    if !is_cut {
                        break;
                    }
                }
                let mut expected = ContentBuffer::new(&Content::empty());
                push_all(&mut expected, &whole.take(u32::MAX));
                assert_eq!(blocks(&shown.content()), blocks(&expected.content()), "by {limit}");
                assert_eq!(taken, whole.taken());
            }
        }
    }

    #[test]
    fn many_short_blocks_are_not_all_divided_at_once() {
        let many = vec!["1"; 10 * DIVIDED].join(",");
        let mut parts = ContentParts::new(vec![array(&many)]);
        let first = parts.take(1);
        assert_eq!(first, [array("1")]);
        assert!(parts.held() < DIVIDED * 64 + many.len(), "{} bytes", parts.held());
        let rest = parts.take(u32::MAX);
        assert_eq!(rest, [array(&many[2..])]);
        assert_eq!(parts.taken(), 10 * DIVIDED as u64);
    }

    #[test]
    fn a_cut_joins_small_parts_and_forgets_what_is_taken() {
        let letters = || vec![Delta::text("x"); 1000];
        let mut parts = ContentParts::new(letters());
        assert_eq!(parts.held(), 1000 * (size_of::<Delta>() + 1));
        assert!(!parts.cut(1000));
        assert_eq!(parts.held(), size_of::<Delta>() + 1000);
        assert!(parts.skip(400));
        assert_eq!(parts.held(), size_of::<Delta>() + 1000);
        assert!(parts.cut(100));
        assert_eq!((parts.held(), parts.taken()), (size_of::<Delta>() + 100, 400));
    }

    #[test]
    fn the_counts_do_not_depend_on_how_an_answer_is_divided() {
        let block = r#"{"type":"image"}"#;
        let image = || array(block);
        let divided = |second: Vec<Delta>| {
            let mut parts = ContentParts::new([vec![Delta::text("a\n"), image()], second].concat());
            parts.take(u32::MAX);
            parts.taken()
        };
        let bytes = ("a\\n".len() + block.len() + TEXT_BLOCK_OPEN.len() + "text".len()) as u64;
        assert_eq!(divided(vec![Delta::text("text")]), bytes);
        assert_eq!(divided(vec![Delta::text("te"), Delta::text("xt")]), bytes);
        assert_eq!(divided(vec![Delta::Blocks(Content::text("text"))]), bytes);
        assert_eq!(divided(vec![Delta::Blocks(Content::text("te")), Delta::text("xt")]), bytes);
    }

    #[test]
    fn a_call_ends_at_its_limit_and_between_characters() {
        let mut parts = ContentParts::new(vec![Delta::text("aé\nb"), array(r#"{"x":"0123456789"},3"#)]);
        assert_eq!(parts.take(2), [Delta::text("a")]);
        assert_eq!(parts.take(1), [Delta::text("é")]);
        assert_eq!(parts.take(3), [Delta::text("\nb")]);
        assert_eq!(parts.take(5), [array(r#"{"x":"0123456789"}"#)]);
        assert_eq!((parts.take(5), parts.is_empty()), (vec![array("3")], true));
        for (bytes, fits) in [(0, true), (1, true), (2, false), (3, true), (7, false), (24, true), (25, true)]
        {
            let answer = vec![Delta::text("aé\nb"), array(r#"{"x":"0123456789"},3"#)];
            assert_eq!(ContentParts::new(answer).skip(bytes), fits, "{bytes}");
        }
        assert!(!ContentParts::new(vec![Delta::text("a")]).skip(2), "behind the end");
        assert!(ContentParts::new(vec![Delta::text(""), Delta::Blocks(Content::empty())]).is_empty());
    }
}
