//! Full-text search.

mod versions;
mod vocabularies;

use std::{path::Path, time::Duration};

use throughline_core::{
    Content, ErrorKind, MessageId, NewMessage, Persistence, Position, Role,
    backend::search::Tokenizer,
    search::{SearchHits, SearchMessages},
};
use throughline_sqlite::{SqliteBackend, SqliteOptions};
use vocabularies::{built, fill_shard};

async fn open(path: &Path, keeps: bool) -> Persistence {
    let backend = SqliteOptions::new().search(keeps).open(path).await.unwrap();
    Persistence::builder().backend(backend).build().unwrap()
}

/// Searches until the index holds everything up to a position.
async fn search(db: &Persistence, query: SearchMessages, at_least: Position) -> SearchHits {
    loop {
        let found = db.search(query.clone()).await.unwrap();
        if found.indexed >= at_least {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn ids(db: &Persistence, query: &str, at_least: Position) -> Vec<String> {
    let found = search(db, SearchMessages::new(query, 10), at_least).await;
    let mut ids: Vec<String> = found.hits.iter().map(|hit| hit.id.to_string()).collect();
    ids.sort();
    ids
}

fn user(id: &str, text: &str) -> NewMessage {
    NewMessage::user(text).with_id(id.parse().unwrap())
}

async fn add(db: &Persistence, thread: &str, id: &str, text: &str) -> Position {
    db.thread(thread).add(user(id, text)).reply().await.unwrap().receipt.position.unwrap()
}

fn id(text: &str) -> MessageId {
    text.parse().unwrap()
}

#[tokio::test]
async fn existing_text_is_found_and_removed_text_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("store.db"), true).await;
    add(&db, "t", "a", "the train to Lisbon leaves at nine").await;
    add(&db, "t", "b", "Lisbon has seven hills").await;
    let last = add(&db, "u", "c", "a train of thought").await;
    assert_eq!(ids(&db, "lisbon", last).await, ["a", "b"]);
    assert_eq!(ids(&db, "TRAIN lis*", last).await, ["a"]);
    assert_eq!(ids(&db, "lis", last).await, [""; 0]);
    let in_thread = SearchMessages::new("train", 10).in_thread("u".parse().unwrap());
    let found = search(&db, in_thread, last).await;
    let [hit] = &found.hits[..] else { panic!("{found:?}") };
    assert_eq!((hit.id.as_str(), hit.seq.get(), hit.role), ("c", 1, Role::User));
    assert_eq!((hit.snippet.as_str(), &hit.marks[..]), ("a train of thought", &[(2, 7)][..]));
    let other = db.for_tenant("other".parse().unwrap());
    assert!(other.search(SearchMessages::new("train", 10)).await.unwrap().hits.is_empty());

    db.thread("t").edit(id("a"), Content::text("the bus to Porto")).await.unwrap();
    let last = db.thread("t").delete(id("b")).reply().await.unwrap().receipt.position.unwrap();
    assert_eq!(ids(&db, "lisbon", last).await, [""; 0]);
    assert_eq!(ids(&db, "porto", last).await, ["a"]);
    db.thread("u").clear().await.unwrap();
    let last = add(&db, "u", "d", "another train").await;
    assert_eq!(ids(&db, "train", last).await, ["d"]);
    db.thread("u").delete_thread().await.unwrap();
    let last = add(&db, "v", "e", "no more").await;
    assert_eq!(ids(&db, "train", last).await, [""; 0]);
    db.close().await.unwrap();
}

#[tokio::test]
async fn an_open_message_is_found_once_it_is_complete() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("store.db"), true).await;
    let mut draft = db.thread("t").reserve(Role::Assistant).await.unwrap();
    draft.append("half a nee").await.unwrap();
    draft.append("dle").await.unwrap();
    let last = add(&db, "t", "a", "something else").await;
    assert_eq!(ids(&db, "needle", last).await, [""; 0]);
    let message = draft.finish().await.unwrap();
    let last = add(&db, "t", "b", "something else").await;
    assert_eq!(ids(&db, "needle", last).await, [message.id.to_string()]);
    db.close().await.unwrap();
}

#[tokio::test]
async fn an_index_is_built_from_existing_messages_and_cleaned_up_by_a_store_without_search() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let db = open(&path, false).await;
    for n in 0..700 {
        add(&db, "t", &format!("m{n}"), "a word like any other").await;
    }
    let last = add(&db, "t", "needle", "a needle").await;
    let error = db.search(SearchMessages::new("needle", 10)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.detail(), "a search of a store that was opened without `search(true)` is not supported");
    db.close().await.unwrap();

    let db = open(&path, true).await;
    assert_eq!(ids(&db, "needle", last).await, ["needle"]);
    assert_eq!(ids(&db, "word", last).await.len(), 10);
    db.close().await.unwrap();

    let db = open(&path, false).await;
    db.thread("t").delete(id("needle")).await.unwrap();
    let last = add(&db, "t", "later", "a later word").await;
    // Its terms are removed, although this store cannot search for them.
    let words = || {
        let file = rusqlite::Connection::open(&path).unwrap();
        let count = "SELECT count(*) FROM search WHERE search MATCH '\"1.needle\"'";
        file.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    while words() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    db.close().await.unwrap();

    let db = open(&path, true).await;
    assert_eq!(ids(&db, "later", last).await, ["later"]);
    let backend = SqliteBackend::open(&path).await.unwrap();
    let verified = backend.maintenance().verify().await.unwrap();
    assert!(verified.is_sound(), "{:?}", verified.damaged);
    db.close().await.unwrap();
}

#[tokio::test]
async fn an_index_is_rebuilt_when_its_changes_are_no_longer_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let db = open(&path, true).await;
    let last = add(&db, "t", "first", "a needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["first"]);
    db.close().await.unwrap();
    // Another host, without an index of its own, and with few changes.
    let backend = SqliteOptions::new().changes_kept(10).open(&path).await.unwrap();
    let other = Persistence::builder().backend(backend).build().unwrap();
    for n in 0..300 {
        add(&other, "t", &format!("m{n}"), "another needle").await;
    }
    other.thread("t").delete(id("m7")).await.unwrap();
    let last = add(&other, "t", "last", "another needle").await;
    other.close().await.unwrap();
    let db = open(&path, true).await;
    let found = search(&db, SearchMessages::new("needle", 1000), last).await;
    assert_eq!(found.hits.len(), 301);
    assert!(found.hits.iter().all(|hit| hit.id.as_str() != "m7"));
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_damaged_index_is_rebuilt_and_fails_no_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let db = open(&path, true).await;
    for n in 0..300 {
        add(&db, "t", &format!("m{n}"), &format!("a needle of its own, number{n}")).await;
    }
    let last = add(&db, "t", "last", "a needle").await;
    assert_eq!(ids(&db, "number7", last).await, ["m7"]);
    db.close().await.unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    // FTS5's data of the terms; the first rows describe the rest.
    file.execute("UPDATE search_data SET block = ?1 WHERE id > 10", [vec![0xff_u8; 100]]).unwrap();
    drop(file);
    let backend = SqliteOptions::new().search(true).open(&path).await.unwrap();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    db.thread("t").delete(id("m7")).await.unwrap();
    for n in 0..20 {
        add(&db, "t", &format!("later{n}"), "a later needle").await;
    }
    let last = add(&db, "t", "end", "the last needle").await;
    // Until the index is rebuilt, a search reports the damage.
    while let Err(error) = db.search(SearchMessages::new("number8", 10)).await {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(ids(&db, "number8", last).await, ["m8"]);
    assert_eq!(ids(&db, "number7", last).await, [""; 0]);
    let health = maintenance.health();
    assert_eq!((health.condition, health.failures), (throughline_sqlite::Condition::Writable, 0));
    db.close().await.unwrap();
}

#[tokio::test]
async fn many_messages_removed_at_once_are_removed_from_the_index() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("store.db"), true).await;
    for n in 0..600 {
        add(&db, "t", &format!("m{n}"), "a needle").await;
    }
    db.thread("t").clear().await.unwrap();
    let last = add(&db, "u", "after", "another needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["after"]);
    db.close().await.unwrap();
}

#[tokio::test]
async fn text_deleted_before_close_is_not_left_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let db = open(&path, true).await;
    let last = add(&db, "t", "a", "an unmistakable haystackneedle").await;
    assert_eq!(ids(&db, "haystackneedle", last).await, ["a"]);
    db.thread("t").delete(id("a")).await.unwrap();
    db.close().await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let word = b"haystackneedle";
    assert!(!bytes.windows(word.len()).any(|window| window == word));
}

#[tokio::test]
async fn words_with_combining_or_special_characters_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("store.db"), true).await;
    let words =
        ["cafe\u{301}", "Mu\u{308}nchen", "İstanbul", "ᲐᲑᲒ", "x\u{e000}abc", "naïve", "日本語", "ẞtraße"];
    let mut last = Position::ZERO;
    for (n, word) in words.iter().enumerate() {
        last = add(&db, "t", &format!("m{n}"), &format!("before {word} after")).await;
    }
    for (n, word) in words.iter().enumerate() {
        assert_eq!(ids(&db, word, last).await, [format!("m{n}")], "{word}");
    }
    db.close().await.unwrap();
}

#[tokio::test]
async fn writes_of_another_host_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let (db, other) = (open(&path, true).await, open(&path, false).await);
    let last = add(&db, "t", "a", "a needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["a"]);
    let last = add(&other, "t", "b", "another needle").await;
    other.close().await.unwrap();
    assert_eq!(ids(&db, "needle", last).await, ["a", "b"]);
    db.close().await.unwrap();
}

/// Damages the message `a`. A bit that flips on the disk fires no trigger.
fn flip(path: &Path) {
    let file = rusqlite::Connection::open(path).unwrap();
    let trigger = "SELECT sql FROM sqlite_schema WHERE name = 'search_keeps_replaced'";
    let trigger: String = file.query_row(trigger, [], |row| row.get(0)).unwrap();
    file.execute_batch(&format!(
        "DROP TRIGGER search_keeps_replaced;
         UPDATE messages SET content = replace(content, 'a needle', 'b needle') WHERE message_id = 'a'; {trigger}"
    ))
    .unwrap();
}

#[tokio::test]
async fn a_damaged_message_does_not_hide_other_hits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let db = open(&path, true).await;
    add(&db, "t", "a", "a needle").await;
    let last = add(&db, "u", "b", "another needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["a", "b"]);
    db.close().await.unwrap();
    flip(&path);
    let db = open(&path, true).await;
    let found = search(&db, SearchMessages::new("needle", 10), last).await;
    assert_eq!(found.hits.iter().map(|hit| hit.id.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(found.damaged, ["t".parse().unwrap()]);
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_hit_in_a_thread_with_a_damaged_name_does_not_hide_other_hits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let db = open(&path, true).await;
    add(&db, "t", "a", "Lisbon").await;
    add(&db, "u", "b", "Lisbon").await;
    let last = add(&db, "v", "c", "Lisbon").await;
    assert_eq!(ids(&db, "lisbon", last).await, ["a", "b", "c"]);
    let damage = "UPDATE threads SET thread = char(1) WHERE thread = 'u'";
    assert_eq!(rusqlite::Connection::open(&path).unwrap().execute(damage, []).unwrap(), 1);
    assert_eq!(ids(&db, "lisbon", last).await, ["a", "c"]);
    let found = db.search(SearchMessages::new("lisbon", 10)).await.unwrap();
    assert_eq!(found.damaged, ["?".parse().unwrap()]);
}

/// Two tenants whose prefixes of 20 bits would be equal, in a former index with such prefixes.
#[tokio::test]
async fn hits_of_a_tenant_do_not_depend_on_a_tenant_with_an_equal_prefix() {
    let directory = tempfile::tempdir().unwrap();
    let db = open(&directory.path().join("store.db"), true).await;
    let [mine, theirs] = ["tenant-409", "tenant-1484"].map(|name| db.for_tenant(name.parse().unwrap()));
    add(&mine, "t", "a", "the code is 111111").await;
    for n in 0..40 {
        add(&theirs, "t", &format!("m{n}"), "the code is 222222, the code").await;
    }
    let last = add(&mine, "t", "b", "the code is 333333").await;
    assert_eq!(ids(&mine, "code", last).await, ["a", "b"]);
    let one = search(&mine, SearchMessages::new("code", 1), last).await;
    assert_eq!(one.hits[0].id.as_str(), "b");
    assert_eq!(ids(&mine, "2*", last).await, [""; 0]);
    db.close().await.unwrap();
    // No term of one tenant has the prefix of the other.
    let file = rusqlite::Connection::open(directory.path().join("store.db")).unwrap();
    let shards = "SELECT count(*), count(DISTINCT tenant) FROM search_shards";
    let shards: (i64, i64) = file.query_row(shards, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    assert_eq!(shards, (2, 2));
    let mixed = "SELECT count(*) FROM search_messages s JOIN messages m USING (message_pk) \
        JOIN threads t ON t.thread_pk = m.thread_pk JOIN search_shards h USING (shard) WHERE h.tenant <> t.tenant";
    assert_eq!(file.query_row(mixed, [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[tokio::test]
async fn a_store_is_reindexed_with_the_tokenizer_of_its_options() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let db = open(&path, true).await;
    let last = add(&db, "t", "a", "明日は東京へ行きます, train").await;
    assert_eq!(ids(&db, "train", last).await, ["a"]);
    assert_eq!(ids(&db, "東京", last).await, [""; 0]);
    db.close().await.unwrap();
    let cjk = || SqliteOptions::new().search(true).tokenizer(Tokenizer::Cjk);
    for _ in 0..2 {
        let backend = cjk().open(&path).await.unwrap();
        let maintenance = backend.maintenance();
        let db = Persistence::builder().backend(backend).build().unwrap();
        assert_eq!(ids(&db, "東京", last).await, ["a"]);
        assert_eq!(ids(&db, "train 行", last).await, ["a"]);
        let verified = maintenance.verify().await.unwrap();
        assert!(verified.is_sound(), "{:?}", verified.damaged);
        db.close().await.unwrap();
    }
    let db = open(&path, true).await;
    assert_eq!(ids(&db, "train", last).await, ["a"]);
    assert_eq!(ids(&db, "東京", last).await, [""; 0]);
    db.close().await.unwrap();
}

/// Opens a store whose searches have no time.
async fn open_without_time(path: &Path) -> Persistence {
    let backend = SqliteOptions::new().search(true).search_time_limit(Duration::ZERO);
    Persistence::builder().backend(backend.open(path).await.unwrap()).build().unwrap()
}

#[tokio::test]
async fn a_search_without_time_reads_one_complete_shard() {
    let directory = tempfile::tempdir().unwrap();
    let db = open_without_time(&directory.path().join("store.db")).await;
    let last = add(&db, "t", "a", "a needle").await;
    let found = search(&db, SearchMessages::new("needle", 10), last).await;
    assert_eq!((found.hits.len(), found.terminated_early), (1, false));
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_search_without_time_returns_hits_of_the_latest_shard_and_reports_early_termination() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let db = open_without_time(&path).await;
    let last = add(&db, "t", "early", "a needle").await;
    search(&db, SearchMessages::new("needle", 10), last).await;
    // The first shard is full.
    let file = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(file.execute("UPDATE search_shards SET terms = 1 << 20", []).unwrap(), 1);
    let last = add(&db, "t", "late", "a needle").await;
    let found = search(&db, SearchMessages::new("needle", 10), last).await;
    let shards = file.query_row("SELECT count(*) FROM search_shards", [], |row| row.get::<_, i64>(0));
    assert_eq!(shards.unwrap(), 2);
    let hits: Vec<&str> = found.hits.iter().map(|hit| hit.id.as_str()).collect();
    assert_eq!((hits, found.terminated_early), (vec!["late"], true));
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_search_without_time_reads_one_long_message_and_reports_early_termination() {
    let directory = tempfile::tempdir().unwrap();
    let db = open_without_time(&directory.path().join("store.db")).await;
    let text = format!("a needle {}", "-".repeat(1 << 20));
    add(&db, "t", "early", &text).await;
    let last = add(&db, "t", "late", &text).await;
    let found = search(&db, SearchMessages::new("needle", 10), last).await;
    let hits: Vec<&str> = found.hits.iter().map(|hit| hit.id.as_str()).collect();
    assert_eq!((hits, found.terminated_early), (vec!["late"], true));
    let found = search(&db, SearchMessages::new("needle", 1), last).await;
    assert_eq!((found.hits.len(), found.terminated_early), (1, false), "no more is asked for");
    db.close().await.unwrap();
}

/// Returns the number of distinct terms in the index, and the number of contents that it keeps to remove terms.
fn held_terms(path: &Path) -> (i64, i64) {
    let file = rusqlite::Connection::open(path).unwrap();
    file.execute_batch(
        "INSERT INTO search (search) VALUES ('integrity-check');
         CREATE VIRTUAL TABLE temp.terms USING fts5vocab('main', 'search', 'row')",
    )
    .unwrap();
    let count = "SELECT (SELECT count(*) FROM terms), (SELECT count(*) FROM search_replaced)";
    file.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
}

#[tokio::test]
async fn no_term_is_left_after_any_order_of_changes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let text = |random: &mut fastrand::Rng| {
        let words = random.usize(1..30);
        (0..words).map(|_| format!("w{} ", random.u32(..300))).collect::<String>()
    };
    let open = async |keeps| {
        let backend = SqliteOptions::new().search(keeps).blobs_above(100).open(&path).await.unwrap();
        Persistence::builder().backend(backend).build().unwrap()
    };
    let (mut there, mut next) = (Vec::<String>::new(), 0);
    for round in 0..12 {
        let db = open(round % 4 != 3).await;
        let thread = db.thread("t");
        let mut last = Position::ZERO;
        for _ in 0..40 {
            match random.u8(..4) {
                0 if !there.is_empty() => {
                    let at = random.usize(..there.len());
                    let gone = there.swap_remove(at);
                    last = thread.delete(id(&gone)).reply().await.unwrap().receipt.position.unwrap();
                }
                1 if !there.is_empty() => {
                    let content = Content::text(&text(&mut random));
                    thread.edit(id(random.choice(&there).unwrap()), content).await.unwrap();
                }
                _ => {
                    next += 1;
                    last = add(&db, "t", &format!("m{next}"), &text(&mut random)).await;
                    there.push(format!("m{next}"));
                }
            }
        }
        if round % 4 != 3 {
            search(&db, SearchMessages::new("w1", 1), last).await;
            if random.bool() {
                built(&path).await;
            }
        }
        db.close().await.unwrap();
        if random.bool() {
            fill_shard(&path);
        }
    }
    let db = open(true).await;
    let last = add(&db, "u", "last", "lastword").await;
    for n in 0..300 {
        let word = format!("w{n}");
        let found = search(&db, SearchMessages::new(&word, 1000), last).await;
        let mut expected = 0;
        for message in &there {
            let message = db.thread("t").get(id(message)).await.unwrap().unwrap();
            let text = message.content.plain_text(usize::MAX);
            expected += usize::from(text.split(' ').any(|one| one == word));
        }
        assert_eq!(found.hits.len(), expected, "{word}");
        if n == 150 {
            built(&path).await;
        }
    }
    db.thread("t").clear().await.unwrap();
    let last = db.thread("u").delete(id("last")).reply().await.unwrap().receipt.position.unwrap();
    search(&db, SearchMessages::new("w1", 1), last).await;
    db.close().await.unwrap();
    assert_eq!(held_terms(&path), (0, 0));
}

#[tokio::test]
async fn a_content_that_was_replaced_without_a_change_event_leaves_the_index() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let db = open(&path, true).await;
    let last = add(&db, "t", "a", "a needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["a"]);
    db.close().await.unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute("UPDATE messages SET content = '[]' WHERE message_id = 'a'", []).unwrap();
    drop(file);
    let db = open(&path, true).await;
    let last = add(&db, "t", "b", "a haystack").await;
    assert_eq!(ids(&db, "haystack", last).await, ["b"]);
    db.close().await.unwrap();
    assert_eq!(held_terms(&path), (3, 0), "two words of `b`, and the term of the thread");
}

#[tokio::test]
async fn an_index_is_built_again_if_a_removed_message_was_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let db = open(&path, true).await;
    add(&db, "t", "a", "a needle").await;
    let last = add(&db, "t", "b", "another needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["a", "b"]);
    db.close().await.unwrap();
    flip(&path);
    let db = open(&path, true).await;
    db.thread("t").clear().await.unwrap();
    let last = add(&db, "t", "c", "a needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["c"]);
    db.close().await.unwrap();
    assert_eq!(held_terms(&path), (3, 0), "two words and the term of the thread");
}

/// Returns texts of people and assistants, in many languages and with code. `None` if the sample is not available.
#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
fn sample() -> Option<Vec<Vec<String>>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/sharegpt/sample.jsonl");
    let Ok(lines) = std::fs::read_to_string(&path) else {
        println!("SKIPPED: the size of the full-text index ({} is not there)", path.display());
        return None;
    };
    let conversation = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let turns = line["conversations"].as_array().unwrap().iter();
        turns.filter_map(|turn| turn["value"].as_str().map(str::to_owned)).collect()
    };
    Some(lines.lines().map(conversation).collect())
}

/// Returns the bytes of the text of the sample, and those of the pages of the index.
async fn sizes(tokenizer: Tokenizer, tenants: usize) -> Option<(u64, u64)> {
    let sample = sample()?;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let backend = SqliteOptions::new().search(true).tokenizer(tokenizer).open(&path).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let (mut text, mut last) = (0, Position::ZERO);
    for (n, turns) in sample.iter().enumerate() {
        let thread = db.for_tenant(format!("t{}", n % tenants).parse().unwrap()).thread(format!("c{n}"));
        for turn in turns {
            text += turn.len() as u64;
            last = thread.add(NewMessage::user(turn)).reply().await.unwrap().receipt.position.unwrap();
        }
    }
    search(&db, SearchMessages::new("the", 1), last).await;
    db.close().await.unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    let pages = "SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'search%'";
    let pages: i64 = file.query_row(pages, [], |row| row.get(0)).unwrap();
    Some((text, pages.unsigned_abs()))
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "a size is to be seen")]
async fn the_index_takes_at_most_0_7_times_the_text() {
    for (tokenizer, tenants) in [(Tokenizer::Words, 1), (Tokenizer::Words, 20), (Tokenizer::Cjk, 1)] {
        let Some((text, index)) = sizes(tokenizer, tenants).await else { return };
        println!("{tokenizer}, {tenants} tenants: {:.2} x", index as f64 / text as f64);
        assert!(index * 10 <= text * 7, "{tokenizer}: {index} bytes for {text} bytes of text");
    }
}
