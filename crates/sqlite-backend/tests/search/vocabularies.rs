//! The vocabularies of the full-text index.

use std::{collections::BTreeMap, path::Path, time::Duration};

use throughline_core::{Content, Persistence, Position, search::SearchMessages};

use crate::{add, id, ids, open, search};

/// The state of a shard, its terms in its vocabulary, and those in the index.
type Shard = (Option<i64>, Vec<String>, Vec<String>);

/// Returns the shards.
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
    let of_shard = |(shard, state): (i64, Option<i64>)| {
        let rows = read(rows, shard).concat();
        let terms = rows.lines().map(|line| line.split_once(' ').unwrap());
        let own = terms.filter(|(_, bits)| u64::from_str_radix(bits, 16).unwrap() >> (shard % 64) & 1 == 1);
        (state, own.map(|(term, _)| term.to_owned()).collect(), read(indexed, shard))
    };
    states.map(Result::unwrap).map(of_shard).collect()
}

/// Waits until all vocabularies are built. Returns the terms of each shard in them.
pub(crate) async fn built(path: &Path) -> Vec<String> {
    let mut file = rusqlite::Connection::open(path).unwrap();
    loop {
        let shards = shards(&file.transaction().unwrap());
        if shards.iter().all(|(state, ..)| matches!(state, None | Some(1))) {
            for (state, terms, indexed) in &shards {
                assert_eq!(terms, if state.is_some() { indexed } else { &[][..] });
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

/// The texts of the messages of each tenant, by their ids.
type Model = [BTreeMap<String, String>; 3];

fn of_tenant(db: &Persistence, tenant: usize) -> Persistence {
    db.for_tenant(format!("tenant-{tenant}").parse().unwrap())
}

fn words(random: &mut fastrand::Rng) -> String {
    (0..random.usize(1..12)).map(|_| format!("{}{} ", random.char('a'..='c'), random.u32(..40))).collect()
}

/// Changes some messages. Returns the position of the last change.
async fn change(db: &Persistence, model: &mut Model, next: &mut u32, random: &mut fastrand::Rng) -> Position {
    let mut last = Position::ZERO;
    for _ in 0..random.usize(1..20) {
        let tenant = random.usize(..model.len());
        let (db, texts) = (of_tenant(db, tenant), &mut model[tenant]);
        let there = random.usize(..=texts.len());
        let changed = texts.keys().nth(there).cloned();
        let position = match (random.u8(..30), changed) {
            (0..8, Some(message)) => {
                texts.remove(&message);
                db.thread("t").delete(id(&message)).reply().await.unwrap().receipt.position
            }
            (8..14, Some(message)) => {
                let text = words(random);
                let edit = db.thread("t").edit(id(&message), Content::text(&text));
                let position = edit.reply().await.unwrap().receipt.position;
                texts.insert(message, text);
                position
            }
            (14, Some(_)) => {
                texts.clear();
                db.thread("t").clear().await.unwrap();
                // It has a position.
                *next += 1;
                Some(add(&db, "u", &format!("m{next}"), "-").await)
            }
            _ => {
                *next += 1;
                let (message, text) = (format!("m{next}"), words(random));
                let position = add(&db, "t", &message, &text).await;
                texts.insert(message, text);
                Some(position)
            }
        };
        last = last.max(position.unwrap_or(last));
    }
    last
}

/// Searches for words and prefixes of words, and compares the hits with the texts.
async fn compare(db: &Persistence, model: &Model, last: Position, random: &mut fastrand::Rng) {
    for _ in 0..40 {
        let mut asked = [(); 2].map(|()| format!("{}{}", random.char('a'..='c'), random.u32(..44))).to_vec();
        asked.truncate(random.usize(1..=2));
        if random.bool() {
            asked[0].truncate(2);
            asked[0].push('*');
        }
        let tenant = random.usize(..model.len());
        let has = |text: &str, asked: &str| match asked.strip_suffix('*') {
            Some(prefix) => text.split(' ').any(|word| word.starts_with(prefix)),
            None => text.split(' ').any(|word| word == asked),
        };
        let texts = model[tenant].iter().filter(|(_, text)| asked.iter().all(|asked| has(text, asked)));
        let expected: Vec<&str> = texts.map(|(message, _)| message.as_str()).collect();
        let query = SearchMessages::new(asked.join(" "), 1000);
        let found = search(&of_tenant(db, tenant), query, last).await;
        let mut hits: Vec<&str> = found.hits.iter().map(|hit| hit.id.as_str()).collect();
        hits.sort_unstable();
        assert_eq!(hits, expected, "{asked:?} of tenant {tenant}");
    }
}

#[tokio::test]
async fn a_search_with_vocabularies_finds_the_messages_that_have_the_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let seed = std::env::var("SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut model, mut next) = (Model::default(), 0);
    let mut db = open(&path, true).await;
    let mut vocabularies = 0;
    for _ in 0..40 {
        let last = change(&db, &mut model, &mut next, &mut random).await;
        compare(&db, &model, last, &mut random).await;
        match random.u8(..6) {
            0 | 1 => fill_shard(&path),
            2 | 3 => {
                let built = built(&path).await;
                vocabularies = vocabularies.max(built.iter().filter(|terms| !terms.is_empty()).count());
                compare(&db, &model, last, &mut random).await;
            }
            4 => {
                // A store without an index removes what leaves the index of another one.
                db.close().await.unwrap();
                db = open(&path, false).await;
                change(&db, &mut model, &mut next, &mut random).await;
                db.close().await.unwrap();
                db = open(&path, true).await;
            }
            _ => {}
        }
    }
    assert!(vocabularies > 1, "several shards are in vocabularies");
    for (tenant, texts) in model.iter().enumerate() {
        if !texts.is_empty() {
            of_tenant(&db, tenant).thread("t").clear().await.unwrap();
        }
    }
    let last = add(&db, "t", "last", "the end").await;
    assert_eq!(ids(&db, "end", last).await, ["last"]);
    db.close().await.unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    let rows = file.query_row("SELECT count(*) FROM search_vocabulary", [], |row| row.get::<_, i64>(0));
    assert_eq!(rows.unwrap(), 0);
}

#[tokio::test]
async fn a_damaged_vocabulary_is_built_again_with_the_index() {
    for damage in ["terms = CAST(x'ff20310a' AS TEXT)", "terms = 'wave'", "first = CAST(x'ff' AS TEXT)"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let db = open(&path, true).await;
        add(&db, "t", "a", "a haystackneedle").await;
        let last = add(&db, "t", "b", "a needle").await;
        assert_eq!(ids(&db, "needle", last).await, ["b"]);
        fill_shard(&path);
        let last = add(&db, "t", "c", "a later needle").await;
        assert_eq!(ids(&db, "needle", last).await, ["b", "c"]);
        built(&path).await;
        db.close().await.unwrap();
        let file = rusqlite::Connection::open(&path).unwrap();
        assert_eq!(file.execute(&format!("UPDATE search_vocabulary SET {damage}"), []).unwrap(), 1);
        drop(file);
        let db = open(&path, true).await;
        let last = db.thread("t").delete(id("a")).reply().await.unwrap().receipt.position.unwrap();
        // Until the index is rebuilt, a search reports the damage.
        while db.search(SearchMessages::new("needle", 1)).await.map_or(true, |found| found.indexed < last) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(ids(&db, "needle", last).await, ["b", "c"], "{damage}");
        assert_eq!(ids(&db, "haystackneedle", last).await, [""; 0]);
        db.close().await.unwrap();
    }
}
