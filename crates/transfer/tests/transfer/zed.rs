//! The threads of Zed.

use std::{fs, path::Path};

use rusqlite::{Connection, params};
use throughline_core::{
    NewMessage,
    messages::{History, ImportRow, PageFrom},
};
use throughline_transfer::{AnySource, FindingKind, Format, TransferError, Zed};

use crate::support::{cut_at_every_byte, cut_database, database, everything, ids, rows, store, zstd};

/// A thread of the version 0.3.0, and the same as the library of zstd compresses it.
const THREAD: &str = include_str!("zed_thread.json");
const COMPRESSED: &[u8] = include_bytes!("zed_thread.zst");

/// The table as the newest versions have it.
const TABLE: &str = "CREATE TABLE threads (id TEXT PRIMARY KEY, summary TEXT NOT NULL, updated_at TEXT NOT NULL, \
    data_type TEXT NOT NULL, data BLOB NOT NULL, parent_id TEXT, folder_paths TEXT, folder_paths_order TEXT, created_at TEXT)";
const UPDATED: &str = "2026-02-27T12:34:56.500+00:00";

/// Returns a database with the thread `t1`.
fn threads(path: &Path) -> Connection {
    let db = database(path, TABLE);
    db.execute(
        "INSERT INTO threads VALUES ('t1', 'Fix the parser', ?1, 'zstd', ?2, NULL, '/w', '0', '2026-02-27T12:00:00+00:00')",
        params![UPDATED, COMPRESSED],
    )
    .unwrap();
    db
}

fn put(db: &Connection, id: &str, data_type: &str, data: &[u8]) {
    let sql = "INSERT OR REPLACE INTO threads (id, summary, updated_at, data_type, data) VALUES (?1, ?1, ?2, ?3, ?4)";
    db.execute(sql, params![id, UPDATED, data_type, data]).unwrap();
}

fn names(rows: &[ImportRow]) -> Vec<(&str, &str)> {
    rows.iter().map(|row| (row.id.as_str(), row.role.as_str())).collect()
}

fn named(found: &throughline_transfer::Finding) -> (String, &'static str) {
    (found.location.to_string(), found.kind.name())
}

const FIRST: &str = "8f1d2c3e-0000-4000-8000-000000000001";
const SECOND: &str = "8f1d2c3e-0000-4000-8000-000000000002";

#[tokio::test]
async fn a_thread_keeps_its_messages_with_their_tools_and_mentions() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    let sql = threads(&path);
    sql.execute(
        "INSERT INTO threads (id, summary, updated_at, data_type, data, parent_id) VALUES ('t2', 'Sub', ?1, 'json', ?2, 't1')",
        params![UPDATED, r#"{"version":"0.3.0","title":"Sub","messages":[],"updated_at":"2026-02-27T12:34:56Z"}"#],
    )
    .unwrap();
    let before = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    let (db, source) = (store(), AnySource::detect(&path).unwrap());
    assert_eq!(source.format(), Format::Zed);
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages), (2, 7));
    assert_eq!((report.skipped.len(), report.warnings.len()), (0, 0));
    let all = everything(&db).await;
    let (thread, messages) = &all["t1"];
    assert_eq!(thread.title.as_str(), "Fix the parser");
    assert_eq!(thread.created_at.as_micros(), 1_772_193_600_000_000);
    assert_eq!(
        names(messages),
        [
            (FIRST, "user"),
            (&*format!("{FIRST}/1"), "assistant"),
            (&*format!("{FIRST}/2"), "assistant"),
            (&*format!("{FIRST}/3"), "user"),
            (&*format!("{FIRST}/4"), "assistant"),
            (&*format!("{FIRST}/5"), "system"),
            (SECOND, "user"),
        ]
    );
    assert!(messages.iter().all(|row| row.created_at.as_micros() == 1_772_195_696_500_000));
    assert_eq!(
        messages[0].content.as_json(),
        concat!(
            r#"[{"type":"text","text":"Look at "},{"type":"mention","uri":{"File":{"abs_path":"/w/src/parser.rs"}},"content":"fn parse() {}\n"},"#,
            r#"{"type":"text","text":" and this image."},{"type":"image","source":"iVBORw0KGgo=","size":{"width":1,"height":1}},"#,
            r#"{"type":"mention","uri":{"PastedImage":{"name":"screen.png"}},"content":""}]"#
        )
    );
    let files: Vec<_> =
        messages[0].attachments.iter().map(throughline_core::ids::AttachmentKey::as_str).collect();
    assert_eq!(files, ["/w/src/parser.rs", "screen.png"]);
    assert_eq!(
        messages[1].content.as_json(),
        concat!(
            r#"[{"type":"thinking","thinking":"I read the file.","signature":"c2ln"},{"type":"redacted_thinking","data":"ZGF0YQ=="},"#,
            r#"{"type":"text","text":"I run the tests."},"#,
            r#"{"type":"tool_use","id":"toolu_1","name":"terminal","raw_input":"{\"command\":\"cargo test\"}","input":{"command":"cargo test"},"is_input_complete":true,"thought_signature":null},"#,
            r#"{"type":"tool_use","id":"toolu_2","name":"read_file","raw_input":"{\"path\":\"a\"}","input":{"path":"a"},"is_input_complete":true,"thought_signature":null},"#,
            r#"{"type":"tool_result","tool_use_id":"toolu_1","tool_name":"terminal","is_error":false,"content":[{"type":"text","text":"ok"},{"type":"image","source":"AAAA"}],"output":"ok"},"#,
            r#"{"type":"tool_result","tool_use_id":"toolu_2","tool_name":"read_file","is_error":true,"content":[{"type":"text","text":"no such file"}],"output":null}]"#
        )
    );
    // Thinking is no text of the message.
    assert_eq!(messages[1].content.plain_text(100), "I run the tests.");
    assert!(messages[1].metadata.get("source.record").is_none());
    assert_eq!(
        messages[2].metadata.get("source.record").unwrap().get(),
        r#"{"content":null,"tool_results":null,"reasoning_details":[{"type":"reasoning.text"}]}"#
    );
    assert_eq!(messages[3].content.as_json(), r#"[{"type":"resume"}]"#);
    assert_eq!(messages[5].content.plain_text(100), "The parser was fixed.");
    let history = db.thread("t1").page(PageFrom::Start, 9).await.unwrap().messages;
    let history = History::of(history, false);
    assert!(history.tool_calls.len() == 2 && history.tool_calls.iter().all(|call| !call.is_orphan()));
    let about = thread.metadata.get("source.record").unwrap().get();
    for part in [
        r#""model":{"provider":"anthropic","model":"claude-sonnet-4"}"#,
        r#""output_tokens":9"#,
        r#""folder_paths":"/w""#,
    ] {
        assert!(about.contains(part), "{part} in {about}");
    }
    assert_eq!(all["t2"].0.metadata.get("source.parent").unwrap().get(), "\"t1\"");
    let again = source.import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there, again.skipped.len()), (0, 7, 0));
    let after = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    assert!(before == after);
}

#[tokio::test]
async fn a_grown_thread_adds_only_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("threads.db");
    let sql = threads(&path);
    let (db, source) = (store(), Zed::open(&path).unwrap());
    source.import(&db).await.unwrap();
    db.thread("t1").add(NewMessage::user("of the host")).await.unwrap();
    let grown = THREAD.replace(
        r#"[{"Text":"Thanks."}]}}]"#,
        r#"[{"Text":"Thanks."}]}},{"Agent":{"content":[{"Text":"You are welcome."}],"tool_results":{}}}]"#,
    );
    put(&sql, "t1", "zstd", &zstd(grown.as_bytes()));
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.messages, report.already_there, report.skipped.len()), (1, 7, 0));
    assert_eq!(rows(&db, "t1").await.last().unwrap().id.as_str(), format!("{SECOND}/1"));
    // An edited question replaces the messages behind it: the new ones are added, and none is there twice.
    let edited = grown.replace(SECOND, "8f1d2c3e-0000-4000-8000-000000000003");
    put(&sql, "t1", "json", edited.as_bytes());
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.messages, report.already_there), (2, 6));
    assert_eq!(source.import(&db).await.unwrap().messages, 0);
}

/// A thread of the version 0.1.0: the results of tools are messages of their own.
const OLDER: &str = r#"{"version":"0.1.0","summary":"Old","updated_at":"2025-04-01T10:00:00Z","messages":[
    {"id":0,"role":"user","segments":[{"type":"text","text":"Run it."}],"context":"<file>","creases":[{"start":0,"end":1,"icon_path":"i","label":"main.rs"}]},
    {"id":1,"role":"assistant","segments":[{"type":"thinking","text":"hm"},{"type":"RedactedThinking","data":"x"},{"type":"text","text":"I do."},{"type":"hologram"}],
     "tool_uses":[{"id":"a","name":"run","input":null}],"tool_results":[]},
    {"id":2,"role":"user","segments":[],"tool_results":[{"tool_use_id":"a","is_error":false,"content":"done","output":null}]},
    {"id":2,"role":"system","segments":[{"type":"text","text":"rules"}]}]}"#;

#[tokio::test]
async fn the_older_versions_become_the_same_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("threads.db");
    // The first table has neither blobs nor the newer columns.
    let sql = database(
        &path,
        "CREATE TABLE threads (id TEXT PRIMARY KEY, summary TEXT NOT NULL, updated_at TEXT NOT NULL, data_type TEXT NOT NULL, data TEXT NOT NULL)",
    );
    let insert = "INSERT INTO threads VALUES (?1, 'Old', '2025-04-01T10:00:00+00:00', 'json', ?2)";
    sql.execute(insert, params!["old", OLDER]).unwrap();
    let first = r#"{"summary":"S","updated_at":"2025-03-01T10:00:00Z","messages":[{"id":7,"role":"user","text":"hello"}]}"#;
    sql.execute(insert, params!["first", first]).unwrap();
    let (db, source) = (store(), AnySource::detect(&path).unwrap());
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.skipped.len()), (2, 5, 0));
    let warned: Vec<_> = report.warnings.iter().map(|found| found.kind.clone()).collect();
    assert_eq!(warned, [FindingKind::UnknownType("hologram".to_owned())]);
    let messages = rows(&db, "old").await;
    assert_eq!(
        names(&messages),
        [("message-0", "user"), ("message-1", "assistant"), ("message-2", "tool"), ("message-2/2", "system")]
    );
    assert_eq!(messages[0].attachments[0].as_str(), "main.rs");
    assert!(messages[0].metadata.get("source.record").unwrap().get().contains(r#""context":"<file>""#));
    assert_eq!(
        messages[1].content.as_json(),
        concat!(
            r#"[{"type":"thinking","thinking":"hm"},{"type":"redacted_thinking","data":"x"},{"type":"text","text":"I do."},"#,
            r#"{"type":"source.record","record":{"type":"hologram"}},{"type":"tool_use","id":"a","name":"run","input":null}]"#
        )
    );
    assert_eq!(
        messages[2].content.as_json(),
        r#"[{"type":"tool_result","tool_use_id":"a","is_error":false,"content":[{"type":"text","text":"done"}],"output":null}]"#
    );
    assert_eq!(ids(&db, "first").await, [("message-7".to_owned(), "user")]);
    assert_eq!(source.import(&db).await.unwrap().messages, 0);
    // Zed converted the thread, and gave its messages other ids.
    sql.execute("UPDATE threads SET data = ?1 WHERE id = 'old'", [THREAD]).unwrap();
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.messages, report.already_there), (0, 1));
    assert_eq!(report.skipped[0].kind, FindingKind::OtherConversation);
}

#[tokio::test]
async fn unknown_versions_and_invalid_threads_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("threads.db");
    let sql = database(&path, TABLE);
    put(&sql, "newer", "json", br#"{"version":"0.4.0","messages":[{"User":{"id":"u","content":[{"Text":"h"},{"Video":1}]}},{"Robot":{}},"Pause",7]}"#);
    put(&sql, "torn", "json", br#"{"version":"0.3.0","mess"#);
    put(&sql, "cut", "zstd", &COMPRESSED[..500]);
    put(&sql, "brotli", "brotli", b"x");
    put(&sql, "list", "json", br#"{"version":"0.3.0","messages":{}}"#);
    put(
        &sql,
        "large",
        "zstd",
        &zstd(format!(r#"{{"messages":[],"title":"{}"}}"#, "x".repeat(9_000)).as_bytes()),
    );
    put(&sql, "bomb", "zstd", &bomb(9_000));
    put(&sql, &"x".repeat(300), "json", br#"{"messages":[]}"#);
    put(
        &sql,
        "twice",
        "json",
        br#"{"messages":[{"User":{"id":"u","content":[]}},{"User":{"id":"u","content":[]}}]}"#,
    );
    put(&sql, "ok", "json", THREAD.as_bytes());
    let db = store();
    let report = Zed::open(&path).unwrap().with_max_record_bytes(4_000).import(&db).await.unwrap();
    let at = |row| format!("row {row} of `threads`");
    let skipped: Vec<_> = report.skipped.iter().map(named).collect();
    assert_eq!(
        skipped,
        [
            (at(2), "not-json"),
            (at(3), "unreadable"),
            (at(4), "wrong-value"),
            (at(5), "wrong-field"),
            (at(6), "too-large"),
            (at(7), "too-large"),
            (at(8), "invalid-id"),
            (at(9), "repeated-id"),
        ]
    );
    let warned: Vec<_> = report.warnings.iter().map(|found| found.kind.clone()).collect();
    let unknown = |name: &str| FindingKind::UnknownType(name.to_owned());
    assert_eq!(
        warned,
        [
            FindingKind::Newer("0.4.0".to_owned()),
            unknown("Video"),
            unknown("Robot"),
            unknown("Pause"),
            FindingKind::NoObject
        ]
    );
    let messages = rows(&db, "newer").await;
    assert_eq!(names(&messages), [("u", "user"), ("u/1", "system"), ("u/2", "system"), ("u/3", "system")]);
    assert_eq!(
        messages[0].content.as_json(),
        r#"[{"type":"text","text":"h"},{"type":"source.record","record":{"Video":1}}]"#
    );
    assert_eq!(messages[1].content.as_json(), r#"[{"type":"source.record","record":{"Robot":{}}}]"#);
    assert_eq!(rows(&db, "ok").await.len(), 7);
}

/// Returns a small frame of zstd with a long text: one block that repeats a byte.
fn bomb(bytes: u32) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000];
    frame.extend(bytes.to_le_bytes());
    frame.extend(&(1 | (1 << 1) | (bytes << 3)).to_le_bytes()[..3]);
    frame.push(b' ');
    frame
}

#[tokio::test]
async fn a_database_that_is_cut_off_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("threads.db");
    drop(threads(&path));
    cut_database(&path, |path| Zed::open(path).map(Into::into)).await;
}

#[tokio::test]
async fn a_thread_that_is_cut_off_anywhere_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("threads.db");
    let sql = database(&path, TABLE);
    sql.execute_batch("PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY").unwrap();
    let source = Zed::open(&path).unwrap();
    for (data_type, data) in [("json", THREAD.trim().as_bytes()), ("zstd", COMPRESSED)] {
        for end in 0..data.len() {
            put(&sql, "t1", data_type, &data[..end]);
            let report = source.plan().await.unwrap();
            assert_eq!((report.messages, report.skipped.len()), (0, 1), "{data_type} {end}");
        }
    }
}

const TEXT_THREAD: &str = r#"{"id":"5c0ffee0-0000-4000-8000-000000000001","zed":"context","version":"0.4.0","text":"Wie groß?\nSehr groß.\nfailed\n","messages":[{"id":{"replica_id":0,"value":0},"start":0,"metadata":{"role":"user","status":"Done","timestamp":{"replica_id":0,"value":0}}},{"id":{"replica_id":0,"value":5},"start":11,"metadata":{"role":"assistant","status":"Done","timestamp":{"replica_id":0,"value":5}}},{"id":{"replica_id":0,"value":7},"start":23,"metadata":{"role":"assistant","status":{"Error":"no credit"},"timestamp":{"replica_id":0,"value":7}}},{"id":{"replica_id":0,"value":9},"start":30,"metadata":{"role":"user","status":"Done","timestamp":{"replica_id":0,"value":9}}}],"summary":"Sizes","slash_command_output_sections":[]}"#;

#[tokio::test]
async fn text_threads_become_messages() {
    let dir = tempfile::tempdir().unwrap();
    let older = r#"{"zed":"context","version":"0.2.0","text":"a\nb","messages":[{"id":0,"start":0},{"id":4,"start":2},{"id":5,"start":9}],
        "message_metadata":{"0":{"role":"user","status":"Done"},"4":{"role":"assistant","status":"Pending"}},"summary":""}"#;
    fs::write(dir.path().join("Sizes - 1.zed.json"), TEXT_THREAD).unwrap();
    fs::write(dir.path().join("Other - 1.zed.json"), older).unwrap();
    fs::write(dir.path().join("settings.json"), "{").unwrap();
    let (db, source) = (store(), AnySource::detect(dir.path()).unwrap());
    assert_eq!(source.format(), Format::Zed);
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.warnings.len()), (2, 5, 0));
    assert_eq!(report.omitted["empty message"], 1);
    let skipped: Vec<_> = report.skipped.iter().map(|found| found.kind.clone()).collect();
    assert_eq!(skipped, [FindingKind::NoField("metadata")]);
    let all = everything(&db).await;
    let (thread, messages) = &all["5c0ffee0-0000-4000-8000-000000000001"];
    assert_eq!(thread.title.as_str(), "Sizes");
    assert_eq!(
        names(messages),
        [("message-0.0", "user"), ("message-0.5", "assistant"), ("message-0.7", "assistant")]
    );
    let texts: Vec<_> = messages.iter().map(|row| row.content.plain_text(100)).collect();
    assert_eq!(texts, ["Wie groß?", "Sehr groß.", "failed"]);
    assert_eq!(messages[2].abandoned, Some(Some("the answer failed".to_owned())));
    assert_eq!(
        messages[2].metadata.get("source.record").unwrap().get(),
        r#"{"status":{"Error":"no credit"}}"#
    );
    let modified = fs::metadata(dir.path().join("Sizes - 1.zed.json")).unwrap().modified().unwrap();
    assert_eq!(messages[0].created_at, modified.into());
    let (_, messages) = &all["Other - 1"];
    assert_eq!(names(messages), [("message-0", "user"), ("message-4", "assistant")]);
    assert_eq!(messages[1].abandoned, Some(Some("the answer was not finished".to_owned())));
    assert_eq!(source.import(&db).await.unwrap().messages, 0);
}

#[tokio::test]
async fn a_text_thread_that_is_cut_off_anywhere_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zed.json");
    cut_at_every_byte(&path, TEXT_THREAD.as_bytes(), |path| Zed::open(path).unwrap().into()).await;
}

#[tokio::test]
async fn a_text_thread_with_impossible_positions_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.zed.json");
    // Within a character, and behind the end.
    for (from, to) in [("\"start\":11", "\"start\":8"), ("\"start\":30", "\"start\":31")] {
        fs::write(&path, TEXT_THREAD.replace(from, to)).unwrap();
        let report = Zed::open(&path).unwrap().plan().await.unwrap();
        assert!(report.skipped.iter().all(|found| found.kind == FindingKind::WrongField("start")));
        assert!(!report.skipped.is_empty());
    }
}

#[tokio::test]
async fn a_folder_has_its_database_and_its_text_threads() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("threads")).unwrap();
    fs::create_dir(dir.path().join("conversations")).unwrap();
    drop(threads(&dir.path().join("threads/threads.db")));
    fs::write(dir.path().join("conversations/a.zed.json"), TEXT_THREAD).unwrap();
    let source = AnySource::detect(dir.path()).unwrap();
    assert_eq!((source.format(), source.plan().await.unwrap().threads), (Format::Zed, 2));
    fs::write(
        dir.path().join("threads/threads.db"),
        &fs::read(dir.path().join("threads/threads.db")).unwrap()[..5_000],
    )
    .unwrap();
    let report = source.plan().await.unwrap();
    assert_eq!((report.threads, report.skipped[0].kind.name()), (1, "unreadable"));
}

#[tokio::test]
async fn a_database_without_threads_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("threads.db");
    let sql = database(&path, "CREATE TABLE other (id)");
    let error = Zed::open(&path).unwrap_err();
    assert!(matches!(&error, TransferError::NoTable { table, .. } if table == "threads"), "{error}");
    sql.execute_batch("CREATE TABLE threads (id, data)").unwrap();
    let error = Zed::open(&path).unwrap_err();
    assert!(
        matches!(&error, TransferError::NoColumns { missing, .. } if missing == &["data_type"]),
        "{error}"
    );
}
