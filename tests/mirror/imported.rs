//! Stores that were made by imports of the native format.

use std::{
    fs,
    path::{Path, PathBuf},
};

#[cfg(feature = "postgres")]
use throughline::postgres::PostgresBackend;
use throughline::{
    Backend, Content, Labels, Metadata, NewThread, Persistence, Role, Timestamp,
    memory::MemoryBackend,
    messages::{ContentChange, Import, ImportRow, Origin, UpdateContent, UpdateMode},
    mirror::{Difference, Differs, compare},
    pipeline::Clock,
    sqlite::SqliteBackend,
    threads::{ArchiveThread, ForkPoint},
    transfer::Ndjson,
};

use super::support::equal;

/// The messages of 40 threads: 3, 6, …, 120.
const MESSAGES: u64 = 2460;

/// A clock that does not move, so that the times of two imports are equal.
#[derive(Debug)]
struct Fixed;

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_800_000_000_000_000)
    }
}

fn row(number: i64) -> ImportRow {
    let role = [Role::User, Role::Assistant, Role::System, Role::Tool][number as usize % 4];
    let json = match number % 3 {
        0 => format!("[{{\"type\":\"text\",\"text\":\"é {number}\\u0000\"}}]"),
        1 => format!("[{{\"n\":18446744073709551615,\n \"n\":{number}.10}}, \"\\ud800\"]"),
        _ => "[]".to_owned(),
    };
    let at = Timestamp::from_micros(number * 1_000 - 7);
    let mut row =
        ImportRow::new(format!("m{number}").parse().unwrap(), role, Content::from_json(json).unwrap(), at);
    row.updated_at = Timestamp::from_micros(number * 1_000 + 5);
    if number % 5 == 0 {
        row.metadata = metadata();
        row.attachments = vec!["a.png".parse().unwrap(), "b.png".parse().unwrap()];
    }
    if number % 7 == 0 {
        row.abandoned = Some((number % 2 == 0).then(|| "crashed".to_owned()));
    }
    if number % 4 == 1 {
        let (turn, item) = (format!("turn-{}", number / 4), format!("item-{number}"));
        row.origin = Origin::new().in_turn(turn.parse().unwrap()).item(item.parse().unwrap());
    }
    row
}

fn metadata() -> Metadata {
    let mut metadata = Metadata::new();
    let odd = serde_json::value::RawValue::from_string("{\"a\":1.10,\n\"a\":2}".to_owned()).unwrap();
    metadata.set_raw("odd", odd);
    metadata
}

/// Everything that the native format has, in 40 threads.
async fn fill(db: &Persistence) {
    for thread in 1..=40_i64 {
        let id = format!("thread {thread} \u{2028}");
        let mut new =
            NewThread::new().with_id(id.parse().unwrap()).created_at(Timestamp::from_micros(thread - 20));
        if thread % 2 == 0 {
            new = new
                .with_title(format!("Title {thread}").parse().unwrap())
                .with_owner("o".parse().unwrap())
                .with_labels(Labels::new().with("project", "atlas").unwrap())
                .with_metadata(metadata());
        }
        if thread % 3 == 1 {
            let source = format!("thread {} \u{2028}", thread - 1);
            new = new
                .forked_from(ForkPoint { thread: source.parse().unwrap(), message: "m1".parse().unwrap() });
        }
        db.create_thread(new).await.unwrap();
        let rows: Vec<ImportRow> = (0..thread * 3).map(row).collect();
        db.run(Import::new(id.parse().unwrap(), rows)).await.unwrap();
        if thread % 4 == 0 {
            db.on_thread(ArchiveThread { thread: id.parse().unwrap(), archived: true }).await.unwrap();
        }
    }
}

fn build(backend: impl Backend) -> Persistence {
    Persistence::builder().clock(Fixed).backend(backend).build().unwrap()
}

/// A store in memory with everything that the native format has, and its file.
async fn exported(folder: &Path) -> (Persistence, PathBuf) {
    let first = build(MemoryBackend::new());
    fill(&first).await;
    let file = folder.join("store.ndjson");
    let written = Ndjson::create(&file).unwrap().export(&first).await.unwrap();
    assert_eq!((written.threads, written.messages), (40, MESSAGES));
    assert!(written.skipped.is_empty() && written.warnings.is_empty(), "{written:?}");
    (first, file)
}

/// Imports the file into an empty store, whose own export is then the same file.
async fn imported(file: &Path, to: Persistence) -> Persistence {
    let read = Ndjson::open(file).unwrap().import(&to).await.unwrap();
    assert_eq!((read.threads, read.messages), (40, MESSAGES));
    assert!(read.skipped.is_empty() && read.warnings.is_empty(), "{read:?}");
    let again = file.with_extension("again");
    Ndjson::create(&again).unwrap().export(&to).await.unwrap();
    assert!(fs::read(&again).unwrap() == fs::read(file).unwrap(), "the exports differ");
    fs::remove_file(again).unwrap();
    to
}

/// The import has the messages of the first store. Its changes, and the times at which its threads changed last, are its own.
async fn assert_same_messages(first: &Persistence, imported: &Persistence) {
    let compared = compare(first, imported).await.unwrap();
    assert_eq!((compared.threads, compared.messages), (40, MESSAGES));
    let others = compared
        .differences
        .iter()
        .filter(|difference| !matches!(difference.kind, Differs::Part("changes" | "thread stats")));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<&Difference>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exported_store_is_equal_after_its_import_into_memory_and_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let (first, file) = exported(folder.path()).await;
    let memory = imported(&file, build(MemoryBackend::new())).await;
    let path = folder.path().join("chat.db");
    let sqlite = imported(&file, build(SqliteBackend::open(path).await.unwrap())).await;
    assert_same_messages(&first, &memory).await;
    assert_eq!(equal(&memory, &sqlite).await.messages, MESSAGES);
    // One changed text is a difference.
    let change = UpdateContent::new(
        "thread 40 \u{2028}".parse().unwrap(),
        "m2".parse().unwrap(),
        ContentChange::Replace(Content::text("other")),
        UpdateMode::Edit,
    );
    memory.run(change).await.unwrap();
    let differences = compare(&memory, &sqlite).await.unwrap().differences;
    assert!(
        differences
            .iter()
            .any(|difference| matches!(&difference.kind, Differs::Message { id, .. } if id.as_str() == "m2")),
        "{differences:?}"
    );
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exported_store_is_equal_after_its_import_into_postgres() {
    let Some(database) = super::server::Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (first, file) = exported(folder.path()).await;
    let backend = PostgresBackend::builder().writers(2).readers(3).open(&database.url).await.unwrap();
    let postgres = imported(&file, build(backend)).await;
    assert_same_messages(&first, &postgres).await;
    let memory = imported(&file, build(MemoryBackend::new())).await;
    assert_eq!(equal(&memory, &postgres).await.messages, MESSAGES);
    // The way back: what Postgres exports, SQLite has.
    let path = folder.path().join("chat.db");
    let out = folder.path().join("postgres.ndjson");
    Ndjson::create(&out).unwrap().export(&postgres).await.unwrap();
    let sqlite = imported(&out, build(SqliteBackend::open(path).await.unwrap())).await;
    assert_eq!(equal(&postgres, &sqlite).await.messages, MESSAGES);
}
