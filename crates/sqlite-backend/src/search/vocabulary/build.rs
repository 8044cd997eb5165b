use std::time::Instant;

use rusqlite::{Connection, OptionalExtension, Rows, params};

use super::{bit, part, row::Row};
use crate::search::shards::{left_vocabulary, prefix};

/// A shard that is not in its vocabulary, and the last of its terms that is.
const MISSING: &str =
    "SELECT shard, tenant, vocabulary_end FROM search_shards WHERE has_vocabulary = 0 LIMIT 1";

/// A shard whose terms have changed, and the last term up to which those before were removed.
const CHANGED: &str =
    "SELECT shard, tenant, vocabulary_end FROM search_shards WHERE has_vocabulary = 2 LIMIT 1";

const TERMS: &str = "SELECT term FROM search_terms WHERE term > ?1 AND term < ?2";

/// Adds terms of a shard that is not in its vocabulary yet, until a time. Returns whether there may be more to add.
pub(in crate::search) fn build(db: &Connection, until: Instant) -> rusqlite::Result<bool> {
    let Some((shard, tenant, end)) = find(db, MISSING)? else { return Ok(false) };
    let prefix = prefix(shard);
    let mut terms = db.prepare_cached(TERMS)?;
    // A slash comes after the dot that ends the prefix.
    let mut terms = terms.query([format!("{prefix}{end}"), format!("{shard:x}/")])?;
    let mut next = next_term(&mut terms, &prefix)?;
    while let Some(first) = next {
        let (mut row, limit) = Row::covering(db, &tenant, part(shard), &first)?;
        let mut end = first;
        loop {
            row.add(&end, bit(shard));
            next = next_term(&mut terms, &prefix)?;
            match &next {
                Some(term) if !row.is_long() && limit.as_ref().is_none_or(|limit| term < limit) => {
                    end.clone_from(term);
                }
                _ => break,
            }
        }
        row.write(db, &tenant, part(shard))?;
        if next.is_some() && Instant::now() >= until {
            set_end(db, shard, &end)?;
            return Ok(true);
        }
    }
    db.prepare_cached("UPDATE search_shards SET has_vocabulary = 1, vocabulary_end = '' WHERE shard = ?1")?
        .execute([shard])?;
    Ok(true)
}

/// Returns the next term, without the prefix of its shard.
fn next_term(terms: &mut Rows<'_>, prefix: &str) -> rusqlite::Result<Option<String>> {
    let Some(row) = terms.next()? else { return Ok(None) };
    Ok(row.get_ref(0)?.as_str()?.strip_prefix(prefix).map(str::to_owned))
}

/// Removes the terms of a shard whose terms have changed from its vocabulary, until a time. Returns whether there may be more to remove.
pub(in crate::search) fn remove(db: &Connection, until: Instant) -> rusqlite::Result<bool> {
    let Some((shard, tenant, mut end)) = find(db, CHANGED)? else { return Ok(false) };
    while let Some(mut row) = Row::after(db, &tenant, part(shard), &end)? {
        row.last().clone_into(&mut end);
        if row.remove(bit(shard)) {
            row.write(db, &tenant, part(shard))?;
        }
        if Instant::now() >= until {
            set_end(db, shard, &end)?;
            return Ok(true);
        }
    }
    left_vocabulary(db, shard)?;
    Ok(true)
}

/// Returns a shard, its tenant and the last term that was added or removed.
fn find(db: &Connection, sql: &str) -> rusqlite::Result<Option<(i64, String, String)>> {
    db.prepare_cached(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()
}

fn set_end(db: &Connection, shard: i64, end: &str) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE search_shards SET vocabulary_end = ?2 WHERE shard = ?1")?
        .execute(params![shard, end])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, BTreeSet},
        time::Duration,
    };

    use super::*;
    use crate::search::{
        state,
        step::Step,
        vocabulary::{
            row,
            tests::{add_shard, empty},
        },
    };

    /// Returns the terms in the vocabularies of a tenant, with the shards that have them.
    fn vocabulary(db: &Connection, tenant: &str) -> BTreeMap<String, Vec<i64>> {
        let mut rows = db.prepare("SELECT part, terms FROM search_vocabulary WHERE tenant = ?1").unwrap();
        let rows =
            rows.query_map([tenant], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))).unwrap();
        let mut vocabulary = BTreeMap::<String, Vec<i64>>::new();
        for (part, terms) in rows.map(Result::unwrap) {
            for (term, written) in row::parse(&terms).map(Result::unwrap) {
                let bits = row::bits(written).unwrap();
                let shards = (0..64).filter(|bit| bits & (1 << bit) != 0).map(|bit| part * 64 + bit);
                vocabulary.entry(term.to_owned()).or_default().extend(shards);
            }
        }
        vocabulary
    }

    fn build_all(db: &Connection) {
        while build(db, Instant::now() + Duration::from_secs(3600)).unwrap() {}
    }

    /// Removes a shard whose terms have changed, a row in each step.
    fn remove_all(db: &Connection, shard: i64) {
        let update = "UPDATE search_shards SET has_vocabulary = 2, terms = 0 WHERE shard = ?1";
        assert_eq!(db.execute(update, [shard]).unwrap(), 1);
        while remove(db, Instant::now()).unwrap() {}
        let left = "SELECT count(*) FROM search_shards WHERE shard = ?1";
        assert_eq!(db.query_row(left, [shard], |row| row.get::<_, i64>(0)).unwrap(), 0);
    }

    fn progress(db: &Connection, shard: i64) -> (Option<bool>, String) {
        let sql = "SELECT has_vocabulary, vocabulary_end FROM search_shards WHERE shard = ?1";
        db.query_row(sql, [shard], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    #[test]
    fn a_shard_is_added_when_the_index_has_all_changes() {
        let db = empty();
        db.execute_batch(
            "UPDATE search_state SET complete = 1; INSERT INTO search_replaced VALUES (9, 'sea')",
        )
        .unwrap();
        add_shard(&db, 1, "a", "wave", Some(0));
        add_shard(&db, 2, "a", "last", None);
        let step = Step::take(&db, true, None).unwrap();
        assert!(step.more && !step.lacks_vocabularies);
        assert_eq!((vocabulary(&db, "a"), progress(&db, 1).0), (BTreeMap::new(), Some(false)));
        while Step::take(&db, true, None).unwrap().lacks_vocabularies {}
        assert_eq!(vocabulary(&db, "a"), BTreeMap::from([("wave".to_owned(), vec![1])]));
    }

    #[test]
    fn a_vocabulary_has_the_terms_of_the_shards_of_its_tenant_only() {
        let db = empty();
        for (shard, tenant, text, has) in [
            (1, "a", "wave sea 日本", Some(0)),
            (2, "b", "wave lake", Some(0)),
            (63, "a", "wave", Some(0)),
            (64, "a", "wave sea", Some(0)),
            (65, "a", "last", None),
        ] {
            add_shard(&db, shard, tenant, text, has);
        }
        build_all(&db);
        let expected = [("sea", vec![1, 64]), ("wave", vec![1, 63, 64]), ("日本", vec![1])];
        assert_eq!(vocabulary(&db, "a"), expected.map(|(term, shards)| (term.to_owned(), shards)).into());
        let expected = [("lake", vec![2]), ("wave", vec![2])];
        assert_eq!(vocabulary(&db, "b"), expected.map(|(term, shards)| (term.to_owned(), shards)).into());
        assert_eq!([1, 65].map(|shard| progress(&db, shard).0), [Some(true), None]);
    }

    #[test]
    fn an_index_that_is_built_again_begins_without_vocabularies() {
        let db = empty();
        add_shard(&db, 1, "a", "wave", Some(0));
        build_all(&db);
        assert_eq!(vocabulary(&db, "a").len(), 1);
        state::clear(&db, None).unwrap();
        assert_eq!(vocabulary(&db, "a"), BTreeMap::new());
    }

    #[test]
    fn a_step_ends_after_its_time_and_the_next_one_continues() {
        let db = empty();
        let terms: Vec<String> = (0..5000).map(|n| format!("w{n:04}")).collect();
        add_shard(&db, 1, "a", &terms.join(" "), Some(0));
        let mut ends = Vec::new();
        while build(&db, Instant::now()).unwrap() {
            let (is_complete, end) = progress(&db, 1);
            let built = vocabulary(&db, "a");
            assert_eq!(is_complete == Some(true), built.len() == terms.len());
            assert_eq!(is_complete == Some(true), end.is_empty());
            if !end.is_empty() {
                assert_eq!(built.last_key_value().map(|(term, _)| term), Some(&end));
                ends.push(end);
            }
        }
        assert!(ends.len() >= 2, "{ends:?}");
        assert!(vocabulary(&db, "a").keys().eq(&terms));
    }

    #[test]
    fn shards_are_added_and_removed_in_any_order() {
        let seed = fastrand::u64(..);
        eprintln!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let db = empty();
        let mut expected = BTreeMap::<String, BTreeSet<i64>>::new();
        let mut texts = BTreeMap::<i64, Vec<String>>::new();
        for _ in 0..40 {
            let shard = random.i64(1..130);
            if texts.remove(&shard).is_some() {
                remove_all(&db, shard);
                expected.retain(|_, shards| {
                    shards.remove(&shard);
                    !shards.is_empty()
                });
                continue;
            }
            let words =
                (0..random.usize(1..600)).map(|_| format!("w{}", random.u32(..1000))).collect::<Vec<_>>();
            db.execute_batch("INSERT INTO search (search) VALUES ('delete-all')").unwrap();
            add_shard(&db, shard, "a", &words.join(" "), Some(0));
            while build(&db, Instant::now()).unwrap() {}
            for word in &words {
                expected.entry(word.clone()).or_default().insert(shard);
            }
            texts.insert(shard, words);
            let built =
                vocabulary(&db, "a").into_iter().map(|(term, shards)| (term, shards.into_iter().collect()));
            assert_eq!(built.collect::<BTreeMap<_, _>>(), expected);
        }
        for shard in texts.into_keys() {
            remove_all(&db, shard);
        }
        let rows: i64 = db.query_row("SELECT count(*) FROM search_vocabulary", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0);
    }
}
