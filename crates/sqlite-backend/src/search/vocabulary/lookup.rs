use rusqlite::{Connection, params};
use throughline_core::backend::search::Term;

use super::{bit, part, row};

/// The rows in which a search looks for the terms with a prefix. A prefix of more terms is in most shards.
const MAX_ROWS: usize = 16;

/// The row that can have a term, and the rows after it.
const ROWS: &str = "SELECT terms FROM search_vocabulary WHERE tenant = ?1 AND part = ?2 AND first >= coalesce(\
    (SELECT max(first) FROM search_vocabulary WHERE tenant = ?1 AND part = ?2 AND first <= ?3), ?3) ORDER BY first";

/// The lookup of the terms of one search in the vocabularies of its tenant.
#[derive(Debug)]
pub(crate) struct Lookup<'a> {
    db: &'a Connection,
    tenant: &'a str,
    terms: &'a [Term],
    /// The last vocabulary that was read, and the bits of its shards with all of the terms.
    last: Option<(i64, u64)>,
}

impl<'a> Lookup<'a> {
    pub(crate) const fn new(db: &'a Connection, tenant: &'a str, terms: &'a [Term]) -> Self {
        Self { db, tenant, terms, last: None }
    }

    /// Returns whether a shard that is in a vocabulary may have all of the terms.
    pub(crate) fn may_match(&mut self, shard: i64) -> rusqlite::Result<bool> {
        let part = part(shard);
        let bits = match self.last {
            Some((last, bits)) if last == part => bits,
            _ => self.read(part)?,
        };
        self.last = Some((part, bits));
        Ok(bits & bit(shard) != 0)
    }

    fn read(&self, part: i64) -> rusqlite::Result<u64> {
        let mut bits = u64::MAX;
        for term in self.terms {
            bits &= self.read_term(part, term)?;
            if bits == 0 {
                break;
            }
        }
        Ok(bits)
    }

    /// Returns the bits of the shards that may have a term.
    fn read_term(&self, part: i64, Term { is_prefix, text }: &Term) -> rusqlite::Result<u64> {
        let (mut found, mut read) = (0, 0);
        let mut statement = self.db.prepare_cached(ROWS)?;
        let mut rows = statement.query(params![self.tenant, part, text])?;
        while let Some(row) = rows.next()? {
            for entry in row::parse(row::text(row, 0)?) {
                let (term, bits) = entry?;
                if term == text || *is_prefix && term.starts_with(text) {
                    found |= bits;
                } else if term > text.as_str() {
                    return Ok(found);
                }
            }
            read += 1;
            if !is_prefix {
                break;
            }
            if read == MAX_ROWS {
                return Ok(u64::MAX);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Instant};

    use throughline_core::backend::search::{Terms, Tokenizer};

    use super::*;
    use crate::search::vocabulary::{
        build,
        tests::{add_shard, empty},
    };

    /// Returns the shards of the tenant `a` from 1 to `last` that may have all of these terms.
    fn found(db: &Connection, last: i64, terms: &[Term]) -> Vec<i64> {
        let mut lookup = Lookup::new(db, "a", terms);
        (1..=last).filter(|shard| lookup.may_match(*shard).unwrap()).collect()
    }

    fn whole(text: &str) -> Term {
        Term { is_prefix: false, text: text.to_owned() }
    }

    fn prefix(text: &str) -> Term {
        Term { is_prefix: true, text: text.to_owned() }
    }

    #[test]
    fn a_shard_may_match_if_it_has_every_term() {
        let db = empty();
        let texts = [
            (1, "water wave"),
            (2, "water"),
            (63, "wave"),
            (64, "water wave"),
            (65, "wave"),
            (66, "watermark"),
        ];
        for (shard, text) in texts {
            add_shard(&db, shard, "a", text, Some(0));
        }
        add_shard(&db, 3, "b", "water wave fire", Some(0));
        while build(&db, Instant::now()).unwrap() {}
        assert_eq!(found(&db, 70, &[whole("water")]), [1, 2, 64]);
        assert_eq!(found(&db, 70, &[whole("water"), whole("wave")]), [1, 64]);
        assert_eq!(found(&db, 70, &[whole("wave"), prefix("wat")]), [1, 64]);
        assert_eq!(found(&db, 70, &[prefix("water")]), [1, 2, 64, 66]);
        assert_eq!(found(&db, 70, &[whole("wat")]), [0; 0]);
        assert_eq!(found(&db, 70, &[whole("fire")]), [0; 0], "another tenant has it");
    }

    #[test]
    fn a_lookup_finds_exactly_the_terms_and_their_prefixes() {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut word = || -> String {
            let length = if random.bool() { 1..4 } else { 190..200 };
            let length = random.usize(length);
            (0..length).map(|_| *random.choice(&['a', 'b', '\u{e9}', '本']).unwrap()).collect()
        };
        let texts: Vec<String> = (0..3).map(|_| (0..30).map(|_| word() + " ").collect()).collect();
        let db = empty();
        for (shard, text) in (1..).zip(&texts) {
            add_shard(&db, shard, "a", text, Some(0));
        }
        while build(&db, Instant::now()).unwrap() {}
        // As the index has them: a long one is cut.
        let texts: Vec<Terms> = texts.iter().map(|text| Terms::of(text, Tokenizer::Words)).collect();
        let mut asked: BTreeSet<String> = (0..200).map(|_| word()).collect();
        for (term, _) in texts.iter().flat_map(Terms::iter) {
            asked.extend(term.char_indices().map(|(at, _)| term[..at].to_owned()));
            asked.extend([term.to_owned(), format!("{term}a")]);
        }
        asked.remove("");
        for text in asked {
            let having = |is_match: &dyn Fn(&str) -> bool| -> Vec<i64> {
                let shards =
                    (1..).zip(&texts).filter(|(_, terms)| terms.iter().any(|(term, _)| is_match(term)));
                shards.map(|(shard, _)| shard).collect()
            };
            assert_eq!(found(&db, 3, &[whole(&text)]), having(&|term| term == text), "{text}");
            assert_eq!(found(&db, 3, &[prefix(&text)]), having(&|term| term.starts_with(&text)), "{text}*");
        }
    }

    #[test]
    fn a_prefix_of_terms_in_many_rows_may_match_in_every_shard() {
        let db = empty();
        for n in 0..=MAX_ROWS {
            let term = format!("w{n:02}");
            let insert =
                "INSERT INTO search_vocabulary (tenant, part, first, terms) VALUES ('a', 0, ?1, ?1 || ' 2')";
            db.execute(insert, [term]).unwrap();
        }
        assert_eq!(found(&db, 2, &[prefix("w")]), [1, 2]);
        assert_eq!(found(&db, 2, &[prefix("w0")]), [1]);
        assert_eq!(found(&db, 2, &[whole("w16")]), [1]);
    }
}
