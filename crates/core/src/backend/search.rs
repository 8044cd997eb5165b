//! How words are looked for, in every store alike.
//!
//! ```
//! use throughline_core::backend::search::Query;
//!
//! let query = Query::parse("lisbon* train")?;
//! assert!(query.matches("Which train goes to LISBON?"));
//! let (snippet, marks) = query.snippet("Which train goes to Lisbon?");
//! assert_eq!(&snippet[marks[0].0 as usize..marks[0].1 as usize], "train");
//! # Ok::<(), throughline_core::PersistError>(())
//! ```

use std::ops::Range;

use crate::{ErrorKind, PersistError, Result};

/// How many characters a snippet has at most, the dots at its ends not counted.
pub const SNIPPET_CHARS: usize = 160;

/// How many of them stand before the first word that was found.
const BEFORE: usize = 40;

/// The most words of a query.
pub const MAX_WORDS: usize = 32;

/// Words that are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    words: Vec<Word>,
}

/// A word that is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// In small letters.
    pub text: String,
    /// Whether it stands for all that begin so.
    pub is_prefix: bool,
}

impl Query {
    /// Reads the words of a query.
    ///
    /// # Errors
    /// `Invalid` when there is no word in it; `TooLarge` when there are more than [`MAX_WORDS`].
    pub fn parse(query: &str) -> Result<Self> {
        let words: Vec<Word> = tokens(query)
            .map(|token| Word {
                text: fold(&query[token.clone()]),
                is_prefix: query[token.end..].starts_with('*'),
            })
            .collect();
        if words.is_empty() {
            return Err(PersistError::new(ErrorKind::Invalid, "a search for no word"));
        }
        if words.len() > MAX_WORDS {
            let detail = format!("{} words are more than the {MAX_WORDS} allowed", words.len());
            return Err(PersistError::new(ErrorKind::TooLarge, detail));
        }
        Ok(Self { words })
    }

    /// The words.
    #[must_use]
    pub fn words(&self) -> &[Word] {
        &self.words
    }

    /// Whether `text` has every word.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut found = vec![false; self.words.len()];
        for token in tokens(text) {
            let token = fold(&text[token]);
            for (word, found) in self.words.iter().zip(&mut found) {
                *found |= word.is(&token);
            }
        }
        found.into_iter().all(|found| found)
    }

    /// How often words of it stand in `text`.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        tokens(text).filter(|token| self.has(&text[token.clone()])).count()
    }

    fn has(&self, token: &str) -> bool {
        let token = fold(token);
        self.words.iter().any(|word| word.is(&token))
    }

    /// Some of `text` around the first word that is found, and where in it words are that were looked for.
    #[must_use]
    pub fn snippet(&self, text: &str) -> (String, Vec<(u32, u32)>) {
        let marked: Vec<Range<usize>> = tokens(text).filter(|token| self.has(&text[token.clone()])).collect();
        let first = marked.first().map_or(0, |token| token.start);
        let begin = text[..first].char_indices().rev().nth(BEFORE - 1).map_or(0, |(at, _)| at);
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
        let within = marked.into_iter().filter(|token| token.end <= end);
        (snippet, within.map(|token| (at(token.start), at(token.end))).collect())
    }
}

impl Word {
    fn is(&self, token: &str) -> bool {
        if self.is_prefix { token.starts_with(&self.text) } else { token == self.text }
    }
}

/// The words of a text as they are compared, with a blank between them: what an index is to hold, so that it finds what
/// [`Query::matches`].
#[must_use]
pub fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len());
    for token in tokens(text) {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(&fold(&text[token]));
    }
    words
}

/// The runs of letters and digits.
fn tokens(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let begin = rest + text[rest..].find(char::is_alphanumeric)?;
        let end = text[begin..].find(|c: char| !c.is_alphanumeric()).map_or(text.len(), |at| begin + at);
        rest = end;
        Some(begin..end)
    })
}

fn fold(token: &str) -> String {
    token.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_to_be_there() {
        let query = Query::parse("  Zug, LISSABON ").unwrap();
        assert!(query.matches("lissabon? Der Zug."));
        assert!(!query.matches("lissabonner Zug"));
        assert!(Query::parse("lissa*").unwrap().matches("Der Lissabonner Zug"));
        assert!(!Query::parse("lissa").unwrap().matches("Der Lissabonner Zug"));
        assert_eq!(query.count("zug zug lissabon züge"), 3);
    }

    #[test]
    fn a_query_of_no_word_is_refused() {
        for query in ["", " * ", "\"--!\""] {
            assert_eq!(Query::parse(query).unwrap_err().kind(), ErrorKind::Invalid);
        }
        let many = "a ".repeat(MAX_WORDS + 1);
        assert_eq!(Query::parse(&many).unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(Query::parse(&many[2..]).unwrap().words().len(), MAX_WORDS);
    }

    #[test]
    fn a_snippet_begins_before_the_first_word_and_marks_every_one() {
        let query = Query::parse("needle").unwrap();
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
