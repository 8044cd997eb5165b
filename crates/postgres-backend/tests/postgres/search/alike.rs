//! A search finds the same messages as the memory store, in the same order.

use fastrand::Rng;
use throughline_core::{
    Content, Persistence, Position, Role, TenantId, Timestamp,
    messages::{Import, ImportRow},
    search::{SearchHits, SearchMessages},
    threads::Keep,
};
use throughline_memory::MemoryBackend;
use throughline_postgres::PostgresBackend;

use super::{id, kept, search};
use crate::support::Database;

/// Terms of every kind, and separators between them.
const WORDS: [&str; 30] = [
    "train",
    "TRAIN",
    "Trains",
    "lisbon",
    "Lisboa",
    "x",
    "x1",
    "1",
    "12",
    "naïve",
    "NAI\u{308}VE",
    "e\u{301}tude",
    "cafe\u{301}",
    "Straße",
    "STRASSE",
    "ẞ",
    "İstanbul",
    "istanbul",
    "ΣΑΣ",
    "σας",
    "日本語",
    "日本",
    "ᲐᲑᲒ",
    "აბგ",
    "ﬁn",
    "x\u{e000}abc",
    "½",
    "ª",
    "नमस्ते",
    "𝒜𝓑",
];
const BETWEEN: [&str; 14] =
    [" ", " ", " ", ", ", "\u{0}", "\n", "'", "\\", "\" ", ":*", " & | ! ", "😀", "\u{200d}", "-"];

fn text(random: &mut Rng) -> String {
    let mut text = String::new();
    // Few words, so that some occur more often than the rank counts.
    let few = random.usize(1..=WORDS.len());
    for _ in 0..random.usize(0..25) {
        text.push_str(WORDS[random.usize(..few)]);
        // At least a space, so that two words do not become one.
        text.push(' ');
        text.push_str(BETWEEN[random.usize(..BETWEEN.len())]);
    }
    text
}

fn query(random: &mut Rng) -> String {
    let mut query = String::new();
    for _ in 0..random.usize(1..4) {
        let word = WORDS[random.usize(..WORDS.len())];
        let chars = if random.bool() { word.chars().count() } else { random.usize(1..=word.chars().count()) };
        query.extend(word.chars().take(chars));
        query.push_str(["", "*"][random.usize(..2)]);
        query.push(' ');
    }
    query
}

fn row(name: &str, text: &str, at: i64) -> ImportRow {
    ImportRow::new(id(name), Role::User, Content::text(text), Timestamp::from_micros(at))
}

async fn import(dbs: [&Persistence; 2], thread: &str, rows: Vec<ImportRow>) -> Position {
    let mut last = Position::ZERO;
    for db in dbs {
        let import = Import::new(thread.parse().unwrap(), rows.clone());
        last = db.run(import).reply().await.unwrap().receipt.position.unwrap();
    }
    last
}

async fn alike(memory: &Persistence, postgres: &Persistence, read: SearchMessages, last: Position, of: &str) {
    let due = match memory.search(read.clone()).await {
        Ok(due) => due,
        Err(refused) => {
            let error = postgres.search(read).await.unwrap_err();
            return assert_eq!(error.kind(), refused.kind(), "{of}");
        }
    };
    let SearchHits { hits, damaged, indexed: _, terminated_early } =
        search(postgres, read.clone(), last).await;
    assert_eq!((damaged, terminated_early), (vec![], due.terminated_early), "{of}");
    let ids = |hits: &[throughline_core::search::SearchHit]| {
        hits.iter().map(|hit| (hit.thread.clone(), hit.id.clone())).collect::<Vec<_>>()
    };
    assert_eq!(ids(&hits), ids(&due.hits), "{of}: {}", read.query);
    assert_eq!(hits, due.hits, "{of}: {}", read.query);
}

#[allow(clippy::print_stdout, reason = "a seed is to be seen")]
async fn random(options: throughline_postgres::PostgresOptions, seed: u64) {
    let Some(database) = Database::fresh("").await else { return };
    let of = format!("seed {seed}");
    println!("{of}");
    let mut random = Rng::with_seed(seed);
    let memory = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let postgres = database.open(options).await;
    let tenants = ["a", "b"].map(|name| name.parse::<TenantId>().unwrap());
    let (mut last, mut at) = (Position::ZERO, 0);
    for round in 0..6 {
        for tenant in &tenants {
            let dbs = [&memory.for_tenant(tenant.clone()), &postgres.for_tenant(tenant.clone())];
            for thread in ["t", "u", "v"] {
                let rows = (0..10).map(|n| {
                    at += 1;
                    row(&format!("{thread}{round}.{n}"), &text(&mut random), at)
                });
                last = import(dbs, thread, rows.collect()).await;
            }
            let n = format!("{round}.{}", random.usize(..10));
            let said = text(&mut random);
            for db in dbs {
                let t = db.thread("t");
                t.edit(id(&format!("t{n}")), Content::text(&said)).await.unwrap();
                let deleted = db.thread("u").delete(id(&format!("u{n}"))).reply().await.unwrap();
                last = deleted.receipt.position.unwrap();
                if round == 3 {
                    db.thread("v").clear().await.unwrap();
                    assert_eq!(
                        t.prune(Keep { messages: Some(25), ..Keep::default() }).await.unwrap().messages,
                        15
                    );
                    last = db.thread("t").delete(id("t3.9")).reply().await.unwrap().receipt.position.unwrap();
                }
            }
        }
        for _ in 0..40 {
            let tenant = &tenants[random.usize(..2)];
            let (memory, postgres) = (memory.for_tenant(tenant.clone()), postgres.for_tenant(tenant.clone()));
            let mut read = SearchMessages::new(query(&mut random), [3, 100][random.usize(..2)]);
            if random.u8(..4) == 0 {
                read = read.in_thread(["t", "v", "nothing"][random.usize(..3)].parse().unwrap());
            }
            alike(&memory, &postgres, read, last, &of).await;
        }
    }
    postgres.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_searches_find_the_same_as_the_memory_store() {
    random(kept(), fastrand::u64(..)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitioned_store_behind_a_pooler_finds_the_same() {
    random(kept().partitions(3).pgbouncer(), fastrand::u64(..)).await;
}

/// Words that exceed an index term, and texts with more words than one `tsvector` can hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_words_and_long_texts_are_found_by_all_of_their_words() {
    let Some(database) = Database::fresh("").await else { return };
    let memory = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let postgres = database.open(PostgresBackend::builder().search(true)).await;
    let long = "é".repeat(150);
    // A mebibyte, and 140 000 different words.
    let many: String = (0..140_000).map(|n| format!("w{n} ")).collect();
    let rows = vec![
        row("long", &format!("{long}a"), 1),
        row("other", &format!("{long}b"), 2),
        row("one", &"z".repeat(1 << 20), 3),
        row("many", &many, 4),
        row("few", "w0 w1", 5),
        row("again", "w7 w7 w7 w99999", 6),
        row("apart", "w99999", 7),
    ];
    let last = import([&memory, &postgres], "t", rows).await;
    let parts = "SELECT count(*) FROM throughline.search WHERE id = 'many'";
    search(&postgres, SearchMessages::new("few", 1), last).await;
    assert!(database.count(parts).await > 1);
    for query in [
        format!("{long}a"),
        format!("{long}*"),
        long.clone(),
        format!("{}*", "é".repeat(100)),
        format!("{}*", "é".repeat(99)),
        "z*".to_owned(),
        "z".repeat(1 << 20),
        // Words of one part, and of two.
        "w0 w1".to_owned(),
        "w0 w99999".to_owned(),
        "w99999 w7".to_owned(),
        "w99999 nothing".to_owned(),
    ] {
        let read = SearchMessages::new(query, 10);
        alike(&memory, &postgres, read, last, "long").await;
    }
    // All parts together are one message.
    let limited = SearchMessages::new("w*", 3);
    let found = search(&postgres, limited, last).await;
    assert_eq!(found.hits.len(), 3);
    let mut ids: Vec<_> = found.hits.iter().map(|hit| hit.id.as_str()).collect();
    ids.dedup();
    assert_eq!(ids, ["many", "again", "few"]);
    postgres.close().await.unwrap();
}

/// More content than one step of the index processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_are_indexed_in_several_steps() {
    let Some(database) = Database::fresh("").await else { return };
    let memory = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let postgres = database.open(kept()).await;
    let large = format!("a needle{}", "-".repeat(1_500_000));
    let rows = (0..5).map(|n| row(&format!("m{n}"), &large, n)).collect();
    let last = import([&memory, &postgres], "t", rows).await;
    alike(&memory, &postgres, SearchMessages::new("needle", 10), last, "large").await;
    postgres.close().await.unwrap();
}
