//! Words as the index holds them: those of the core, so that it finds what [`Query::matches`]. No parser of Postgres has a part in it.

use std::collections::BTreeMap;

use throughline_core::backend::search::{self, Query, Word};

/// How many bytes of a word the index knows. What begins alike beyond that is told apart by the message.
const LONGEST: usize = 200;

/// How many bytes of words a part has: Postgres takes less than a mebibyte in one value.
const PART: usize = 256 << 10;

/// What a word takes beside itself: the mark, the label, and what says where it is.
const OF_EACH: usize = 16;

/// What `ts_rank` divides by.
const OF_RANK: f64 = 1.644_934_066_85;

/// How many times a word counts at most.
const MOST: u32 = 4;

/// What the labels `D`, `C`, `B` and `A` count for in `ts_rank`: a quarter for each time.
macro_rules! weights {
    () => {
        "'{0.25, 0.5, 0.75, 1}'"
    };
}
pub(crate) use weights;

/// What each word of a tenant begins with in the index, so that its searches cost what its own messages say: a word of its own
/// for the tenant would be in every one of them. Always so long. Two tenants may have the same: rows say whose they are.
fn mark_of(tenant: &str) -> String {
    let hash = blake3::hash(tenant.as_bytes()).to_hex();
    hash[..5].to_owned()
}

/// A value of the index, quoted; nobody says a word with a plus in it.
fn quoted(mark: &str, word: &str) -> String {
    format!("'{mark}{}'", word.replace('\\', "\\\\").replace('\'', "''"))
}

/// What stands in every part of a message that has several.
const IN_PARTS: &str = "+";

fn cut(word: &str) -> &str {
    let end = word.floor_char_boundary(LONGEST);
    &word[..end]
}

/// The words of a text as values of the type `tsvector`, in one part or several; none of a text without a word.
pub(super) fn parts(tenant: &str, text: &str) -> Vec<String> {
    let words = search::words(text);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        *counts.entry(cut(word)).or_default() += 1;
    }
    let mark = mark_of(tenant);
    let (mut parts, mut part, mut bytes) = (Vec::new(), String::new(), 0);
    for (word, count) in counts {
        if bytes > PART {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += OF_EACH + word.len();
        part.push_str(&quoted(&mark, word));
        part.push_str(match count.min(MOST) {
            1 => " ",
            2 => ":1C ",
            3 => ":1B ",
            _ => ":1A ",
        });
    }
    if !part.is_empty() {
        parts.push(part);
    }
    if parts.len() > 1 {
        let sign = quoted(&mark, IN_PARTS);
        parts.iter_mut().for_each(|part| part.push_str(&sign));
    }
    parts
}

/// What the index is asked for.
#[derive(Debug, PartialEq)]
pub(crate) struct Asked {
    /// The messages that may be meant, of the type `tsquery`: each that has all words. One in parts need have one of them in a part.
    pub(crate) matches: String,
    /// What counts in them, of the type `tsquery`.
    pub(crate) counts: String,
    /// What makes of the rank how often they stand there, each word four times at most.
    pub(crate) scale: f64,
}

impl Asked {
    pub(crate) fn of(tenant: &str, query: &Query) -> Self {
        let mark = mark_of(tenant);
        let operand = |word: &Word| {
            let known = cut(&word.text);
            // What is longer than that is known by its beginning, whole.
            let star = if word.is_prefix && known.len() == word.text.len() { ":*" } else { "" };
            format!("{}{star}", quoted(&mark, known))
        };
        let mut words: Vec<&Word> = query.words().iter().collect();
        // What a shorter one stands for does not count twice.
        words.sort_by(|a, b| a.text.cmp(&b.text).then(b.is_prefix.cmp(&a.is_prefix)));
        let mut counted: Vec<&Word> = Vec::new();
        for word in &words {
            let covers = |by: &&Word| {
                if by.is_prefix { word.text.starts_with(&by.text) } else { word.text == by.text }
            };
            if !counted.iter().any(covers) {
                counted.push(word);
            }
        }
        let mut counted: Vec<String> = counted.into_iter().map(operand).collect();
        counted.dedup();
        let mut all: Vec<String> = words.into_iter().map(operand).collect();
        all.dedup();
        let matches = match &all[..] {
            [one] => one.clone(),
            all => {
                let (both, any, sign) = (all.join(" & "), all.join(" | "), quoted(&mark, IN_PARTS));
                format!("{both} | {sign} & ({any})")
            }
        };
        let scale = counted.len() as f64 * f64::from(MOST) * OF_RANK;
        Self { matches, counts: counted.join(" | "), scale }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> (String, String) {
        let Asked { matches, counts, .. } = Asked::of("t", &Query::parse(query).unwrap());
        let mark = mark_of("t");
        (matches.replace(&mark, ""), counts.replace(&mark, ""))
    }

    #[test]
    fn a_word_has_the_mark_of_its_tenant_and_a_label_for_how_often_it_stands_there() {
        let [part] = &parts("t", "B a b, c C c; d D d d e")[..] else { panic!() };
        let mark = mark_of("t");
        assert_eq!(mark.len(), 5);
        assert_ne!(mark, mark_of("u"));
        assert_eq!(part.replace(&mark, ""), "'a' 'b':1C 'c':1B 'd':1A 'e' ");
        assert_eq!(parts("t", " --"), [""; 0]);
    }

    #[test]
    fn long_words_are_cut_between_characters() {
        let [part] = &parts("t", &"é".repeat(1000))[..] else { panic!() };
        assert_eq!(part.len(), "'' ".len() + 5 + 200);
        let [part] = &parts("t", &format!("a{}", "é".repeat(1000)))[..] else { panic!() };
        assert_eq!(part.len(), "'' ".len() + 5 + 199);
        let long = "x".repeat(201);
        assert_eq!(asked(&format!("{long}*")).0, format!("'{}'", &long[1..]));
        assert_eq!(asked(&format!("{}*", &long[1..])).0, format!("'{}':*", &long[1..]));
    }

    #[test]
    fn very_many_words_are_in_parts_that_say_so() {
        let text: String = (0..100_000).map(|n| format!("w{n} ")).collect();
        let parts = parts("t", &text);
        assert_eq!(parts.len(), 9);
        let sign = quoted(&mark_of("t"), "+");
        assert!(parts.iter().all(|part| part.ends_with(&sign)));
        assert_eq!(parts.iter().map(|part| part.matches("w").count()).sum::<usize>(), 100_000);
    }

    #[test]
    fn a_query_asks_for_all_words_and_counts_none_of_them_twice() {
        assert_eq!(asked("b"), ("'b'".to_owned(), "'b'".to_owned()));
        assert_eq!(asked("b a* B").0, "'a':* & 'b' | '+' & ('a':* | 'b')");
        assert_eq!(asked("train tr* t u u*").1, "'t' | 'tr':* | 'u':*");
        assert_eq!(Asked::of("t", &Query::parse("a ab* abc").unwrap()).scale, 8.0 * OF_RANK);
    }
}
