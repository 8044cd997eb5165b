//! Full-text search: how every store divides a text into terms, reads a query, and ranks what it finds.
//!
//! ```
//! use throughline_core::backend::search::{Query, Tokenizer};
//!
//! let query = Query::parse("lisbon* train", Tokenizer::Words)?;
//! assert!(query.matches("Which train goes to LISBON?"));
//! let (snippet, marks) = query.snippet("Which train goes to Lisbon?");
//! assert_eq!(&snippet[marks[0].0 as usize..marks[0].1 as usize], "train");
//! # Ok::<(), throughline_core::PersistError>(())
//! ```
//!
//! A store keeps the [`Terms`] of each final message in an index, asks it for the [`required`](Query::required) terms of a query,
//! ranks what it finds by [`weight`](Query::weight), and compares the messages themselves with the query before it shows them.
//!
//! The work of one query has bounds, which every store with an index keeps: [`MAX_QUERY_BYTES`], [`MAX_WORDS`], [`MAX_TERMS`],
//! [`MAX_CANDIDATES`] and [`MAX_TEXT_BYTES`]. An answer that one of the last two cut short says so:
//! [`SearchHits::terminated_early`](crate::operation::SearchHits::terminated_early).

mod tokens;

use std::ops::Range;

pub use self::tokens::{MAX_COUNT, MAX_TERM_BYTES, Terms, Tokenizer};
use self::tokens::{Token, cut, fold, pairs, tokens};
use crate::{ErrorKind, PersistError, Result};

/// How many characters a snippet has at most, the dots at its ends not counted.
pub const SNIPPET_CHARS: usize = 160;

/// How many of them stand before the first word that was found.
const BEFORE: usize = 40;

/// How long a query is at most, in bytes. The pipeline refuses a longer one before a layer or a store sees it.
pub const MAX_QUERY_BYTES: usize = 4096;

/// The most distinct words of a query.
pub const MAX_WORDS: usize = 32;

/// For how many terms an index is asked at most. A query with more has long runs of Chinese, Japanese or Korean: the rest of them is
/// compared with the messages that the index finds.
pub const MAX_TERMS: usize = 64;

/// How many messages that match are ranked at most: the latest ones.
pub const MAX_CANDIDATES: usize = 10_000;

/// How many bytes of messages, and of what an index holds of them, one query reads at most, beside one message.
pub const MAX_TEXT_BYTES: u64 = 32 << 20;

/// The words that a caller searches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    tokenizer: Tokenizer,
    words: Vec<Word>,
    required: Vec<Term>,
    counted: Vec<Term>,
}

/// What an index is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    /// Whether it stands for every term that begins so.
    pub is_prefix: bool,
    /// As the index holds it: see [`Terms`].
    pub text: String,
}

/// A word that is searched for, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    part: Part,
}

/// Which part of a token a word has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Beginning,
    /// Any part of a run of Chinese, Japanese or Korean.
    Any,
}

impl Query {
    /// Reads the words of a query. A word that is given several times is one.
    ///
    /// # Errors
    /// `Invalid` when there is no word in it; `TooLarge` when there are more than [`MAX_WORDS`] distinct ones.
    pub fn parse(query: &str, tokenizer: Tokenizer) -> Result<Self> {
        let mut words: Vec<Word> = Vec::new();
        for Token { range, is_cjk } in tokens(query, tokenizer) {
            let part = match query[range.end..].starts_with('*') {
                _ if is_cjk => Part::Any,
                true => Part::Beginning,
                false => Part::Whole,
            };
            let word = Word { text: fold(&query[range]), part };
            if words.contains(&word) {
                continue;
            }
            if words.len() == MAX_WORDS {
                let detail = format!("a query may have {MAX_WORDS} distinct words, and this one has more");
                return Err(PersistError::new(ErrorKind::TooLarge, detail));
            }
            words.push(word);
        }
        if words.is_empty() {
            return Err(PersistError::new(ErrorKind::Invalid, "a search for no word"));
        }
        let mut terms: Vec<Term> = words.iter().flat_map(Word::terms).collect();
        // Whole terms first: they find fewer messages.
        terms.sort_unstable();
        terms.dedup();
        let (required, counted) = needed(&terms, |term, prefix| term.starts_with(prefix));
        Ok(Self { tokenizer, words, required, counted })
    }

    /// The terms that the index must have of a message for it to match, without those that another one of them implies. A message that
    /// has them all need not [match](Self::matches).
    #[must_use]
    pub fn required(&self) -> &[Term] {
        &self.required
    }

    /// The terms that count in the [weight](Self::weight) of a message, none of them twice.
    #[must_use]
    pub fn counted(&self) -> &[Term] {
        &self.counted
    }

    /// Whether `text` has every word.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut found = vec![false; self.words.len()];
        for Token { range, is_cjk } in tokens(text, self.tokenizer) {
            let token = fold(&text[range]);
            for (word, found) in self.words.iter().zip(&mut found) {
                *found = *found || word.is_in(&token, is_cjk);
            }
        }
        found.into_iter().all(|found| found)
    }

    /// How good a match a message with these terms is: how often it has terms that the query asks for, each of them [`MAX_COUNT`] times
    /// at most. A greater weight comes first, and of equal ones the latest message.
    #[must_use]
    pub fn weight(&self, terms: &Terms) -> u32 {
        let counts = terms.iter().filter(|(term, _)| self.counts(term));
        counts.fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// Whether a term of a message counts in its weight.
    #[must_use]
    pub fn counts(&self, term: &str) -> bool {
        // Whole terms come before prefixes, and in order.
        let (whole, prefixes) = self.counted.split_at(self.counted.partition_point(|term| !term.is_prefix));
        whole.binary_search_by(|counted| counted.text.as_str().cmp(term)).is_ok()
            || prefixes.iter().any(|counted| term.starts_with(&counted.text))
    }

    /// The terms of a text, as this query compares them.
    #[must_use]
    pub fn terms_of(&self, text: &str) -> Terms {
        Terms::of(text, self.tokenizer)
    }

    /// The first place in a text where a word of the query is, from the beginning of the text on.
    fn first_mark(&self, text: &str) -> Option<usize> {
        tokens(text, self.tokenizer).find_map(|Token { range, is_cjk }| {
            let token = &text[range.clone()];
            if is_cjk {
                let found = self.parts_of_runs().filter_map(|word| token.find(word)).min();
                return found.map(|at| range.start + at);
            }
            self.has_word(token).then_some(range.start)
        })
    }

    /// Where in a text, from its first mark on and before `end`, words of the query are: in order, and apart from one another.
    fn marks(&self, text: &str, first: usize, end: usize) -> Vec<Range<usize>> {
        let mut marks: Vec<Range<usize>> = Vec::new();
        for Token { range, is_cjk } in tokens(&text[first..], self.tokenizer) {
            let range = first + range.start..first + range.end;
            if range.start >= end {
                break;
            }
            if is_cjk {
                let shown = &text[range.start..range.end.min(end)];
                let found = self.parts_of_runs().flat_map(|word| shown.match_indices(word));
                let mut found: Vec<Range<usize>> = found.map(|(at, found)| at..at + found.len()).collect();
                found.sort_unstable_by_key(|found| (found.start, found.end));
                for found in found {
                    let found = range.start + found.start..range.start + found.end;
                    match marks.last_mut() {
                        Some(last) if found.start < last.end => last.end = last.end.max(found.end),
                        _ => marks.push(found),
                    }
                }
            } else if range.end <= end && self.has_word(&text[range.clone()]) {
                marks.push(range);
            }
        }
        marks
    }

    /// The words that are found inside a run of Chinese, Japanese or Korean.
    fn parts_of_runs(&self) -> impl Iterator<Item = &str> {
        self.words.iter().filter(|word| word.part == Part::Any).map(|word| word.text.as_str())
    }

    /// Whether a token of another kind is a word of the query.
    fn has_word(&self, token: &str) -> bool {
        let token = fold(token);
        self.words.iter().any(|word| word.is_in(&token, false))
    }

    /// Some of `text` around the first word that is found, and where in it words are that were looked for.
    #[must_use]
    pub fn snippet(&self, text: &str) -> (String, Vec<(u32, u32)>) {
        let first = self.first_mark(text);
        let before = &text[..first.unwrap_or_default()];
        let begin = before.char_indices().rev().nth(BEFORE - 1).map_or(0, |(at, _)| at);
        let end = text[begin..].char_indices().nth(SNIPPET_CHARS).map_or(text.len(), |(at, _)| begin + at);
        let mut snippet = String::new();
        if begin > 0 {
            snippet.push('…');
        }
        let shift = snippet.len();
        snippet.push_str(&text[begin..end]);
        if end < text.len() {
            snippet.push('…');
        }
        let at = |byte: usize| u32::try_from(byte - begin + shift).unwrap_or(u32::MAX);
        let marks = first.map(|first| self.marks(text, first, end)).unwrap_or_default();
        (snippet, marks.into_iter().map(|mark| (at(mark.start), at(mark.end))).collect())
    }
}

/// The terms that an index is asked for, and those that count in a weight: sorted terms without what another one of them implies.
///
/// Only a prefix implies a term or is implied by one, and there is one for each word at most. So each term is compared with the
/// prefixes alone, however many pairs of characters a query has.
fn needed(terms: &[Term], mut begins_with: impl FnMut(&str, &str) -> bool) -> (Vec<Term>, Vec<Term>) {
    let (whole, prefixes) = terms.split_at(terms.partition_point(|term| !term.is_prefix));
    // What has `water` has `wa*`, and where `wa*` is counted `water` is counted with it.
    let room = MAX_TERMS.saturating_sub(whole.len());
    let asked = prefixes
        .iter()
        .filter(|prefix| !terms.iter().any(|by| by != *prefix && begins_with(&by.text, &prefix.text)));
    let required = whole.iter().take(MAX_TERMS).chain(asked.take(room)).cloned().collect();
    let counted = terms
        .iter()
        .filter(|term| !prefixes.iter().any(|by| by != *term && begins_with(&term.text, &by.text)));
    (required, counted.take(MAX_TERMS).cloned().collect())
}

impl Word {
    fn is_in(&self, token: &str, is_cjk: bool) -> bool {
        match self.part {
            Part::Any => is_cjk && token.contains(&self.text),
            _ if is_cjk => false,
            Part::Whole => token == self.text,
            Part::Beginning => token.starts_with(&self.text),
        }
    }

    /// The terms that a text has where it has this word.
    fn terms(&self) -> Vec<Term> {
        let term = |text: &str, is_prefix| Term { is_prefix, text: text.to_owned() };
        match self.part {
            // Every pair within it, and not its last character, behind which there may be more.
            Part::Any if self.text.chars().nth(1).is_some() => {
                let pairs = pairs(&self.text).map(|pair| &self.text[pair]);
                pairs.filter(|pair| pair.chars().nth(1).is_some()).map(|pair| term(pair, false)).collect()
            }
            Part::Any => vec![term(&self.text, true)],
            // What is cut is known by its beginning, whole.
            Part::Beginning => vec![term(cut(&self.text), self.text.len() <= MAX_TERM_BYTES)],
            Part::Whole => vec![term(cut(&self.text), false)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(query: &str) -> Query {
        Query::parse(query, Tokenizer::Words).unwrap()
    }

    fn cjk(query: &str) -> Query {
        Query::parse(query, Tokenizer::Cjk).unwrap()
    }

    fn terms(terms: &[Term]) -> Vec<String> {
        terms.iter().map(|term| format!("{}{}", term.text, if term.is_prefix { "*" } else { "" })).collect()
    }

    #[test]
    fn every_word_has_to_be_there() {
        let query = words("  Zug, LISSABON ");
        assert!(query.matches("lissabon? Der Zug."));
        assert!(!query.matches("lissabonner Zug"));
        assert!(words("lissa*").matches("Der Lissabonner Zug"));
        assert!(!words("lissa").matches("Der Lissabonner Zug"));
        assert_eq!(query.weight(&query.terms_of("zug zug lissabon züge")), 3);
        assert_eq!(query.weight(&query.terms_of(&"zug ".repeat(100))), MAX_COUNT);
    }

    #[test]
    fn a_query_of_no_word_or_of_too_many_is_refused() {
        for query in ["", " * ", "\"--!\""] {
            assert_eq!(Query::parse(query, Tokenizer::Words).unwrap_err().kind(), ErrorKind::Invalid);
        }
        let many = |n: usize| (0..n).map(|n| format!("a{n} ")).collect::<String>();
        let error = Query::parse(&many(MAX_WORDS + 1), Tokenizer::Words).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert_eq!(words(&many(MAX_WORDS)).required().len(), MAX_WORDS);
    }

    #[test]
    fn repeated_and_implied_terms_are_asked_for_once() {
        assert_eq!(terms(words(&"w* ".repeat(1000)).required()), ["w*"]);
        let query = words("train tr* t u u* w* wa* WATER");
        assert_eq!(terms(query.required()), ["t", "train", "u", "water"]);
        assert_eq!(terms(query.counted()), ["t", "tr*", "u*", "w*"]);
        assert_eq!(terms(words("w* wa*").required()), ["wa*"]);
    }

    #[test]
    fn terms_of_a_long_query_are_compared_with_its_prefixes_alone() {
        let others = (0x4e00..0x9fff).chain(0x2_0000..0x2_8000_u32).filter_map(char::from_u32);
        let pairs: String = others.take(50_000).flat_map(|other| ['々', other]).collect();
        let query = format!("々 々々 {pairs}");
        let mut terms: Vec<Term> = tokens(&query, Tokenizer::Cjk)
            .flat_map(|token| Word { text: query[token.range].to_owned(), part: Part::Any }.terms())
            .collect();
        terms.sort_unstable();
        terms.dedup();
        assert_eq!(terms.len(), 100_001);
        let mut compared = 0;
        let (required, counted) = needed(&terms, |term, prefix| {
            compared += 1;
            term.starts_with(prefix)
        });
        assert!(compared <= terms.len(), "{compared} comparisons with the one prefix");
        assert_eq!((required.len(), counted.len()), (MAX_TERMS, MAX_TERMS));
        let parsed = cjk(&query);
        assert_eq!((parsed.required, parsed.counted), (required, counted));
    }

    #[test]
    fn long_words_are_asked_for_by_their_beginning() {
        let long = "x".repeat(MAX_TERM_BYTES + 1);
        assert_eq!(terms(words(&format!("{long}*")).required()), [&long[1..]]);
        assert_eq!(terms(words(&format!("{}*", &long[1..])).required()), [format!("{}*", &long[1..])]);
        assert!(!words(&long).matches(&long[1..]));
    }

    #[test]
    fn cjk_is_found_inside_a_run_of_characters() {
        let text = "昨日は東京タワーへ行きました。서울에서 만나요 ABC株式会社";
        for query in
            ["東京", "京タ", "東京タワー", "行", "서울", "울에", "만", "株式", "abc", "株式 ABC", "会社"]
        {
            let query = cjk(query);
            assert!(query.matches(text), "{query:?}");
            let held = query.terms_of(text);
            let is =
                |term: &Term, one: &str| one == term.text || term.is_prefix && one.starts_with(&term.text);
            let has = |term: &Term| held.iter().any(|(one, _)| is(term, one));
            assert!(query.required().iter().all(has), "{query:?}");
        }
        for query in ["京都", "東タ", "abcd株", "タワー東京", "ab"] {
            assert!(!cjk(query).matches(text), "{query}");
        }
        assert_eq!(terms(cjk("東京タ").required()), ["京タ", "東京"]);
        assert_eq!(terms(cjk("東").required()), ["東*"]);
        let (snippet, marks) = cjk("東京 京タワ").snippet(text);
        let marked: Vec<&str> = marks.iter().map(|(a, b)| &snippet[*a as usize..*b as usize]).collect();
        assert_eq!(marked, ["東京タワ"]);
        let long = "山".repeat(10) + &(0x4e00..0x4f00_u32).filter_map(char::from_u32).collect::<String>();
        assert_eq!(cjk(&long).required().len(), MAX_TERMS);
        assert!(cjk(&long).matches(&format!("前{long}後")));
    }

    #[test]
    fn a_snippet_of_a_long_run_marks_the_words_that_it_shows() {
        let query = cjk("東京 京東 abc");
        let text = format!("前{}後", "東京".repeat(100_000));
        let marks = query.marks(&text, 3, 3 + 60);
        assert_eq!((marks.len(), marks.first()), (1, Some(&(3..63))));
        let (snippet, marks) = query.snippet(&text);
        assert_eq!(snippet.chars().count(), SNIPPET_CHARS + 1);
        assert_eq!(marks, [(3, u32::try_from(3 * SNIPPET_CHARS).unwrap())]);
        let (snippet, marks) = query.snippet(&format!("{}東京 abc", "x ".repeat(100)));
        let marked: Vec<&str> = marks.iter().map(|(a, b)| &snippet[*a as usize..*b as usize]).collect();
        assert_eq!(marked, ["東京", "abc"]);
        let cut = format!("abc {} abcd abc", "x".repeat(SNIPPET_CHARS - 8));
        assert_eq!(cjk("abc*").snippet(&cut).1, [(0, 3)], "a word that is cut is not marked");
    }

    #[test]
    fn a_snippet_begins_before_the_first_word_and_marks_every_one() {
        let query = words("needle");
        assert_eq!(query.snippet("a Needle"), ("a Needle".to_owned(), vec![(2, 8)]));
        let text = format!("{} needle {}needle", "é".repeat(100), "x ".repeat(100));
        let (snippet, marks) = query.snippet(&text);
        assert!(snippet.starts_with('…') && snippet.ends_with('…'));
        assert_eq!(snippet.chars().count(), SNIPPET_CHARS + 2);
        assert_eq!(marks.len(), 1);
        assert_eq!(&snippet[marks[0].0 as usize..marks[0].1 as usize], "needle");
        assert_eq!(snippet.chars().take_while(|c| *c != 'n').count(), 1 + BEFORE);
    }
}
