//! The tokenizer: it divides a text into tokens, which a query compares, and terms, which a full-text index stores.

use std::{fmt, ops::Range};

use serde::{Deserialize, Serialize};

/// The longest term of an index, in bytes. A longer word is indexed by its first bytes; the comparison with the text
/// distinguishes such words.
pub const MAX_TERM_BYTES: usize = 200;

/// The most occurrences of one term that count for the rank of a message.
pub const MAX_COUNT: u32 = 4;

/// The rule that divides a text into words. The host chooses it when it opens a store.
///
/// ```
/// use throughline_core::backend::search::{Query, Tokenizer};
///
/// let text = "明日は東京タワーへ行きます";
/// assert!(!Query::parse("東京", Tokenizer::Words)?.matches(text));
/// assert!(Query::parse("東京", Tokenizer::Cjk)?.matches(text));
/// # Ok::<(), throughline_core::PersistError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Tokenizer {
    /// A word is a run of letters and digits. In a language that is written without spaces, a query matches only a
    /// whole run.
    #[default]
    Words,
    /// Like [`Words`](Self::Words), but a Chinese, Japanese or Korean character ends a word, and a query matches
    /// anywhere inside of a run of them. The index stores each pair of neighboring characters, which takes more space
    /// for such text and the same space for other text.
    Cjk,
}

impl Tokenizer {
    /// Returns the name that a store records: `words` or `cjk`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Cjk => "cjk",
        }
    }

    /// Returns the tokenizer with this recorded [name](Self::as_str). `None` for a name that a newer version has
    /// written.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Words, Self::Cjk].into_iter().find(|one| one.as_str() == name)
    }
}

impl fmt::Display for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A run of characters of one kind.
pub(super) struct Token {
    pub(super) range: Range<usize>,
    /// Whether a query matches inside of the run.
    pub(super) is_cjk: bool,
}

/// Returns the runs of letters and digits. With [`Tokenizer::Cjk`], a change between CJK and other characters also
/// divides a run.
pub(super) fn tokens(text: &str, tokenizer: Tokenizer) -> impl Iterator<Item = Token> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let begin = rest + text[rest..].find(char::is_alphanumeric)?;
        let is_cjk =
            |c: char| c.is_alphanumeric().then(|| tokenizer == Tokenizer::Cjk && is_cjk_character(c));
        let kind = text[begin..].chars().next().and_then(is_cjk);
        let end = text[begin..].find(|c| is_cjk(c) != kind).map_or(text.len(), |at| begin + at);
        rest = end;
        Some(Token { range: begin..end, is_cjk: kind == Some(true) })
    })
}

/// Han, Kana, Bopomofo and Hangul.
const fn is_cjk_character(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{11ff}'     // Hangul Jamo
        | '\u{3005}'..='\u{3007}'   // iteration mark, closing mark, zero
        | '\u{3021}'..='\u{3029}' | '\u{3031}'..='\u{3035}' | '\u{3038}'..='\u{303c}'
        | '\u{3041}'..='\u{318f}'   // Hiragana, Katakana, Bopomofo, Hangul Compatibility Jamo
        | '\u{31a0}'..='\u{31bf}' | '\u{31f0}'..='\u{31ff}'
        | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{a960}'..='\u{a97f}' | '\u{ac00}'..='\u{d7ff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{ff66}'..='\u{ffdc}'   // halfwidth Katakana and Hangul
        | '\u{16fe0}'..='\u{16fff}' | '\u{1aff0}'..='\u{1b16f}'
        | '\u{20000}'..='\u{323af}')
}

/// Returns the lower-case form of a word, for comparisons.
pub(super) fn lower_case(word: &str) -> String {
    word.to_lowercase()
}

/// Returns the first [`MAX_TERM_BYTES`] bytes of a word, up to a character boundary.
pub(super) fn truncate(word: &str) -> &str {
    &word[..word.floor_char_boundary(MAX_TERM_BYTES)]
}

/// Returns the pairs of neighboring characters of a run, and its last character alone. So a query for one character
/// finds each occurrence by the first character of a pair.
pub(super) fn pairs(run: &str) -> impl Iterator<Item = Range<usize>> {
    let next = |at: usize| run[at..].chars().next().map_or(at, |c| at + c.len_utf8());
    run.char_indices().map(move |(at, _)| at..next(next(at)))
}

/// The terms of a text, as a full-text index stores them for a message.
///
/// ```
/// use throughline_core::backend::search::{Terms, Tokenizer};
///
/// let terms = Terms::of("The train, the TRAIN", Tokenizer::Words);
/// assert_eq!(terms.iter().collect::<Vec<_>>(), [("the", 2), ("train", 2)]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Terms {
    lowered: String,
    /// Sorted by their text, without duplicates.
    terms: Vec<(Range<usize>, u32)>,
}

impl Terms {
    /// Returns the distinct terms of `text`.
    #[must_use]
    pub fn of(text: &str, tokenizer: Tokenizer) -> Self {
        let mut lowered = String::with_capacity(text.len());
        let mut found: Vec<Range<usize>> = Vec::new();
        for Token { range, is_cjk } in tokens(text, tokenizer) {
            let (begin, token) = (lowered.len(), &text[range]);
            if is_cjk {
                lowered.push_str(token);
                found.extend(pairs(token).map(|pair| begin + pair.start..begin + pair.end));
                continue;
            }
            if token.is_ascii() {
                lowered.push_str(token);
                lowered[begin..].make_ascii_lowercase();
            } else {
                lowered.push_str(&lower_case(token));
            }
            lowered.truncate(begin + truncate(&lowered[begin..]).len());
            found.push(begin..lowered.len());
        }
        found.sort_unstable_by(|a, b| lowered[a.clone()].cmp(&lowered[b.clone()]));
        let mut terms: Vec<(Range<usize>, u32)> = Vec::new();
        for range in found {
            match terms.last_mut() {
                Some((last, count)) if lowered[last.clone()] == lowered[range.clone()] => *count += 1,
                _ => terms.push((range, 1)),
            }
        }
        Self { lowered, terms }
    }

    /// Returns each term in byte order, with the number of its occurrences: at most [`MAX_COUNT`].
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.terms.iter().map(|(range, count)| (&self.lowered[range.clone()], (*count).min(MAX_COUNT)))
    }

    /// Returns the number of distinct terms.
    #[must_use]
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether the text has no terms.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str, tokenizer: Tokenizer) -> Vec<String> {
        Terms::of(text, tokenizer).iter().map(|(term, count)| format!("{term}{count}")).collect()
    }

    #[test]
    fn terms_are_distinct_and_count_at_most_four_occurrences() {
        assert_eq!(terms("b A b, a; C", Tokenizer::Words), ["a2", "b2", "c1"]);
        assert_eq!(terms(&"x ".repeat(9), Tokenizer::Words), ["x4"]);
        assert_eq!(terms(" --", Tokenizer::Words), [""; 0]);
    }

    #[test]
    fn a_long_word_is_truncated_at_a_character_boundary() {
        let text = format!("a{}", "é".repeat(1000));
        let terms = Terms::of(&text, Tokenizer::Words);
        assert_eq!(terms.iter().map(|(term, _)| term.len()).collect::<Vec<_>>(), [199]);
    }

    #[test]
    fn cjk_characters_are_pairs_and_other_words_stay_whole() {
        assert_eq!(
            terms("東京タワーtower2", Tokenizer::Cjk),
            ["tower21", "ー1", "ワー1", "京タ1", "東京1", "タワ1"].map(str::to_owned).sorted()
        );
        assert_eq!(terms("한국어 abc", Tokenizer::Cjk), ["abc1", "국어1", "어1", "한국1"]);
        assert_eq!(terms("中", Tokenizer::Cjk), ["中1"]);
        assert_eq!(terms("東京tower", Tokenizer::Words), ["東京tower1"]);
    }

    trait Sorted {
        fn sorted(self) -> Vec<String>;
    }

    impl<const N: usize> Sorted for [String; N] {
        fn sorted(self) -> Vec<String> {
            let mut sorted = self.to_vec();
            sorted.sort_unstable();
            sorted
        }
    }

    #[test]
    fn a_tokenizer_is_recorded_by_its_name() {
        for one in [Tokenizer::Words, Tokenizer::Cjk] {
            assert_eq!(Tokenizer::from_name(&one.to_string()), Some(one));
        }
        assert_eq!(Tokenizer::from_name("trigram"), None);
    }
}
