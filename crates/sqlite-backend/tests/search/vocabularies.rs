//! The vocabularies of the full-text index.

use std::{path::Path, time::Duration};

use throughline_core::Content;

use crate::{add, id, ids, open};

/// The terms of a shard in its vocabulary, and in the index.
type Shard = (Option<bool>, Vec<String>, Vec<String>);

/// Returns the terms of each shard, and whether the vocabulary is to have all of them.
fn shards(file: &rusqlite::Connection) -> Vec<Shard> {
    let read = |sql: &str, shard: i64| -> Vec<String> {
        let mut terms = file.prepare(sql).unwrap();
        let terms = terms.query_map([shard], |row| row.get::<_, String>(0)).unwrap();
        terms.map(Result::unwrap).collect()
    };
    let rows = "SELECT v.terms FROM search_vocabulary v JOIN search_shards s ON s.tenant = v.tenant AND s.shard / 64 = v.part \
        WHERE s.shard = ?1 ORDER BY v.first";
    let indexed = "SELECT substr(term, length(printf('%x.', ?1)) + 1) FROM search_terms \
        WHERE term BETWEEN printf('%x.', ?1) AND printf('%x/', ?1) ORDER BY term";
    let mut states = file.prepare("SELECT shard, has_vocabulary FROM search_shards ORDER BY shard").unwrap();
    let states = states.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?))).unwrap();
    let of_shard = |(shard, is_complete): (i64, Option<bool>)| {
        let rows = read(rows, shard).concat();
        let terms = rows.lines().map(|line| line.split_once(' ').unwrap());
        let own = terms.filter(|(_, bits)| u64::from_str_radix(bits, 16).unwrap() >> (shard % 64) & 1 == 1);
        (is_complete, own.map(|(term, _)| term.to_owned()).collect(), read(indexed, shard))
    };
    states.map(Result::unwrap).map(of_shard).collect()
}

/// Waits until all vocabularies are built. Returns the terms of each shard in them.
pub(crate) async fn built(path: &Path) -> Vec<String> {
    let mut file = rusqlite::Connection::open(path).unwrap();
    loop {
        let shards = shards(&file.transaction().unwrap());
        if shards.iter().all(|(is_complete, ..)| *is_complete != Some(false)) {
            for (is_complete, terms, indexed) in &shards {
                assert_eq!(terms, if is_complete.is_some() { indexed } else { &[][..] });
            }
            return shards.into_iter().map(|(_, terms, _)| terms.join(" ")).collect();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Makes the last shard full.
pub(crate) fn fill_shard(path: &Path) {
    let file = rusqlite::Connection::open(path).unwrap();
    file.busy_timeout(Duration::from_secs(60)).unwrap();
    file.execute("UPDATE search_shards SET terms = 1 << 20 WHERE has_vocabulary IS NULL", []).unwrap();
}

#[tokio::test]
async fn a_vocabulary_has_the_terms_of_its_shard_after_each_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let db = open(&path, true).await;
    add(&db, "t", "a", "an unmistakable haystackneedle").await;
    let last = add(&db, "t", "b", "an unmistakable needle").await;
    assert_eq!(ids(&db, "unmistakable", last).await, ["a", "b"]);
    assert_eq!(built(&path).await, [""]);
    fill_shard(&path);
    let last = add(&db, "t", "c", "a later needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["b", "c"]);
    assert_eq!(built(&path).await, ["an haystackneedle needle unmistakable", ""]);
    assert_eq!(ids(&db, "haystackneedle", last).await, ["a"]);
    assert_eq!(ids(&db, "hay* unmistakable", last).await, ["a"]);

    db.thread("t").edit(id("a"), Content::text("an earlier thimble")).await.unwrap();
    let last = db.thread("t").delete(id("b")).reply().await.unwrap().receipt.position.unwrap();
    assert_eq!(ids(&db, "thimble", last).await, ["a"]);
    assert_eq!(ids(&db, "unmistakable", last).await, [""; 0]);
    assert_eq!(built(&path).await, ["an earlier thimble", ""]);
    assert_eq!(ids(&db, "thimble", last).await, ["a"]);
    db.close().await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for word in [&b"haystackneedle"[..], b"unmistakable"] {
        assert!(!bytes.windows(word.len()).any(|window| window == word));
    }
}
