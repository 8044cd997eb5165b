//! Full-text search: the tokenizer, the query parser and the ranking that all stores share.
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
//! A store keeps the [`Terms`] of each final message in a full-text index. It looks up the
//! [`required`](Query::required) terms of a query in the index and ranks the candidates by [`rank`](Query::rank).
//! It then compares the text of each message with the query before it answers.
//!
//! Bounds limit the work of one query in every store with an index: [`MAX_QUERY_BYTES`], [`MAX_WORDS`],
//! [`MAX_TERMS`], [`MAX_CANDIDATES`] and [`MAX_TEXT_BYTES`]. If one of the last two ended a search early, the answer
//! sets [`SearchHits::terminated_early`](crate::operation::SearchHits::terminated_early).

mod tokens;

use std::ops::Range;

pub use self::tokens::{MAX_COUNT, MAX_TERM_BYTES, Terms, Tokenizer};
use self::tokens::{Token, lower_case, pairs, tokens, truncate};
use crate::{ErrorKind, PersistError, Result};

/// The most characters of a snippet, without the ellipses at its ends.
pub const SNIPPET_CHARS: usize = 160;

/// The most characters of a snippet before its first mark.
const BEFORE: usize = 40;

/// The longest query, in bytes. The pipeline refuses a longer one before a layer or a store sees it.
pub const MAX_QUERY_BYTES: usize = 4096;

/// The most distinct words of a query.
pub const MAX_WORDS: usize = 32;

/// The most terms that one query looks up in an index. Only a query with long runs of Chinese, Japanese or Korean has
/// more. The other terms are compared with the text of the messages that the index finds.
pub const MAX_TERMS: usize = 64;

/// The most candidate messages that one query ranks: the latest ones.
pub const MAX_CANDIDATES: usize = 10_000;

/// The most bytes of messages and index rows that one query reads, in addition to one message.
pub const MAX_TEXT_BYTES: u64 = 32 << 20;

/// A parsed search query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    tokenizer: Tokenizer,
    words: Vec<Word>,
    required: Vec<Term>,
    counted: Vec<Term>,
}

/// A term that a query looks up in an index.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Term {
    /// Whether it matches every index term that begins with `text`.
    pub is_prefix: bool,
    /// The term in the form of the index: see [`Terms`].
    pub text: String,
}

/// A word of a query, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    text: String,
    part: Part,
}

/// The part of a token that a word has to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    Beginning,
    /// Any part of a run of Chinese, Japanese or Korean.
    Any,
}

impl Query {
    /// Parses a query. A repeated word counts once.
    ///
    /// # Errors
    /// `Invalid` if the query has no word; `TooLarge` if it has more than [`MAX_WORDS`] distinct words.
    pub fn parse(query: &str, tokenizer: Tokenizer) -> Result<Self> {
        let mut words: Vec<Word> = Vec::new();
        for Token { range, is_cjk } in tokens(query, tokenizer) {
            let part = match query[range.end..].starts_with('*') {
                _ if is_cjk => Part::Any,
                true => Part::Beginning,
                false => Part::Whole,
            };
            let word = Word { text: lower_case(&query[range]), part };
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
            return Err(PersistError::new(ErrorKind::Invalid, "the query has no word"));
        }
        let mut terms: Vec<Term> = words.iter().flat_map(Word::terms).collect();
        // Whole terms come first, because they match fewer messages.
        terms.sort_unstable();
        terms.dedup();
        let (required, counted) = needed(&terms, |term, prefix| term.starts_with(prefix));
        Ok(Self { tokenizer, words, required, counted })
    }

    /// Returns the terms that a message must have in the index to match, without terms that another one implies. A
    /// message with all of these terms does not necessarily [match](Self::matches).
    #[must_use]
    pub fn required(&self) -> &[Term] {
        &self.required
    }

    /// Returns the distinct terms that count for the [rank](Self::rank) of a message.
    #[must_use]
    pub fn counted(&self) -> &[Term] {
        &self.counted
    }

    /// Whether `text` contains every word of the query.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut found = vec![false; self.words.len()];
        for Token { range, is_cjk } in tokens(text, self.tokenizer) {
            let token = lower_case(&text[range]);
            for (word, found) in self.words.iter().zip(&mut found) {
                *found = *found || word.is_in(&token, is_cjk);
            }
        }
        found.into_iter().all(|found| found)
    }

    /// Returns the rank of a message with these terms: the number of occurrences of the query's terms, at most
    /// [`MAX_COUNT`] for each term. A greater rank comes first; among equal ranks, the latest message comes first.
    #[must_use]
    pub fn rank(&self, terms: &Terms) -> u32 {
        let counts = terms.iter().filter(|(term, _)| self.counts(term));
        counts.fold(0, |sum, (_, count)| sum.saturating_add(count))
    }

    /// Whether a term of a message counts for its rank.
    #[must_use]
    pub fn counts(&self, term: &str) -> bool {
        // The whole terms come before the prefixes, and both are sorted.
        let (whole, prefixes) = self.counted.split_at(self.counted.partition_point(|term| !term.is_prefix));
        whole.binary_search_by(|counted| counted.text.as_str().cmp(term)).is_ok()
            || prefixes.iter().any(|counted| term.starts_with(&counted.text))
    }

    /// Returns the terms of a text, by the tokenizer of this query.
    #[must_use]
    pub fn terms_of(&self, text: &str) -> Terms {
        Terms::of(text, self.tokenizer)
    }

    /// Returns the offset of the first word of the query in a text.
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

    /// Returns the ranges of the query's words in a text, from its first mark to `end`, in order and without overlap.
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

    /// Returns the words that match inside of a run of Chinese, Japanese or Korean.
    fn parts_of_runs(&self) -> impl Iterator<Item = &str> {
        self.words.iter().filter(|word| word.part == Part::Any).map(|word| word.text.as_str())
    }

    /// Whether a token of another script is a word of the query.
    fn has_word(&self, token: &str) -> bool {
        let token = lower_case(token);
        self.words.iter().any(|word| word.is_in(&token, false))
    }

    /// Returns an excerpt of `text` around the first match, and the byte ranges of the matches in the excerpt.
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

/// Returns the required and the counted terms: sorted terms without those that another one implies.
///
/// Only a prefix implies another term or is implied by one, and each word has at most one prefix. So the function
/// compares each term with the prefixes only, however many pairs of characters a query has.
fn needed(terms: &[Term], mut begins_with: impl FnMut(&str, &str) -> bool) -> (Vec<Term>, Vec<Term>) {
    let (whole, prefixes) = terms.split_at(terms.partition_point(|term| !term.is_prefix));
    // A message with `water` also has `wa*`, and a count of `wa*` includes `water`.
    let free = MAX_TERMS.saturating_sub(whole.len());
    let asked = prefixes
        .iter()
        .filter(|prefix| !terms.iter().any(|by| by != *prefix && begins_with(&by.text, &prefix.text)));
    let required = whole.iter().take(MAX_TERMS).chain(asked.take(free)).cloned().collect();
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

    /// Returns the terms that every text with this word has.
    fn terms(&self) -> Vec<Term> {
        let term = |text: &str, is_prefix| Term { is_prefix, text: text.to_owned() };
        match self.part {
            // Every pair inside of the word. Its last character forms no pair, because the text may continue after
            // it.
            Part::Any if self.text.chars().nth(1).is_some() => {
                let pairs = pairs(&self.text).map(|pair| &self.text[pair]);
                pairs.filter(|pair| pair.chars().nth(1).is_some()).map(|pair| term(pair, false)).collect()
            }
            Part::Any => vec![term(&self.text, true)],
            // The index has a truncated word as a whole term.
            Part::Beginning => vec![term(truncate(&self.text), self.text.len() <= MAX_TERM_BYTES)],
            Part::Whole => vec![term(truncate(&self.text), false)],
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
    fn a_text_matches_if_it_has_every_word() {
        let query = words("  Zug, LISSABON ");
        assert!(query.matches("lissabon? Der Zug."));
        assert!(!query.matches("lissabonner Zug"));
        assert!(words("lissa*").matches("Der Lissabonner Zug"));
        assert!(!words("lissa").matches("Der Lissabonner Zug"));
        assert_eq!(query.rank(&query.terms_of("zug zug lissabon züge")), 3);
        assert_eq!(query.rank(&query.terms_of(&"zug ".repeat(100))), MAX_COUNT);
    }

    #[test]
    fn a_query_without_words_or_with_too_many_is_refused() {
        for query in ["", " * ", "\"--!\""] {
            assert_eq!(Query::parse(query, Tokenizer::Words).unwrap_err().kind(), ErrorKind::Invalid);
        }
        let many = |n: usize| (0..n).map(|n| format!("a{n} ")).collect::<String>();
        let error = Query::parse(&many(MAX_WORDS + 1), Tokenizer::Words).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert_eq!(words(&many(MAX_WORDS)).required().len(), MAX_WORDS);
    }

    #[test]
    fn repeated_and_implied_terms_are_looked_up_once() {
        assert_eq!(terms(words(&"w* ".repeat(1000)).required()), ["w*"]);
        let query = words("train tr* t u u* w* wa* WATER");
        assert_eq!(terms(query.required()), ["t", "train", "u", "water"]);
        assert_eq!(terms(query.counted()), ["t", "tr*", "u*", "w*"]);
        assert_eq!(terms(words("w* wa*").required()), ["wa*"]);
    }

    #[test]
    fn terms_of_a_long_query_are_compared_with_its_prefixes_only() {
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
    fn long_words_are_looked_up_by_their_prefix() {
        let long = "x".repeat(MAX_TERM_BYTES + 1);
        assert_eq!(terms(words(&format!("{long}*")).required()), [&long[1..]]);
        assert_eq!(terms(words(&format!("{}*", &long[1..])).required()), [format!("{}*", &long[1..])]);
        assert!(!words(&long).matches(&long[1..]));
    }

    #[test]
    fn cjk_words_match_inside_a_run_of_characters() {
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
    fn a_snippet_of_a_long_run_marks_only_the_words_it_contains() {
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
        let truncated = format!("abc {} abcd abc", "x".repeat(SNIPPET_CHARS - 8));
        assert_eq!(cjk("abc*").snippet(&truncated).1, [(0, 3)], "a truncated word is not marked");
    }

    #[test]
    fn a_snippet_begins_before_its_first_match_and_marks_every_match() {
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
