//! The table of words to replace, read from the glossary.

use std::sync::LazyLock;

use super::tokens::parts_of;
use crate::Result;

/// The page with the table.
pub(super) const PAGE: &str = "docs/glossary.md";

/// The first column of the table's header.
const HEADER: &str = "| do not write |";

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| {
    let page = include_str!("../../../docs/glossary.md");
    Vocabulary::parse(page).unwrap_or_else(|error| panic!("{PAGE}: {error}"))
});

/// The rows of the table that a program can check.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Vocabulary {
    pub(super) words: Vec<Word>,
    /// Phrases and identifiers that are not a match although they hold a word.
    pub(super) exceptions: Vec<Form>,
}

/// A word to replace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) form: Form,
    /// The replacement.
    pub(super) write: String,
    /// Only in identifiers, not in sentences.
    pub(super) names_only: bool,
}

/// A text to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// An identifier, exactly.
    Identifier(String),
    /// Words in a row, in lower case.
    Words {
        words: Vec<String>,
        /// Only at the beginning of a sentence or an identifier.
        at_start: bool,
    },
}

impl Form {
    fn parse(text: &str) -> Self {
        if text.contains(|c: char| c.is_uppercase() || c == '_') {
            return Self::Identifier(text.to_owned());
        }
        let at_start = text.starts_with('^');
        let words = text.trim_start_matches('^').split(' ').map(str::to_owned).collect();
        Self::Words { words, at_start }
    }

    /// How many words it has.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Identifier(name) => parts_of(name).len(),
            Self::Words { words, .. } => words.len(),
        }
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Identifier(name) => f.write_str(name),
            Self::Words { words, at_start } => {
                write!(f, "{}{}", if *at_start { "^" } else { "" }, words.join(" "))
            }
        }
    }
}

impl Vocabulary {
    /// That of the glossary.
    pub(super) fn get() -> &'static Self {
        &VOCABULARY
    }

    /// Reads the table of a page.
    pub(super) fn parse(page: &str) -> Result<Self> {
        let table = page.lines().skip_while(|line| !line.starts_with(HEADER)).skip(2);
        let mut read = Self { words: Vec::new(), exceptions: Vec::new() };
        for row in table.take_while(|line| line.starts_with('|')) {
            let columns: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [forms, write, check] = columns[..] else {
                return Err(format!("not three columns: {row}").into());
            };
            let names_only = match check.split(',').next() {
                Some("all") => false,
                Some("names") => true,
                Some("review") => continue,
                _ => return Err(format!("neither all, names nor review: {row}").into()),
            };
            for form in code_spans(forms) {
                let form = Form::parse(form);
                if read.words.iter().any(|word| word.form == form) {
                    return Err(format!("`{form}` has two rows").into());
                }
                read.words.push(Word { form, write: write.replace('`', ""), names_only });
            }
            read.exceptions.extend(code_spans(check).map(Form::parse));
        }
        if read.words.is_empty() { Err("no words to replace".into()) } else { Ok(read) }
    }
}

fn code_spans(column: &str) -> impl Iterator<Item = &str> {
    column.split('`').skip(1).step_by(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, at_start: bool) -> Form {
        Form::Words { words: text.split(' ').map(str::to_owned).collect(), at_start }
    }

    #[test]
    fn each_code_span_of_the_table_is_a_form() {
        let page = "| a | b |\n\n| do not write | write | check |\n|---|---|---|\n\
                    | `lorry`, `big lorry` (of goods) | `truck` | all, except `lorry park`, `MyLorry` |\n\
                    | `Lorry` | Truck | names |\n| boot | trunk | review |\n| `^whose` | the driver's | all |\n\n| `c` |\n";
        let vocabulary = Vocabulary::parse(page).expect("a good page");
        let word = |form, write: &str, names_only| Word { form, write: write.into(), names_only };
        assert_eq!(
            vocabulary.words,
            [
                word(words("lorry", false), "truck", false),
                word(words("big lorry", false), "truck", false),
                word(Form::Identifier("Lorry".into()), "Truck", true),
                word(words("whose", true), "the driver's", false),
            ]
        );
        assert_eq!(vocabulary.exceptions, [words("lorry park", false), Form::Identifier("MyLorry".into())]);
    }

    #[test]
    fn a_bad_table_is_refused() {
        let refusal = |rows: &str| {
            let page = format!("{HEADER} write | check |\n|---|---|---|\n{rows}\n");
            Vocabulary::parse(&page).expect_err("a bad table").to_string()
        };
        assert_eq!(refusal("| `a` | b |"), "not three columns: | `a` | b |");
        assert_eq!(refusal("| `a` | b | some |"), "neither all, names nor review: | `a` | b | some |");
        assert_eq!(refusal("| `a` | b | all |\n| `a` | c | all |"), "`a` has two rows");
        assert_eq!(refusal(""), "no words to replace");
    }

    #[test]
    fn the_glossary_has_a_table() {
        assert!(Vocabulary::get().words.len() > 100);
    }

    #[test]
    fn each_term_of_the_glossary_has_one_meaning() {
        let page = include_str!("../../../docs/glossary.md");
        let terms = page.lines().skip_while(|line| *line != "|---|---|").skip(1);
        let rows: Vec<_> = terms.take_while(|line| line.starts_with('|')).collect();
        assert!(rows.len() > 200);
        for row in &rows {
            assert_eq!(row.matches('|').count(), 3, "{row}");
        }
        let names: std::collections::BTreeSet<_> = rows.iter().map(|row| row.split(" | ").next()).collect();
        assert_eq!(names.len(), rows.len());
    }
}
