use std::num::NonZeroU64;

use rusqlite::{CachedStatement, Connection, Row, params};
use throughline_core::backend::search::Term;

use super::{bit, part, row, shards_of};

/// The rows after the first one in which a search looks for the terms with a prefix. A prefix of more terms is in most shards.
const MAX_ROWS: usize = 16;

/// The only row that can have a term. The terms that begin with it come next in that row, and go on in the rows after it.
const COVERING: &str = "SELECT terms FROM search_vocabulary \
    WHERE tenant = ?1 AND part = ?2 AND first <= ?3 ORDER BY first DESC LIMIT 1";

/// The rows after it.
const AFTER: &str =
    "SELECT terms FROM search_vocabulary WHERE tenant = ?1 AND part = ?2 AND first > ?3 ORDER BY first";

/// The shards of a tenant of which a search asks FTS5, whatever the vocabularies have. No shard but the last one of its tenant has `NULL`.
const OUTSIDE: &str = "SELECT shard FROM search_shards INDEXED BY search_shards_without_vocabulary WHERE has_vocabulary <> 1 AND tenant = ?1 UNION \
    SELECT shard FROM (SELECT shard, has_vocabulary FROM search_shards WHERE tenant = ?1 ORDER BY first_pk DESC LIMIT 1) \
    WHERE has_vocabulary IS NULL ORDER BY shard";

/// The last vocabulary of a tenant before a part.
const PART: &str = "SELECT max(part) FROM search_vocabulary WHERE tenant = ?1 AND part < ?2";

/// The shards of a tenant from one to another that are in the vocabulary with all of their terms. Without `NOT INDEXED` SQLite reads all shards of the
/// tenant.
const INSIDE: &str = "SELECT shard FROM search_shards NOT INDEXED WHERE shard BETWEEN ?2 AND ?3 AND tenant = ?1 AND has_vocabulary = 1";

/// The lookup of the terms of one search in the vocabularies of its tenant.
///
/// It reads no row of a shard that has a vocabulary, unless the vocabulary has the terms: a large store has a thousand shards.
pub(crate) struct Lookup<'a> {
    tenant: &'a str,
    terms: &'a [Term],
    parts: CachedStatement<'a>,
    covering: CachedStatement<'a>,
    after: CachedStatement<'a>,
    inside: CachedStatement<'a>,
    /// The shards before [`before`](Self::before) that are in no vocabulary, in order.
    outside: Vec<i64>,
    /// The part that was read last.
    before: i64,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(db: &'a Connection, tenant: &'a str, terms: &'a [Term]) -> rusqlite::Result<Self> {
        debug_assert!(!terms.is_empty(), "a query has a term");
        let outside =
            db.prepare_cached(OUTSIDE)?.query_map([tenant], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(Self {
            tenant,
            terms,
            parts: db.prepare_cached(PART)?,
            covering: db.prepare_cached(COVERING)?,
            after: db.prepare_cached(AFTER)?,
            inside: db.prepare_cached(INSIDE)?,
            outside,
            before: i64::MAX,
        })
    }

    /// Returns the next shards that may have all of the terms, the latest messages first; of one part, and possibly none. `None` after
    /// the last part.
    pub(crate) fn next(&mut self) -> rusqlite::Result<Option<Vec<i64>>> {
        let Some((next, bits)) = self.next_part()? else { return Ok(None) };
        self.before = next;
        let first = self.outside.partition_point(|shard| part(*shard) < next);
        let mut shards = self.outside.split_off(first);
        if let Some(set) = NonZeroU64::new(bits) {
            let (first, last) = shards_of(next, set);
            for shard in self.inside.query_map(params![self.tenant, first, last], |row| row.get(0))? {
                let shard = shard?;
                if bits & bit(shard) != 0 {
                    shards.push(shard);
                }
            }
        }
        shards.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Some(shards))
    }

    /// Returns the last part before [`before`](Self::before) that has a vocabulary or a shard outside of one, and the bits of the shards
    /// that may have all of the terms.
    fn next_part(&mut self) -> rusqlite::Result<Option<(i64, u64)>> {
        // The vocabularies of a tenant that is alone in its store have consecutive numbers, so this finds the next one with one seek.
        let adjacent = self.before - 1;
        if let Some(bits) = self.read(adjacent)? {
            return Ok(Some((adjacent, bits)));
        }
        let params = params![self.tenant, self.before];
        let vocabulary: Option<i64> = self.parts.query_row(params, |row| row.get(0))?;
        let of_outside = self.outside.last().map(|shard| part(*shard));
        let Some(next) = vocabulary.max(of_outside) else { return Ok(None) };
        let is_new = vocabulary == Some(next) && next != adjacent;
        let bits = if is_new { self.read(next)? } else { None };
        Ok(Some((next, bits.unwrap_or(0))))
    }

    /// Returns the bits of the shards that may have all of the terms. `None` if no row can have one of the terms, as in a part
    /// without a vocabulary.
    fn read(&mut self, part: i64) -> rusqlite::Result<Option<u64>> {
        let mut bits = u64::MAX;
        for term in self.terms {
            let Some(found) = self.read_term(part, term)? else { return Ok(None) };
            bits &= found;
            if bits == 0 {
                break;
            }
        }
        Ok(Some(bits))
    }

    /// Returns the bits of the shards that may have a term. `None` if no row can have it.
    fn read_term(&mut self, part: i64, term: &Term) -> rusqlite::Result<Option<u64>> {
        let params = params![self.tenant, part, term.text];
        let mut found = None;
        let mut rows = self.covering.query(params)?;
        if let Some(row) = rows.next()? {
            let has_later = add_bits(row, term, found.insert(0))?;
            if has_later {
                return Ok(found);
            }
        }
        if !term.is_prefix {
            return Ok(found);
        }
        let mut rows = self.after.query(params)?;
        for _ in 0..MAX_ROWS {
            match rows.next()? {
                Some(row) if !add_bits(row, term, found.get_or_insert(0))? => {}
                _ => return Ok(found),
            }
        }
        Ok(Some(u64::MAX))
    }
}

/// Adds the bits of the terms in a row that match a term. Returns whether the row has a term after those.
fn add_bits(row: &Row<'_>, Term { is_prefix, text }: &Term, found: &mut u64) -> rusqlite::Result<bool> {
    for entry in row::parse(row::text(row, 0)?) {
        let (term, written) = entry?;
        if term == text || *is_prefix && term.starts_with(text) {
            *found |= row::bits(written)?;
        } else if term > text.as_str() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, iter, time::Instant};

    use rusqlite::{StatementStatus, ToSql};
    use throughline_core::backend::search::{Terms, Tokenizer};

    use super::*;
    use crate::search::vocabulary::{
        build,
        tests::{add_shard, empty},
    };

    /// Returns the shards of the tenant `a` that may have all of these terms, the first one first.
    fn found(db: &Connection, terms: &[Term]) -> Vec<i64> {
        let mut lookup = Lookup::new(db, "a", terms).unwrap();
        let mut found: Vec<i64> = iter::from_fn(|| lookup.next().unwrap()).flatten().collect();
        assert!(found.is_sorted_by(|later, earlier| later > earlier), "{found:?}");
        found.reverse();
        found
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
        assert_eq!(found(&db, &[whole("water")]), [1, 2, 64]);
        assert_eq!(found(&db, &[whole("water"), whole("wave")]), [1, 64]);
        assert_eq!(found(&db, &[whole("wave"), prefix("wat")]), [1, 64]);
        assert_eq!(found(&db, &[prefix("water")]), [1, 2, 64, 66]);
        assert_eq!(found(&db, &[whole("wat")]), [0; 0]);
        assert_eq!(found(&db, &[whole("fire")]), [0; 0], "another tenant has it");
    }

    #[test]
    fn a_shard_outside_of_the_vocabularies_may_match_and_one_of_another_tenant_does_not() {
        let db = empty();
        // The states: 0 is to be added, 2 is to be removed, and the last one of the tenant is in no vocabulary.
        let states = [(1, Some(1)), (2, Some(0)), (3, Some(2)), (65, Some(1)), (66, Some(0)), (200, None)];
        for (shard, has_vocabulary) in states {
            add_shard(&db, shard, "a", "x", has_vocabulary);
        }
        add_shard(&db, 4, "b", "x", Some(0));
        add_shard(&db, 201, "b", "x", None);
        let insert =
            "INSERT INTO search_vocabulary (tenant, part, first, terms) VALUES ('a', ?1, 'y', 'y ' || ?2)";
        // Bits of shards whose terms are leaving the vocabulary, and of shards that it does not have.
        db.execute(insert, params![0, "ffffffffffffffff"]).unwrap();
        assert_eq!(found(&db, &[whole("x")]), [2, 3, 66, 200]);
        assert_eq!(found(&db, &[whole("y")]), [1, 2, 3, 66, 200]);
        db.execute(insert, params![1, "2"]).unwrap();
        assert_eq!(found(&db, &[whole("y")]), [1, 2, 3, 65, 66, 200]);
        assert_eq!(found(&db, &[whole("z")]), [2, 3, 66, 200]);
        // Another tenant's shard, whose bit is set by damage.
        db.execute("UPDATE search_shards SET has_vocabulary = 1 WHERE shard = 4", []).unwrap();
        assert_eq!(found(&db, &[whole("y")]), [1, 2, 3, 65, 66, 200]);
        // A last shard that is in a vocabulary.
        db.execute("UPDATE search_shards SET has_vocabulary = 1 WHERE shard = 200", []).unwrap();
        assert_eq!(found(&db, &[whole("x")]), [2, 3, 66]);
    }

    #[test]
    fn a_lookup_finds_the_vocabularies_on_both_sides_of_a_gap() {
        let db = empty();
        // In the parts 0, 1, 3, 4, 5 and 7; in the last one no row can have the term. Part 2 belongs to another tenant.
        for (shard, text) in [(1, "m"), (64, "m"), (250, "m"), (256, "m"), (330, "m"), (450, "z")] {
            add_shard(&db, shard, "a", text, Some(0));
        }
        add_shard(&db, 130, "b", "m", Some(0));
        while build(&db, Instant::now()).unwrap() {}
        assert_eq!(found(&db, &[whole("m")]), [1, 64, 250, 256, 330]);
        assert_eq!(found(&db, &[prefix("m")]), [1, 64, 250, 256, 330]);
        assert_eq!(found(&db, &[prefix("z"), whole("z")]), [450]);
        // A shard in the gap that is in no vocabulary.
        add_shard(&db, 131, "a", "m", Some(0));
        assert_eq!(found(&db, &[whole("m")]), [1, 64, 131, 250, 256, 330]);
        assert_eq!(found(&db, &[whole("a")]), [131]);
    }

    #[test]
    fn the_work_of_a_lookup_does_not_grow_with_the_shards_that_lack_the_term() {
        let steps = |shards| {
            let db = empty();
            for shard in 1..=shards {
                add_shard(&db, shard, "a", "x", (shard < shards).then_some(1));
            }
            let read = |sql, parameters: &[&dyn ToSql], expected: i64| {
                let mut statement = db.prepare(sql).unwrap();
                let found = statement.query_map(parameters, |row| row.get(0)).unwrap();
                assert_eq!(found.collect::<Result<Vec<i64>, _>>().unwrap(), [expected]);
                statement.get_status(StatementStatus::VmStep)
            };
            let (first, last) = shards_of(0, NonZeroU64::new(bit(3)).unwrap());
            [read(OUTSIDE, params!["a"], shards), read(INSIDE, params!["a", first, last], 3)]
        };
        assert_eq!(steps(5), steps(60));
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
            assert_eq!(found(&db, &[whole(&text)]), having(&|term| term == text), "{text}");
            assert_eq!(found(&db, &[prefix(&text)]), having(&|term| term.starts_with(&text)), "{text}*");
        }
    }

    #[test]
    fn the_rows_of_another_tenant_do_not_end_the_search_for_a_prefix() {
        let db = empty();
        for shard in [1, 2] {
            add_shard(&db, shard, "a", "x", Some(1));
        }
        let insert = "INSERT INTO search_vocabulary (tenant, part, first, terms) VALUES (?1, 0, ?2, ?3)";
        for (tenant, first, terms) in
            [("a", "wa", "wa 2\nwb 2\n"), ("b", "wc", "wc 1\nx 1\n"), ("a", "wd", "wd 4\n")]
        {
            db.execute(insert, [tenant, first, terms]).unwrap();
        }
        assert_eq!(found(&db, &[prefix("w")]), [1, 2]);
    }

    #[test]
    fn a_prefix_of_terms_in_many_rows_may_match_in_every_shard() {
        let db = empty();
        for shard in [1, 2] {
            add_shard(&db, shard, "a", "x", Some(1));
        }
        let add = |n: usize| {
            let insert =
                "INSERT INTO search_vocabulary (tenant, part, first, terms) VALUES ('a', 0, ?1, ?1 || ' 2')";
            db.execute(insert, [format!("w{n:02}")]).unwrap();
        };
        (0..MAX_ROWS - 1).for_each(add);
        assert_eq!(found(&db, &[prefix("w")]), [1]);
        (MAX_ROWS - 1..=MAX_ROWS).for_each(add);
        assert_eq!(found(&db, &[prefix("w")]), [1, 2]);
        assert_eq!(found(&db, &[prefix("w0")]), [1]);
        assert_eq!(found(&db, &[whole("w16")]), [1]);
    }
}
