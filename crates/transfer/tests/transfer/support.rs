//! Stores, their content, and folders to read.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use throughline_core::{
    Persistence,
    messages::{ImportRow, PageFrom, Visibility},
    threads::{ListThreads, ThreadSummary},
};
use throughline_memory::MemoryBackend;

pub(crate) fn store() -> Persistence {
    Persistence::builder().backend(MemoryBackend::new()).build().unwrap()
}

/// Returns every listed thread with its messages, by ids. It omits the time of change, which belongs to the store.
pub(crate) async fn everything(db: &Persistence) -> BTreeMap<String, (ThreadSummary, Vec<ImportRow>)> {
    let list = db.threads(ListThreads::new(1000).archived_too()).await.unwrap();
    assert!(list.next.is_none() && list.damaged.is_empty());
    let mut all = BTreeMap::new();
    for mut entry in list.threads {
        let rows = rows(db, entry.thread.as_str()).await;
        entry.updated_at = entry.active_at;
        all.insert(entry.thread.to_string(), (entry, rows));
    }
    all
}

pub(crate) async fn rows(db: &Persistence, thread: &str) -> Vec<ImportRow> {
    let mut walk = db.thread(thread).walk(PageFrom::Start, Visibility::All);
    let mut rows = Vec::new();
    while let Some(message) = walk.next().await.unwrap() {
        rows.extend(ImportRow::of(message));
    }
    rows
}

/// Returns every file below a folder with its bytes.
pub(crate) fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

pub(crate) const ID: &str = "0c9d1ad2-7d1f-4f0a-9b0e-1c2d3e4f5a6b";
pub(crate) const OTHER: &str = "11111111-2222-4333-8444-555555555555";

pub(crate) fn header(id: &str) -> String {
    format!(
        r#"{{"type":"header","schema_version":1,"guid":"{id}","created":"2024-03-01T00:00:00.000Z","pipeline_id":"p-1"}}"#
    )
}

pub(crate) fn turn(seq: u64, question: &str, answer: &str) -> String {
    let (question, answer) =
        (serde_json::to_string(question).unwrap(), serde_json::to_string(answer).unwrap());
    format!(
        r#"{{"type":"turn","schema_version":1,"seq":{seq},"created":"2024-03-01T00:00:{seq:02}.000Z","question":{question},"answer":{answer}}}"#
    )
}

pub(crate) fn entry(id: &str, title: &str, count: u64, preview: &str) -> String {
    format!(
        r#"{{"guid":"{id}","title":"{title}","created":"2024-03-01T00:00:00.000Z","updated":"2024-03-01T00:00:{count:02}.000Z","message_count":{count},"preview":"{preview}","pipeline_id":"p-1"}}"#
    )
}

pub(crate) fn catalog(dir: &Path, entries: &[String]) {
    let text = format!(r#"{{"schema_version":1,"version":3,"chats":[{}]}}"#, entries.join(","));
    fs::write(dir.join("catalog.json"), text).unwrap();
}

/// Writes a transcript byte for byte.
pub(crate) fn chat(dir: &Path, id: &str, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(dir.join(id)).unwrap();
    fs::write(dir.join(id).join("chat.jsonl"), bytes).unwrap();
}

pub(crate) fn lines(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Returns a file of real sample data, or prints that the test is skipped.
pub(crate) fn sample(test: &str, file: &str) -> Option<PathBuf> {
    let around = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let found = around.map(|folder| folder.join("shared/data").join(file)).find(|file| file.exists());
    if found.is_none() {
        println!("SKIPPED: {test} (no shared/data/{file} around the workspace)");
    }
    found
}

/// Returns the ids and roles of the messages of a thread.
pub(crate) async fn ids(db: &Persistence, thread: &str) -> Vec<(String, &'static str)> {
    rows(db, thread).await.into_iter().map(|row| (row.id.to_string(), row.role.as_str())).collect()
}

/// Imports a file that was cut off after each byte, into a new store each time, and then the whole file. Each import
/// ends without an error and reports every line that it does not import; the whole file adds exactly what is missing.
pub(crate) async fn cut_at_every_byte(
    path: &Path,
    whole: &[u8],
    open: impl Fn(&Path) -> throughline_transfer::AnySource,
) {
    fs::write(path, whole).unwrap();
    let all = open(path).plan().await.unwrap();
    assert!(all.messages > 0);
    for end in 0..whole.len() {
        let db = store();
        fs::write(path, &whole[..end]).unwrap();
        let cut = open(path).import(&db).await.unwrap();
        assert!(cut.messages <= all.messages, "{end}");
        let is_torn = whole[..end].last().is_some_and(|byte| *byte != b'\n') && whole[end] != b'\n';
        assert!(cut.skipped.len() > all.skipped.len() || !is_torn, "{end}: {:?}", cut.skipped);
        fs::write(path, whole).unwrap();
        let rest = open(path).import(&db).await.unwrap();
        assert_eq!(rest.messages + rest.already_there, all.messages, "{end}");
        assert_eq!(rest.already_there, cut.messages, "{end}");
        if end % 32 == 0 {
            let again = open(path).import(&db).await.unwrap();
            assert_eq!((again.messages, again.already_there), (0, all.messages), "{end}");
        }
    }
}

/// Writes a database that these statements make.
pub(crate) fn database(path: &Path, sql: &str) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(path).unwrap();
    // A dump has its tables in the order of their names.
    db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    db.execute_batch(sql).unwrap();
    db
}

/// Plans an import from a database that was cut off at many points: it is an error or a report, and no panic.
pub(crate) async fn cut_database(
    path: &Path,
    open: impl Fn(&Path) -> Result<throughline_transfer::AnySource, throughline_transfer::TransferError>,
) {
    let whole = fs::read(path).unwrap();
    let all = open(path).unwrap().plan().await.unwrap().messages;
    for end in (509..whole.len()).step_by(509) {
        fs::write(path, &whole[..end]).unwrap();
        let Ok(source) = open(path) else { continue };
        if let Ok(report) = source.plan().await {
            // An index at the end can be missing.
            assert!(report.messages == all || !report.skipped.is_empty(), "{end}: {report:?}");
        }
    }
    fs::write(path, whole).unwrap();
}

/// Returns a frame of zstd whose only block is not compressed.
pub(crate) fn zstd(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000];
    frame.extend(u32::try_from(text.len()).unwrap().to_le_bytes());
    let header = 1 | (u32::try_from(text.len()).unwrap() << 3);
    frame.extend(&header.to_le_bytes()[..3]);
    frame.extend(text);
    frame
}
