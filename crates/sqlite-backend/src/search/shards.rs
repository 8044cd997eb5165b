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

/// The shards of a tenant, the latest messages first.
const OF_TENANT: &str =
    "SELECT shard, terms, first_pk FROM search_shards WHERE tenant = ?1 ORDER BY first_pk DESC";

const ADD: &str = "UPDATE search_shards SET terms = terms + ?2 WHERE shard = ?1";

/// Returns the term for a thread, which is the same in all shards. No other term begins with a dot.
pub(crate) fn term_of_thread(thread_pk: i64) -> String {
    format!(".{thread_pk}")
}

/// Returns the prefix of the terms of a shard.
pub(crate) fn prefix(shard: i64) -> String {
    format!("{shard:x}.")
}

/// Returns the shards of a tenant, the latest messages first.
pub(crate) fn of_tenant(db: &Connection, tenant: &str) -> rusqlite::Result<Vec<i64>> {
    db.prepare_cached(OF_TENANT)?.query_map([tenant], |row| row.get(0))?.collect()
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
        db.prepare_cached(ADD)?.execute([shard, terms])?;
        return Ok(shard);
    }
    let last: Option<(i64, i64, i64)> = db
        .prepare_cached(OF_TENANT)?
        .query_row([tenant], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    if let Some(shard) = last.and_then(|(shard, held, _)| has_space((shard, held))) {
        db.prepare_cached(ADD)?.execute([shard, terms])?;
        return Ok(shard);
    }
    // The first shard also holds all earlier messages.
    let first_pk = last.map_or(0, |(.., first_pk)| message_pk.max(first_pk + 1));
    db.prepare_cached("INSERT INTO search_shards (tenant, first_pk, terms) VALUES (?1, ?2, ?3)")?
        .execute(params![tenant, first_pk, terms])?;
    Ok(db.last_insert_rowid())
}

/// Subtracts a number of terms from a shard. A shard without a term is deleted.
pub(super) fn remove(db: &Connection, shard: i64, terms: i64) -> rusqlite::Result<()> {
    db.prepare_cached(ADD)?.execute([shard, -terms])?;
    db.prepare_cached("DELETE FROM search_shards WHERE shard = ?1 AND terms <= 0")?.execute([shard]).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::create_tables;

    fn store() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        create_tables(&db).unwrap();
        db
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
        assert_eq!(of_tenant(&db, "a").unwrap(), [5, 4, 3, 1]);
        assert_eq!(of_tenant(&db, "b").unwrap(), [2]);
        // Removed terms free space in their shard.
        remove(&db, 1, 4).unwrap();
        assert_eq!(add("a", 3), 1);
    }

    #[test]
    fn the_number_of_an_empty_shard_is_not_reused() {
        let db = store();
        assert_eq!(add(&db, "a", 1, 2).unwrap(), 1);
        remove(&db, 1, 2).unwrap();
        assert_eq!(of_tenant(&db, "a").unwrap(), [0; 0]);
        assert_eq!(add(&db, "b", 1, 2).unwrap(), 2);
    }
}
