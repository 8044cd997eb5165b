//! Finds encoded text: Base64, hexadecimal, percent escapes and JSON escapes.
//!
//! A separate automaton finds runs that encode ASCII text. Each run has a bounded length; it is decoded, and the rules
//! search the decoded text. So the work is linear, and of a text that continues only an unfinished run is buffered.

use super::{automaton::Automaton, rule::Class};

/// An encoding of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Base64,
    Hex,
    Percent,
    Escapes,
}

/// In the order of the patterns.
pub(super) const ENCODINGS: [Encoding; 4] =
    [Encoding::Base64, Encoding::Hex, Encoding::Percent, Encoding::Escapes];

/// Groups of four characters that encode three ASCII characters, at least five groups: random characters match at less
/// than one position in 60 000. Line breaks may separate the groups.
const BASE64: &str = r"(?:[A-Za-f][C-HS-Xi-nyz0-3AQgw][ABEFIJMNQRUVYZcdghklopstwx014589][A-Za-z0-9+/_-](?:\r?\n|\\n)?){5,150}(?:[A-Za-z0-9+/_-]{2,3}={0,2})?";
const HEX: &str = r"(?:[2-7][0-9A-Fa-f]|0[9AaDd]){12,400}";
const PERCENT: &str = r"%[0-7][0-9A-Fa-f](?:[A-Za-z0-9_.~+*-]|%[0-9A-Fa-f]{2}){6,300}";
const ESCAPES: &str =
    r"\\(?:u00|x)[0-7][0-9A-Fa-f](?:[A-Za-z0-9_.~+*/=:, -]|\\(?:u00|x)[0-9A-Fa-f]{2}){6,150}";

/// The longest run.
pub(super) const LONGEST: usize = 1024;
/// The most levels of runs inside of runs.
pub(super) const MOST_DEEP: usize = 2;
/// The overlap of a full run with the next one, at most half a run: nearly every secret is recognized within this many
/// bytes.
const OVERLAP: usize = 192;
/// The most bytes of a word before a run with escapes.
const BEFORE: usize = 48;

pub(super) struct Encoded(pub(super) Automaton);

/// A run of encoded text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) encoding: Encoding,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The decoded text of a run.
pub(super) struct Decoded {
    pub(super) bytes: Vec<u8>,
    /// The offset of each decoded byte in the original text.
    offsets: Vec<usize>,
    /// The number of bytes before the run.
    pub(super) before: usize,
}

impl Encoded {
    pub(super) fn new() -> Option<Self> {
        Automaton::new(&[BASE64, HEX, PERCENT, ESCAPES]).map(Self)
    }

    /// Returns the first run in `text[from..]`, as if the text ended there.
    pub(super) fn find(&self, text: &[u8], from: usize) -> Option<Run> {
        let found = self.0.find(text, from)?;
        Some(Run { encoding: ENCODINGS[found.pattern], start: found.start, end: found.end })
    }

    /// Returns the first position at or after `from` where more text could create or extend a run.
    pub(super) fn grows_from(&self, text: &[u8], from: usize) -> Option<usize> {
        self.0.grows_from(text, from.max(text.len().saturating_sub(LONGEST)))
    }
}

impl Encoding {
    /// Returns the class of the characters that continue a secret which begins in a run.
    pub(super) fn rest(self) -> Class {
        Class::of(match self {
            Self::Base64 => "A-Za-z0-9+/_=-",
            Self::Hex => "0-9A-Fa-f",
            Self::Percent => "A-Za-z0-9_.~+*%-",
            Self::Escapes => "A-Za-z0-9_.~+*/=\\-",
        })
    }

    /// Returns its name in the list of rules.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Base64 => "encoded-base64",
            Self::Hex => "encoded-hex",
            Self::Percent => "encoded-percent",
            Self::Escapes => "encoded-escapes",
        }
    }
}

impl Run {
    /// Decodes the run. A run with escapes includes the word before it, which may not begin before `begins`.
    pub(super) fn decode(self, text: &[u8], begins: usize) -> Decoded {
        let mut decoded = Decoded { bytes: Vec::new(), offsets: Vec::new(), before: 0 };
        if matches!(self.encoding, Encoding::Percent | Encoding::Escapes) {
            let lowest = begins.max(self.start.saturating_sub(BEFORE));
            let is_word =
                |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'~' | b'+');
            let mut first = self.start;
            while first > lowest && is_word(text[first - 1]) {
                first -= 1;
            }
            (first..self.start).for_each(|at| decoded.push(text[at], at));
            decoded.before = self.start - first;
        }
        let run = &text[self.start..self.end];
        match self.encoding {
            Encoding::Base64 => base64(run, |byte, at| decoded.push(byte, self.start + at)),
            Encoding::Hex => {
                for (number, pair) in run.chunks_exact(2).enumerate() {
                    decoded.push(hex(pair).unwrap_or(0), self.start + number * 2);
                }
            }
            Encoding::Percent => escapes(run, &[b"%"], |byte, at| decoded.push(byte, self.start + at)),
            Encoding::Escapes => {
                escapes(run, &[b"\\u00", b"\\x"], |byte, at| decoded.push(byte, self.start + at));
            }
        }
        decoded
    }

    /// Returns the start of the next run after a run without a secret. After a full run, it is inside of that run.
    pub(super) fn next(self, decoded: &Decoded) -> usize {
        let full = match self.encoding {
            Encoding::Base64 => 150 * 3,
            Encoding::Hex => 400,
            Encoding::Percent => 301,
            Encoding::Escapes => 151,
        };
        let last = decoded.bytes.len();
        let read = last - decoded.before;
        if read < full {
            return self.end;
        }
        // Base64 continues at the start of a group.
        let mut again = last - OVERLAP.min(read / 2);
        while again < last && !again.is_multiple_of(3) && self.encoding == Encoding::Base64 {
            again += 1;
        }
        decoded.offset_of(again, self.end)
    }
}

impl Decoded {
    fn push(&mut self, byte: u8, at: usize) {
        self.bytes.push(byte);
        self.offsets.push(at);
    }

    /// Returns the offset of a byte in the original text; `end` after the last byte.
    pub(super) fn offset_of(&self, at: usize, end: usize) -> usize {
        self.offsets.get(at).copied().unwrap_or(end)
    }
}

/// The characters of Base64 and hexadecimal, with line breaks.
static UNBROKEN: [bool; 256] = {
    let mut unbroken = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let character = byte as u8;
        unbroken[byte] = character.is_ascii_alphanumeric()
            || matches!(character, b'+' | b'/' | b'_' | b'-' | b'\r' | b'\n');
        byte += 1;
    }
    unbroken
};

/// The fewest characters of Base64 or hexadecimal in a run.
const FEWEST: usize = 20;

/// Returns false only for a text without a run. Most text has no escapes, and spaces between short words: few of its bytes
/// have to be looked up.
pub(super) fn may_hold_run(text: &[u8]) -> bool {
    if memchr::memchr2(b'%', b'\\', text).is_some() {
        return true;
    }
    let mut start = 0;
    while let Some(window) = text.get(start..start + FEWEST) {
        match window.iter().rposition(|byte| !UNBROKEN[usize::from(*byte)]) {
            Some(last) => start += last + 1,
            None => return true,
        }
    }
    false
}

fn hex(pair: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    }
}

fn escapes(run: &[u8], starts: &[&[u8]], mut put: impl FnMut(u8, usize)) {
    let mut at = 0;
    while at < run.len() {
        let escaped = starts.iter().find_map(|start| {
            let digits = run[at..].strip_prefix(*start)?.get(..2)?;
            Some((start.len() + 2, hex(digits)?))
        });
        let (length, byte) = escaped.unwrap_or((1, run[at]));
        put(byte, at);
        at += length;
    }
}

/// Each decoded byte has the offset of the character with its first bits, so that a cut there removes the whole byte.
fn base64(run: &[u8], mut put: impl FnMut(u8, usize)) {
    let (mut bits, mut held, mut first) = (0_u32, 0_u32, 0);
    let mut at = 0;
    while at < run.len() {
        let value = match run[at] {
            byte @ b'A'..=b'Z' => byte - b'A',
            byte @ b'a'..=b'z' => byte - b'a' + 26,
            byte @ b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            // An escaped line break.
            b'\\' => {
                at += 2;
                continue;
            }
            _ => {
                at += 1;
                continue;
            }
        };
        if held == 0 {
            first = at;
        }
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            put((bits >> held & 0xff) as u8, first);
            first = at;
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let encoded = Encoded::new().unwrap();
        let (mut at, mut said) = (0, Vec::new());
        while let Some(run) = encoded.find(text.as_bytes(), at) {
            let decoded = run.decode(text.as_bytes(), 0);
            said.push(String::from_utf8_lossy(&decoded.bytes).into_owned());
            at = run.next(&decoded);
        }
        said
    }

    #[test]
    fn runs_are_found_and_decoded() {
        assert_eq!(said("see cGFzc3dvcmQ9aHVudGVyMg== now"), ["password=hunter2"]);
        assert_eq!(said("x 70617373776f72643d68756e74657232 y"), ["password=hunter2"]);
        assert_eq!(said("q=password%3Dhunter2%26user"), ["password=hunter2&user"]);
        assert_eq!(said(r"{\u0022password\u0022: \u0022hunter2\u0022}"), ["\"password\": \"hunter2\""]);
        assert_eq!(said("an ordinary sentence with src/layers/redact/mod.rs"), Vec::<String>::new());
    }

    #[test]
    fn a_text_that_may_hold_no_run_holds_none() {
        let encoded = Encoded::new().unwrap();
        let mut random = fastrand::Rng::with_seed(11);
        let (mut with, mut without) = (0, 0);
        for round in 0..30_000 {
            // Groups of Base64 and pairs of hexadecimal, with few other characters between them.
            let parts =
                ["cGFz", "Zm9v", "74", "6b", "\n", "\r\n", "%41", "\\u0041", " ", ".", "\u{e9}", "abcdef"];
            let choices = if round % 2 == 0 { parts.len() } else { 6 };
            let text: String = (0..random.usize(..24)).map(|_| parts[random.usize(..choices)]).collect();
            let found = encoded.0.find(text.as_bytes(), 0).is_some();
            assert!(!found || may_hold_run(text.as_bytes()), "{text:?}");
            with += u32::from(found);
            without += u32::from(!may_hold_run(text.as_bytes()));
        }
        assert!(with > 1000 && without > 1000, "{with} {without}");
    }

    fn written(text: &str, encoding: Encoding) -> String {
        let base64 = |group: &[u8]| {
            const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let bits = group.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte));
            (0..4).map(|at| char::from(LETTERS[bits >> (18 - 6 * at) & 63])).collect::<String>()
        };
        match encoding {
            Encoding::Base64 => text.as_bytes().chunks_exact(3).map(base64).collect(),
            Encoding::Hex => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            Encoding::Percent => text.bytes().map(|byte| format!("%{byte:02X}")).collect(),
            Encoding::Escapes => text.bytes().map(|byte| format!("\\u00{byte:02x}")).collect(),
        }
    }

    #[test]
    fn a_long_run_is_read_in_overlapping_parts() {
        let token = format!("ghp_{}", "a1B2".repeat(9));
        for encoding in ENCODINGS {
            for before in 0..460 {
                let text =
                    format!("{}{token}{}", "0123456789 ".repeat(50).split_at(before).0, " x".repeat(300));
                let parts = said(&written(&text, encoding));
                assert!(parts.iter().any(|part| part.contains(&token)), "{encoding:?}: {before}: {parts:?}");
                let read: usize = parts.iter().map(String::len).sum();
                assert!(read <= 3 * text.len(), "{encoding:?}: {read} bytes are read of {}", text.len());
            }
        }
    }
}
