//! Looking for the words of the vocabulary in a file.

use std::collections::HashMap;

use super::tokens::{Part, of_prose, of_rust, parts_of};
use super::vocabulary::{Form, Vocabulary, Word};

/// A word that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found<'v> {
    pub(super) word: &'v Word,
    /// Counted from 1.
    pub(super) line: usize,
}

/// The vocabulary, by the first word of each form.
#[derive(Debug)]
pub(super) struct Search<'v> {
    by_first: HashMap<String, Vec<Candidate<'v>>>,
}

/// A form, and the word that it is of; an exception is of none.
#[derive(Debug, Clone, Copy)]
struct Candidate<'v> {
    form: &'v Form,
    word: Option<&'v Word>,
}

impl<'v> Search<'v> {
    pub(super) fn new(vocabulary: &'v Vocabulary) -> Self {
        let words = vocabulary.words.iter().map(|word| Candidate { form: &word.form, word: Some(word) });
        let exceptions = vocabulary.exceptions.iter().map(|form| Candidate { form, word: None });
        let mut by_first: HashMap<String, Vec<Candidate<'v>>> = HashMap::new();
        for candidate in words.chain(exceptions) {
            let first = match candidate.form {
                Form::Identifier(name) => parts_of(name).into_iter().next(),
                Form::Words { words, .. } => words.first().cloned(),
            };
            by_first.entry(first.unwrap_or_default()).or_default().push(candidate);
        }
        Self { by_first }
    }

    /// The words of a file, in order. A file that holds neither Rust, Python nor sentences has none.
    pub(super) fn file(&self, path: &str, text: &str) -> Vec<Found<'v>> {
        match path.rsplit('.').next() {
            Some("rs") => self.parts(&of_rust(text)),
            Some("md" | "toml" | "sql" | "sh" | "py" | "pyi") => self.parts(&of_prose(text)),
            _ => Vec::new(),
        }
    }

    fn parts(&self, parts: &[Part]) -> Vec<Found<'v>> {
        let mut out = Vec::new();
        let mut at = 0;
        while at < parts.len() {
            let candidates = self.by_first.get(&parts[at].text).into_iter().flatten();
            // The longest form; of two, an exception, and then an identifier.
            let best = candidates.filter(|candidate| candidate.is_at(&parts[at..])).max_by_key(|candidate| {
                (
                    candidate.form.len(),
                    candidate.word.is_none(),
                    matches!(candidate.form, Form::Identifier(_)),
                )
            });
            if let Some(word) = best.and_then(|best| best.word) {
                out.push(Found { word, line: parts[at].line });
            }
            at += best.map_or(1, |best| best.form.len());
        }
        out
    }
}

impl Candidate<'_> {
    fn is_at(&self, parts: &[Part]) -> bool {
        let Some(held) = parts.get(..self.form.len()) else { return false };
        if held.iter().any(|part| part.flow != held[0].flow) {
            return false;
        }
        if self.word.is_some_and(|word| word.names_only) && !held.iter().all(|part| part.is_name) {
            return false;
        }
        match self.form {
            Form::Identifier(name) => held[0].first_of.as_ref() == Some(name),
            Form::Words { words, at_start } => {
                (!at_start || held[0].is_start)
                    && words.iter().zip(held).all(|(word, part)| *word == part.text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
| do not write | write | check |
|---|---|---|
| `lorry`, `lorry of goods` | truck | all, except `lorry park`, `my_lorry` |
| `Lorry`, `lorry_mut` | `Truck` | all |
| `boot` | trunk | names |
| `^whose` | the driver's | all |
";

    /// The forms that are found in a file, each with its line.
    fn found(path: &str, text: &str) -> Vec<(String, usize)> {
        let vocabulary = Vocabulary::parse(PAGE).expect("a good page");
        let found = Search::new(&vocabulary).file(path, text);
        found.into_iter().map(|found| (found.word.form.to_string(), found.line)).collect()
    }

    fn expected(found: &[(&str, usize)]) -> Vec<(String, usize)> {
        found.iter().map(|(form, line)| ((*form).to_owned(), *line)).collect()
    }

    #[test]
    fn words_are_found_in_parts_of_names_comments_and_strings() {
        let source = "/// A lorry.\nfn red_lorry(a: RedLorry) { b(\"no lorry\") } // lorries\n";
        assert_eq!(
            found("a.rs", source),
            expected(&[("lorry", 1), ("lorry", 2), ("lorry", 2), ("lorry", 2)])
        );
    }

    #[test]
    fn the_longest_form_wins_and_crosses_lines_of_a_comment_only() {
        let source = "// A lorry\n// of goods, a lorry-park.\nlet (lorry, of, goods);\n";
        assert_eq!(found("a.rs", source), expected(&[("lorry of goods", 1), ("lorry", 3)]));
    }

    #[test]
    fn identifiers_match_whole_and_exceptions_are_left_out() {
        let source = "Lorry::lorry_mut(my_lorry, lorry_mut_2, LorryPark);";
        assert_eq!(found("a.rs", source), expected(&[("Lorry", 1), ("lorry_mut", 1), ("lorry", 1)]));
    }

    #[test]
    fn some_words_are_refused_only_in_names_or_at_the_start() {
        let source = "// Whose boot? Whose boot, whose `boot`.\nfn whose_boot() {}\nfn a_boot_whose() {}\n";
        assert_eq!(
            found("a.rs", source),
            expected(&[("^whose", 1), ("boot", 1), ("^whose", 2), ("boot", 2), ("boot", 3)])
        );
    }

    #[test]
    fn pages_are_read_and_data_is_not() {
        assert_eq!(found("a.md", "A lorry.\n\n```\nlorry\n```\n"), expected(&[("lorry", 1), ("lorry", 4)]));
        assert_eq!(found("a.jsonl", "lorry"), []);
    }
}
