//! The vocabularies of the full-text index: which shards have a term.
//!
//! A search looks its terms up in a vocabulary before it asks FTS5 for each shard, which takes many times as long. Each shard
//! but the last one of its tenant is in a vocabulary. The writer [adds](build()) it while the index has nothing else to do. After a change
//! of the terms of a shard, searches ask FTS5 for it again, until the writer has [removed](remove()) its terms and added them again. All of that
//! happens in short steps.
//!
//! A vocabulary has up to 64 shards of one tenant, so most of its terms are in many of them: it takes a fraction of the space of
//! a list of terms for each shard, and one lookup answers for all of them.

mod build;
mod lookup;
mod row;

use std::num::NonZeroU64;

pub(super) use self::build::{build, remove};
pub(crate) use self::lookup::Lookup;

/// The number of shards in a vocabulary: the bits of a number.
const SHARDS: i64 = u64::BITS as i64;

/// Returns the vocabulary of a shard among those of its tenant.
const fn part(shard: i64) -> i64 {
    shard.div_euclid(SHARDS)
}

/// Returns the first and the last of the shards with these bits in a vocabulary.
fn shards_of(part: i64, bits: NonZeroU64) -> (i64, i64) {
    let first = part * SHARDS;
    (first + i64::from(bits.trailing_zeros()), first + i64::from(bits.ilog2()))
}

/// Returns the bit of a shard in its vocabulary.
const fn bit(shard: i64) -> u64 {
    1 << shard.rem_euclid(SHARDS)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use rusqlite::{Connection, params};
    use throughline_core::backend::search::{Terms, Tokenizer};

    use super::shards_of;
    use crate::{open::create_tables, search::IndexedTerms};

    #[test]
    fn the_shards_of_a_vocabulary_are_those_between_its_first_and_its_last_bit() {
        for (part, bits, expected) in
            [(0, 1, (0, 0)), (0, u64::MAX, (0, 63)), (2, 0b10_0100, (130, 133)), (2, 1 << 63, (191, 191))]
        {
            assert_eq!(shards_of(part, NonZeroU64::new(bits).unwrap()), expected, "{bits:b}");
        }
    }

    pub(super) fn empty() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        create_tables(&db).unwrap();
        db
    }

    /// Adds a shard of one message to the index.
    pub(super) fn add_shard(
        db: &Connection,
        shard: i64,
        tenant: &str,
        text: &str,
        has_vocabulary: Option<i64>,
    ) {
        IndexedTerms::new(&Terms::of(text, Tokenizer::Words), shard, 1).add(db, shard).unwrap();
        db.execute(
            "INSERT INTO search_shards (shard, tenant, first_pk, terms, has_vocabulary) VALUES (?1, ?2, ?1, 1, ?3)",
            params![shard, tenant, has_vocabulary],
        )
        .unwrap();
    }
}
