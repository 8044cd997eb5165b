//! Index terms. They are the terms of the core, so that the index finds what [`Query::matches`]; no parser of
//! Postgres is involved.

use throughline_core::backend::search::{MAX_COUNT, Query, Term, Terms};

use super::TermMaker;

/// The most bytes of terms in one row: Postgres limits a `tsvector` to one mebibyte.
const PART: usize = 256 << 10;

/// The estimated overhead of a term: the prefix, the label and the position.
const OF_EACH: usize = 16;

/// The constant that `ts_rank` divides by.
const OF_RANK: f64 = 1.644_934_066_85;

/// The factors of the labels `D`, `C`, `B` and `A` in `ts_rank`: a quarter for each occurrence.
macro_rules! rank_factors {
    () => {
        "'{0.25, 0.5, 0.75, 1}'"
    };
}
pub(crate) use rank_factors;

/// The characters of a prefix.
const OF_PREFIX: &[u8; 64] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";

impl TermMaker {
    /// Returns the tenant prefix of the index terms: six characters. With it, a search costs in proportion to the
    /// messages of its own tenant. A separate term for the tenant would be in all of its messages. Two tenants can
    /// have the same prefix by chance, which cannot be found without the key of the store. Each row also has its
    /// tenant, so a collision only costs time.
    pub(crate) fn prefix(&self, tenant: &str) -> String {
        let hash = blake3::keyed_hash(&self.key, tenant.as_bytes());
        hash.as_bytes()[..6].iter().map(|byte| char::from(OF_PREFIX[usize::from(byte % 64)])).collect()
    }

    /// Returns the terms of a text.
    pub(super) fn terms(&self, text: &str) -> Terms {
        Terms::of(text, self.tokenizer)
    }
}

/// Quotes a term; no term contains a plus.
fn quoted(prefix: &str, word: &str) -> String {
    format!("'{prefix}{}'", word.replace('\\', "\\\\").replace('\'', "''"))
}

/// The additional term in every part of a message with several parts.
const IN_PARTS: &str = "+";

/// Returns the terms of a message as `tsvector` values, in one or several parts; empty without terms.
pub(super) fn parts(prefix: &str, terms: &Terms) -> Vec<String> {
    let (mut parts, mut part, mut bytes) = (Vec::new(), String::new(), 0);
    for (term, count) in terms.iter() {
        if bytes > PART {
            parts.push(std::mem::take(&mut part));
            bytes = 0;
        }
        bytes += OF_EACH + term.len();
        part.push_str(&quoted(prefix, term));
        part.push_str(match count {
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
        let marker = quoted(prefix, IN_PARTS);
        parts.iter_mut().for_each(|part| part.push_str(&marker));
    }
    parts
}

/// A query of the index.
#[derive(Debug, PartialEq)]
pub(crate) struct Asked {
    /// The candidates, as `tsquery`: messages with all terms. A message in several parts needs only one of the
    /// terms in a part.
    pub(crate) matches: String,
    /// The terms of the rank, as `tsquery`.
    pub(crate) counts: String,
    /// The factor that turns the rank into the number of occurrences, each term counted four times at most.
    pub(crate) scale: f64,
}

impl Asked {
    pub(crate) fn of(prefix: &str, query: &Query) -> Self {
        let operand = |term: &Term| {
            let star = if term.is_prefix { ":*" } else { "" };
            format!("{}{star}", quoted(prefix, &term.text))
        };
        let required: Vec<String> = query.required().iter().map(operand).collect();
        let counted: Vec<String> = query.counted().iter().map(operand).collect();
        let matches = match &required[..] {
            [one] => one.clone(),
            all => {
                let (both, any, marker) = (all.join(" & "), all.join(" | "), quoted(prefix, IN_PARTS));
                format!("{both} | {marker} & ({any})")
            }
        };
        let scale = counted.len() as f64 * f64::from(MAX_COUNT) * OF_RANK;
        Self { matches, counts: counted.join(" | "), scale }
    }
}

#[cfg(test)]
mod tests {
    use throughline_core::backend::search::Tokenizer;

    use super::*;

    const PREFIX: &str = "p1-Zz_";

    fn asked(query: &str) -> (String, String) {
        let Asked { matches, counts, .. } =
            Asked::of(PREFIX, &Query::parse(query, Tokenizer::Words).unwrap());
        (matches.replace(PREFIX, ""), counts.replace(PREFIX, ""))
    }

    fn parts_of(text: &str) -> Vec<String> {
        parts(PREFIX, &Terms::of(text, Tokenizer::Words))
    }

    #[test]
    fn a_prefix_depends_on_the_tenant_and_on_the_key_of_the_store() {
        let [one, other] = [1, 2].map(|key| TermMaker { key: [key; 32], ..TermMaker::default() });
        assert_eq!(one.prefix("t").len(), PREFIX.len());
        assert_eq!(one.prefix("t"), one.prefix("t"));
        assert_ne!(one.prefix("t"), one.prefix("u"));
        assert_ne!(one.prefix("t"), other.prefix("t"));
    }

    #[test]
    fn a_term_has_the_prefix_of_its_tenant_and_a_label_for_how_often_it_occurs() {
        let [part] = &parts_of("B a b, c C c; d D d d e")[..] else { panic!() };
        assert_eq!(part.replace(PREFIX, ""), "'a' 'b':1C 'c':1B 'd':1A 'e' ");
        assert_eq!(parts_of(" --"), [""; 0]);
    }

    #[test]
    fn many_terms_are_in_parts_with_a_marker() {
        let text: String = (0..100_000).map(|n| format!("w{n} ")).collect();
        let parts = parts_of(&text);
        assert_eq!(parts.len(), 9);
        let marker = quoted(PREFIX, IN_PARTS);
        assert!(parts.iter().all(|part| part.ends_with(&marker)));
        assert_eq!(parts.iter().map(|part| part.matches('w').count()).sum::<usize>(), 100_000);
    }

    #[test]
    fn a_query_asks_for_all_terms_and_counts_none_of_them_twice() {
        assert_eq!(asked("b"), ("'b'".to_owned(), "'b'".to_owned()));
        assert_eq!(asked("b a* B").0, "'b' & 'a':* | '+' & ('b' | 'a':*)");
        assert_eq!(asked("train tr* t u u*").1, "'t' | 'tr':* | 'u':*");
        assert_eq!(asked(&"w* ".repeat(32)).0, "'w':*");
        let query = Query::parse("a ab* abc", Tokenizer::Words).unwrap();
        assert_eq!(Asked::of(PREFIX, &query).scale, 8.0 * OF_RANK);
    }
}
