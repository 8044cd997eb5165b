//! What a text is divided into: the tokens that are compared, and the terms that a full-text index holds.

use std::{fmt, ops::Range};

use serde::{Deserialize, Serialize};

/// The longest term of an index, in bytes. A longer word is indexed by its beginning; the text itself tells such words apart.
pub const MAX_TERM_BYTES: usize = 200;

/// How many times a term counts at most where messages are ranked.
pub const MAX_COUNT: u32 = 4;

/// How a text is divided into the words that a search finds. A store chooses it when it is opened.
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
    /// A word is a run of letters and digits. Languages that write without blanks are found by a whole run only.
    #[default]
    Words,
    /// The same, but Chinese, Japanese and Korean characters end a word, and a query finds them anywhere inside a run of them. The
    /// index holds each pair of neighboring characters, which takes more space for such text and the same for any other.
    Cjk,
}

impl Tokenizer {
    /// The name that a store records: `words` or `cjk`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Cjk => "cjk",
        }
    }

    /// The tokenizer that a store recorded by this [name](Self::as_str). None of a name that a newer version has written.
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

/// A run of a text that belongs together.
pub(super) struct Token {
    pub(super) range: Range<usize>,
    /// Whether its characters are found inside the run.
    pub(super) is_cjk: bool,
}

/// The runs of letters and digits; with [`Tokenizer::Cjk`] they are split where one kind of writing meets the other.
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

/// A word as it is compared.
pub(super) fn fold(word: &str) -> String {
    word.to_lowercase()
}

/// The beginning of a word that an index holds.
pub(super) fn cut(word: &str) -> &str {
    &word[..word.floor_char_boundary(MAX_TERM_BYTES)]
}

/// The pairs of neighboring characters of a run, and its last character alone: so that a query for one character finds each of them
/// by what the pairs begin with.
pub(super) fn pairs(run: &str) -> impl Iterator<Item = Range<usize>> {
    let next = |at: usize| run[at..].chars().next().map_or(at, |c| at + c.len_utf8());
    run.char_indices().map(move |(at, _)| at..next(next(at)))
}

/// The terms of a text: what a full-text index holds of a message.
///
/// ```
/// use throughline_core::backend::search::{Terms, Tokenizer};
///
/// let terms = Terms::of("The train, the TRAIN", Tokenizer::Words);
/// assert_eq!(terms.iter().collect::<Vec<_>>(), [("the", 2), ("train", 2)]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Terms {
    folded: String,
    /// Sorted by what they say, each once.
    terms: Vec<(Range<usize>, u32)>,
}

impl Terms {
    /// The distinct terms of `text`.
    #[must_use]
    pub fn of(text: &str, tokenizer: Tokenizer) -> Self {
        let mut folded = String::with_capacity(text.len());
        let mut found: Vec<Range<usize>> = Vec::new();
        for Token { range, is_cjk } in tokens(text, tokenizer) {
            let (begin, token) = (folded.len(), &text[range]);
            if is_cjk {
                folded.push_str(token);
                found.extend(pairs(token).map(|pair| begin + pair.start..begin + pair.end));
                continue;
            }
            if token.is_ascii() {
                folded.push_str(token);
                folded[begin..].make_ascii_lowercase();
            } else {
                folded.push_str(&fold(token));
            }
            folded.truncate(begin + cut(&folded[begin..]).len());
            found.push(begin..folded.len());
        }
        found.sort_unstable_by(|a, b| folded[a.clone()].cmp(&folded[b.clone()]));
        let mut terms: Vec<(Range<usize>, u32)> = Vec::new();
        for range in found {
            match terms.last_mut() {
                Some((last, count)) if folded[last.clone()] == folded[range.clone()] => *count += 1,
                _ => terms.push((range, 1)),
            }
        }
        Self { folded, terms }
    }

    /// Each term, in the order of their bytes, and how often it occurs: [`MAX_COUNT`] times at most.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.terms.iter().map(|(range, count)| (&self.folded[range.clone()], (*count).min(MAX_COUNT)))
    }

    /// How many distinct terms there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// Whether there is none.
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
    fn terms_are_distinct_and_counted_four_times_at_most() {
        assert_eq!(terms("b A b, a; C", Tokenizer::Words), ["a2", "b2", "c1"]);
        assert_eq!(terms(&"x ".repeat(9), Tokenizer::Words), ["x4"]);
        assert_eq!(terms(" --", Tokenizer::Words), [""; 0]);
    }

    #[test]
    fn a_long_word_is_cut_between_characters() {
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
