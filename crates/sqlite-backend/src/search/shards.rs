//! The shards of the full-text index.
//!
//! A term is prefixed with the number of its shard, and each shard belongs to one tenant. So a query reads only the
//! terms of its tenant, whatever the names of the tenants are. FTS5 processes one shard in one call, which cannot be
//! interrupted. A shard is limited to a number of terms that keeps this call short, and a search checks its bounds
//! between two shards.

use rusqlite::{Connection, OptionalExtension, params};

/// The number of terms in a shard at which the next messages begin another one. The last message of a shard may exceed
/// it.
pub(crate) const MAX_SHARD_TERMS: i64 = 1 << 20;

/// The shard of a message, by its key.
const OF_MESSAGE: &str = "SELECT shard, terms FROM search_shards WHERE tenant = ?1 AND first_pk <= ?2 ORDER BY first_pk DESC LIMIT 1";

/// The last shard of a tenant, which takes the terms of new messages.
const LAST: &str =
    "SELECT shard, terms, first_pk FROM search_shards WHERE tenant = ?1 ORDER BY first_pk DESC LIMIT 1";

/// A shard that has terms in a vocabulary, all or some of them, is to leave it.
const ADD: &str = "UPDATE search_shards SET terms = terms + ?2, \
    has_vocabulary = iif(has_vocabulary = 1 OR has_vocabulary = 0 AND vocabulary_end <> '', 2, has_vocabulary), \
    vocabulary_end = iif(has_vocabulary = 2, vocabulary_end, '') WHERE shard = ?1";

/// A shard that has terms in a vocabulary is deleted once it has left it.
const DELETE_EMPTY: &str =
    "DELETE FROM search_shards WHERE shard = ?1 AND terms <= 0 AND coalesce(has_vocabulary, 0) = 0";

const LEFT_VOCABULARY: &str = "UPDATE search_shards AS s SET vocabulary_end = '', has_vocabulary = iif(EXISTS \
    (SELECT 1 FROM search_shards later WHERE later.tenant = s.tenant AND later.first_pk > s.first_pk), 0, NULL) \
    WHERE s.shard = ?1";

/// Returns the term for a thread, which is the same in all shards. No other term begins with a dot.
pub(crate) fn term_of_thread(thread_pk: i64) -> String {
    format!(".{thread_pk}")
}

/// Returns the prefix of the terms of a shard.
pub(crate) fn prefix(shard: i64) -> String {
    format!("{shard:x}.")
}

/// Adds the number of terms of a message, and returns the shard for them.
pub(super) fn add(db: &Connection, tenant: &str, message_pk: i64, terms: i64) -> rusqlite::Result<i64> {
    add_within(db, tenant, message_pk, terms, MAX_SHARD_TERMS)
}

fn add_within(db: &Connection, tenant: &str, message_pk: i64, terms: i64, max: i64) -> rusqlite::Result<i64> {
    let has_space = |(shard, held): (i64, i64)| (held < max).then_some(shard);
    let own = db
        .prepare_cached(OF_MESSAGE)?
        .query_row(params![tenant, message_pk], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some(shard) = own.and_then(has_space) {
        change(db, shard, terms)?;
        return Ok(shard);
    }
    let last: Option<(i64, i64, i64)> = db
        .prepare_cached(LAST)?
        .query_row([tenant], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    if let Some(shard) = last.and_then(|(shard, held, _)| has_space((shard, held))) {
        change(db, shard, terms)?;
        return Ok(shard);
    }
    if let Some((shard, ..)) = last {
        // It takes no new messages any more, so its terms change seldom. If it was not the last one before, it can be in a vocabulary.
        db.prepare_cached(
            "UPDATE search_shards SET has_vocabulary = 0 WHERE shard = ?1 AND has_vocabulary IS NULL",
        )?
        .execute([shard])?;
    }
    // The first shard also holds all earlier messages.
    let first_pk = last.map_or(0, |(.., first_pk)| message_pk.max(first_pk + 1));
    db.prepare_cached("INSERT INTO search_shards (tenant, first_pk, terms) VALUES (?1, ?2, ?3)")?
        .execute(params![tenant, first_pk, terms])?;
    Ok(db.last_insert_rowid())
}

/// Records that no term of a shard is in a vocabulary any more. Unless it is the last shard of its tenant, the writer adds it again.
pub(super) fn left_vocabulary(db: &Connection, shard: i64) -> rusqlite::Result<()> {
    db.prepare_cached(LEFT_VOCABULARY)?.execute([shard])?;
    db.prepare_cached(DELETE_EMPTY)?.execute([shard]).map(drop)
}

/// Subtracts a number of terms from a shard. A shard without a term is deleted.
pub(super) fn remove(db: &Connection, shard: i64, terms: i64) -> rusqlite::Result<()> {
    change(db, shard, -terms)?;
    db.prepare_cached(DELETE_EMPTY)?.execute([shard]).map(drop)
}

/// Changes the number of terms of a shard. Its terms in a vocabulary are those before.
fn change(db: &Connection, shard: i64, terms: i64) -> rusqlite::Result<()> {
    db.prepare_cached(ADD)?.execute([shard, terms]).map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{open::create_tables, search::vocabulary};

    fn store() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        create_tables(&db).unwrap();
        db
    }

    /// Returns the numbers of the shards of a tenant.
    fn numbers(db: &Connection, tenant: &str) -> Vec<i64> {
        let of_tenant = "SELECT shard FROM search_shards WHERE tenant = ?1 ORDER BY first_pk DESC";
        let mut shards = db.prepare(of_tenant).unwrap();
        shards.query_map([tenant], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn each_tenant_has_its_own_shards_of_bounded_size() {
        let db = store();
        let add = |tenant, message_pk| add_within(&db, tenant, message_pk, 4, 10).unwrap();
        assert_eq!([1, 2, 3].map(|pk| add("a", pk)), [1, 1, 1]);
        assert_eq!([4, 5].map(|pk| add("b", pk)), [2, 2]);
        assert_eq!([6, 7, 8, 9].map(|pk| add("a", pk)), [3, 3, 3, 4]);
        // A message that belongs to a full shard goes to the last one.
        assert_eq!([2, 5].map(|pk| add("a", pk)), [4, 4]);
        assert_eq!([1, 2].map(|pk| add("a", pk)), [5, 5]);
        assert_eq!(numbers(&db, "a"), [5, 4, 3, 1]);
        assert_eq!(numbers(&db, "b"), [2]);
        // Removed terms free space in their shard.
        remove(&db, 1, 4).unwrap();
        assert_eq!(add("a", 3), 1);
    }

    #[test]
    fn the_number_of_an_empty_shard_is_not_reused() {
        let db = store();
        assert_eq!(add(&db, "a", 1, 2).unwrap(), 1);
        remove(&db, 1, 2).unwrap();
        assert_eq!(numbers(&db, "a"), [0; 0]);
        assert_eq!(add(&db, "b", 1, 2).unwrap(), 2);
    }

    /// Builds all vocabularies. Returns the `has_vocabulary` of each shard.
    fn built(db: &Connection) -> Vec<(i64, Option<i64>)> {
        let until = Instant::now() + Duration::from_secs(3600);
        while vocabulary::remove(db, until).unwrap() || vocabulary::build(db, until).unwrap() {}
        let mut shards =
            db.prepare("SELECT shard, has_vocabulary FROM search_shards ORDER BY shard").unwrap();
        let shards = shards.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        shards.map(Result::unwrap).collect()
    }

    #[test]
    fn every_shard_but_the_last_of_its_tenant_has_a_vocabulary() {
        let db = store();
        let add = |tenant, message_pk| add_within(&db, tenant, message_pk, 4, 4).unwrap();
        assert_eq!([("a", 1), ("a", 2), ("b", 3)].map(|(tenant, pk)| add(tenant, pk)), [1, 2, 3]);
        assert_eq!(built(&db), [(1, Some(1)), (2, None), (3, None)]);
        // Without the last shard of the tenant, the one before takes new messages.
        remove(&db, 2, 4).unwrap();
        remove(&db, 1, 1).unwrap();
        assert_eq!(built(&db), [(1, None), (3, None)]);
        assert_eq!([add("a", 4), add("a", 5)], [1, 4]);
        assert_eq!(built(&db), [(1, Some(1)), (3, None), (4, None)]);
    }

    #[test]
    fn a_last_shard_that_is_in_a_vocabulary_stays_in_it_when_it_gets_a_successor() {
        let db = store();
        let add = |message_pk| add_within(&db, "a", message_pk, 4, 4).unwrap();
        assert_eq!([1, 2].map(add), [1, 2]);
        assert_eq!(built(&db), [(1, Some(1)), (2, None)]);
        remove(&db, 2, 4).unwrap();
        assert_eq!(add(3), 3);
        let state = "SELECT has_vocabulary FROM search_shards WHERE shard = 1";
        assert_eq!(db.query_row(state, [], |row| row.get::<_, Option<i64>>(0)).unwrap(), Some(1));
    }

    #[test]
    fn a_shard_leaves_its_vocabulary_after_its_terms_change() {
        let changes: [fn(&Connection); 2] =
            [|db| remove(db, 1, 1).unwrap(), |db| assert_eq!(add_within(db, "a", 1, 1, 5).unwrap(), 1)];
        let states = [("0", "", 0, ""), ("0", "x", 2, ""), ("1", "", 2, ""), ("2", "x", 2, "x")];
        for change in changes {
            for (has_vocabulary, end, has_after, end_after) in states {
                let db = store();
                assert_eq!([1, 2, 3].map(|pk| add_within(&db, "a", pk, 4, 4).unwrap()), [1, 2, 3]);
                let update = format!(
                    "UPDATE search_shards SET has_vocabulary = {has_vocabulary}, vocabulary_end = '{end}' WHERE shard = 1"
                );
                db.execute(&update, []).unwrap();
                change(&db);
                let after = "SELECT has_vocabulary, vocabulary_end FROM search_shards WHERE shard = 1";
                let after: (i64, String) =
                    db.query_row(after, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
                assert_eq!(after, (has_after, end_after.to_owned()), "{has_vocabulary} {end:?}");
            }
        }
    }

    #[test]
    fn an_empty_shard_is_deleted_once_its_terms_left_the_vocabulary() {
        let db = store();
        assert_eq!([1, 2].map(|pk| add_within(&db, "a", pk, 4, 4).unwrap()), [1, 2]);
        db.execute("INSERT INTO search_vocabulary VALUES (1, 'a', 0, 'x', 'x 2' || char(10) || 'y 6')", [])
            .unwrap();
        assert_eq!(built(&db), [(1, Some(1)), (2, None)]);
        remove(&db, 1, 4).unwrap();
        assert_eq!(numbers(&db, "a"), [2, 1]);
        assert_eq!(built(&db), [(2, None)]);
        let left: String = db.query_row("SELECT terms FROM search_vocabulary", [], |row| row.get(0)).unwrap();
        assert_eq!(left, "y 4\n");
    }
}
