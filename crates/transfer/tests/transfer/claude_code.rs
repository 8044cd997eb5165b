//! Session logs of Claude Code.

use std::fs;

use throughline_core::{Content, Role, Timestamp};
use throughline_transfer::{AnySource, ClaudeCode, FindingKind, Format};

use crate::support::{cut_at_every_byte, everything, ids, rows, sample, store};

/// 2025-06-14T10:00:00Z
const TEN: i64 = 1_749_895_200_000_000;

fn user(session: &str, uuid: &str, parent: &str, second: u32, content: &str) -> String {
    format!(
        r#"{{"type":"user","sessionId":"{session}","uuid":"{uuid}","parentUuid":{parent},"timestamp":"2025-06-14T10:00:{second:02}Z","message":{{"role":"user","content":{content}}}}}"#
    )
}

fn assistant(session: &str, uuid: &str, second: u32, block: &str) -> String {
    format!(
        r#"{{"type":"assistant","sessionId":"{session}","uuid":"{uuid}","timestamp":"2025-06-14T10:00:{second:02}Z","message":{{"id":"msg_1","role":"assistant","content":[{block}]}}}}"#
    )
}

fn log(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
async fn every_line_of_an_answer_is_a_message_with_its_id_role_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.jsonl");
    let lines = [
        user("s", "u1", "null", 0, r#""caf\u00e9""#),
        assistant("s", "u2", 1, r#"{"type":"text","text":"Look:"}"#),
        assistant("s", "u3", 2, r#"{"type":"tool_use","id":"t1","name":"Read","input":{"a":1.10}}"#),
        user("s", "u4", r#""u3""#, 3, r#"[{"type":"tool_result","tool_use_id":"t1","content":"x"}]"#),
    ];
    fs::write(&path, log(&lines)).unwrap();
    let db = store();
    let report = ClaudeCode::open(&path).unwrap().import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.skipped.len(), report.warnings.len()), (1, 4, 0, 0));
    let rows = rows(&db, "s").await;
    let facts: Vec<_> =
        rows.iter().map(|row| (row.id.as_str(), row.role, row.created_at.as_micros() - TEN)).collect();
    assert_eq!(
        facts,
        [
            ("u1", Role::User, 0),
            ("u2", Role::Assistant, 1_000_000),
            ("u3", Role::Assistant, 2_000_000),
            ("u4", Role::Tool, 3_000_000)
        ]
    );
    assert_eq!(rows[0].content.as_json(), r#"[{"type":"text","text":"caf\u00e9"}]"#);
    assert_eq!(
        rows[2].content.as_json(),
        r#"[{"type":"tool_use","id":"t1","name":"Read","input":{"a":1.10}}]"#
    );
    assert_eq!(
        rows[2].metadata.get("source.record").unwrap().get(),
        lines[2].replace(r#"[{"type":"tool_use","id":"t1","name":"Read","input":{"a":1.10}}]"#, "null")
    );
    let (thread, _) = &everything(&db).await["s"];
    assert_eq!(thread.labels.get("source").unwrap().as_str(), "claude-code");
    assert_eq!(thread.created_at, Timestamp::from_micros(TEN));
    assert_eq!(thread.turns, 1);
}

#[tokio::test]
async fn a_grown_log_adds_the_new_lines_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.jsonl");
    let lines = [
        user("s", "u1", "null", 0, r#""one""#),
        assistant("s", "u2", 1, r#"{"type":"text","text":"two"}"#),
        user("s", "u3", r#""u2""#, 2, r#""three""#),
    ];
    fs::write(&path, log(&lines[..2])).unwrap();
    let (db, source) = (store(), ClaudeCode::open(&path).unwrap());
    assert_eq!(source.import(&db).await.unwrap().messages, 2);
    let again = source.import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there, again.skipped.len()), (0, 2, 0));
    fs::write(&path, log(&lines)).unwrap();
    let grown = source.import(&db).await.unwrap();
    assert_eq!((grown.messages, grown.already_there), (1, 2));
    assert_eq!(
        ids(&db, "s").await,
        [("u1".to_owned(), "user"), ("u2".to_owned(), "assistant"), ("u3".to_owned(), "user")]
    );
}

#[tokio::test]
async fn a_resumed_session_repeats_no_message_and_keeps_the_order() {
    let dir = tempfile::tempdir().unwrap();
    // The file of the resumed session comes first by name, and repeats only the beginning.
    let resumed = [
        user("b", "b1", "null", 0, r#""one""#),
        user("a", "b1", "null", 0, r#""one""#),
        user("a", "a9", r#""b2""#, 9, r#""resumed""#),
    ];
    let first = [user("b", "b1", "null", 0, r#""one""#), user("b", "b2", r#""b1""#, 1, r#""two""#)];
    fs::write(dir.path().join("a.jsonl"), log(&resumed)).unwrap();
    fs::write(dir.path().join("b.jsonl"), log(&first)).unwrap();
    let (db, source) = (store(), ClaudeCode::open(dir.path()).unwrap());
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.already_there, report.skipped.len()), (2, 4, 1, 0));
    assert_eq!(ids(&db, "b").await, [("b1".to_owned(), "user"), ("b2".to_owned(), "user")]);
    assert_eq!(ids(&db, "a").await, [("b1".to_owned(), "user"), ("a9".to_owned(), "user")]);
    assert_eq!(source.import(&db).await.unwrap().messages, 0);
}

#[tokio::test]
async fn a_side_chain_is_a_thread_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let side = |line: String, agent: &str| line.replacen('{', &format!(r#"{{"isSidechain":true{agent},"#), 1);
    let lines = [
        user("s", "u1", "null", 0, r#""main""#),
        side(user("s", "c1", "null", 1, r#""side""#), ""),
        user("s", "u2", r#""u1""#, 2, r#""main again""#),
        side(user("s", "c2", r#""c1""#, 3, r#""side again""#), ""),
        side(user("s", "d1", "null", 4, r#""agent""#), r#","agentId":"7""#),
    ];
    fs::write(dir.path().join("s.jsonl"), log(&lines)).unwrap();
    let db = store();
    let report = ClaudeCode::open(dir.path()).unwrap().import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages), (3, 5));
    assert_eq!(ids(&db, "s").await, [("u1".to_owned(), "user"), ("u2".to_owned(), "user")]);
    assert_eq!(ids(&db, "s/c1").await, [("c1".to_owned(), "user"), ("c2".to_owned(), "user")]);
    assert_eq!(ids(&db, "s/7").await, [("d1".to_owned(), "user")]);
    let all = everything(&db).await;
    assert_eq!(all["s/c1"].0.metadata.get("source.parent").unwrap().get(), "\"s\"");
    assert!(all["s"].0.metadata.is_empty());
}

#[tokio::test]
async fn an_attachment_has_the_name_of_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.jsonl");
    let line = r#"{"type":"attachment","sessionId":"s","uuid":"u1","timestamp":"2025-06-14T10:00:00Z","attachment":{"type":"file","filename":"docs/a.md","content":"x"}}"#;
    fs::write(&path, line).unwrap();
    let db = store();
    ClaudeCode::open(&path).unwrap().import(&db).await.unwrap();
    let rows = rows(&db, "s").await;
    assert_eq!(rows[0].attachments[0].as_str(), "docs/a.md");
    assert_eq!(
        rows[0].content.as_json(),
        r#"[{"type":"attachment","attachment":{"type":"file","filename":"docs/a.md","content":"x"}}]"#
    );
}

#[tokio::test]
async fn titles_bookkeeping_and_unknown_records_are_distinguished() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.jsonl");
    let unknown = r#"{"type":"hologram","sessionId":"s","depth":3}"#;
    let lines = [
        r#"{"type":"file-history-snapshot","messageId":"u1","snapshot":{}}"#.to_owned(),
        user("s", "u1", "null", 0, r#""one""#),
        r#"{"type":"summary","summary":"A summary","leafUuid":"u1"}"#.to_owned(),
        r#"{"type":"summary","summary":"Of another session","leafUuid":"elsewhere"}"#.to_owned(),
        r#"{"type":"ai-title","aiTitle":"By the model","sessionId":"s"}"#.to_owned(),
        unknown.to_owned(),
        "{\"torn".to_owned(),
    ];
    fs::write(&path, log(&lines)).unwrap();
    let db = store();
    let report = ClaudeCode::open(&path).unwrap().import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages), (1, 2));
    assert_eq!(
        report.omitted.into_iter().collect::<Vec<_>>(),
        [("file-history-snapshot".to_owned(), 1), ("summary".to_owned(), 1)]
    );
    let warned: Vec<String> = report.warnings.iter().map(ToString::to_string).collect();
    let at = |line| format!("{}:{line}", path.display());
    assert_eq!(
        warned,
        [
            format!("{}: the line is of the type `hologram`", at(6)),
            format!("{}: `timestamp` is no time", at(6)),
        ]
    );
    let skipped: Vec<String> = report.skipped.iter().map(ToString::to_string).collect();
    assert_eq!(skipped, [format!("{}: the line is not JSON, from column 6 on", at(7))]);
    let (thread, rows) = &everything(&db).await["s"];
    assert_eq!(thread.title.as_str(), "By the model");
    assert_eq!(
        (rows[1].role, rows[1].content.clone()),
        (
            Role::System,
            Content::from_json(format!(r#"[{{"type":"source.record","record":{unknown}}}]"#)).unwrap()
        )
    );
}

#[tokio::test]
async fn a_large_record_is_kept_in_the_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.jsonl");
    let result = format!(r#"{{"toolUseResult":"{}","#, "x".repeat(100_000));
    fs::write(&path, user("s", "u1", "null", 0, r#""one""#).replacen('{', &result, 1)).unwrap();
    let db = store();
    ClaudeCode::open(&path).unwrap().import(&db).await.unwrap();
    let rows = rows(&db, "s").await;
    assert!(rows[0].metadata.is_empty());
    assert!(rows[0].content.as_json().starts_with(
        r#"[{"type":"text","text":"one"},{"type":"source.record","record":{"toolUseResult":"xxx"#
    ));
}

#[tokio::test]
async fn a_log_that_is_cut_off_anywhere_is_imported_up_to_there() {
    let dir = tempfile::tempdir().unwrap();
    let whole = log(&[
        user("s", "u1", "null", 0, r#""é""#),
        assistant("s", "u2", 1, r#"{"type":"text","text":"two"}"#),
        r#"{"type":"hologram","sessionId":"s"}"#.to_owned(),
    ]);
    let open = |path: &std::path::Path| ClaudeCode::open(path).unwrap().into();
    cut_at_every_byte(&dir.path().join("s.jsonl"), whole.as_bytes(), open).await;
}

#[tokio::test]
async fn hostile_logs_are_bounded_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.jsonl");
    let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
    let lines = [
        user("s", "u1", "null", 0, &deep),
        user("s", "u2", "null", 0, &format!("\"{}\"", "x".repeat(500_000))),
        user(&"s".repeat(300), "u3", "null", 0, "\"a long session\""),
        user("s", &"u".repeat(300), "null", 0, "\"a long uuid\""),
        user("s", "u1", "null", 0, "\"a repeated uuid\""),
    ];
    fs::write(&path, log(&lines)).unwrap();
    let db = store();
    let source = ClaudeCode::open(&path).unwrap().with_max_line_bytes(450_000);
    let report = source.import(&db).await.unwrap();
    let skipped: Vec<_> =
        report.skipped.iter().map(|found| (found.location.to_string(), found.kind.name())).collect();
    let at = |line: &str| format!("{}{line}", path.display());
    assert_eq!(skipped, [(at(":2"), "line-too-long"), (at(":5"), "repeated-id"), (at(""), "invalid-id")]);
    assert_eq!(report.messages, 2);
    assert_eq!(rows(&db, "s").await[0].content.as_json(), deep);
}

#[cfg(unix)]
#[tokio::test]
async fn a_symbolic_link_is_not_followed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let secret = other.path().join("secret.jsonl");
    fs::write(&secret, user("s", "u1", "null", 0, r#""one""#)).unwrap();
    std::os::unix::fs::symlink(&secret, dir.path().join("link.jsonl")).unwrap();
    std::os::unix::fs::symlink(other.path(), dir.path().join("folder")).unwrap();
    let report = ClaudeCode::open(dir.path()).unwrap().plan().await.unwrap();
    assert_eq!((report.messages, report.skipped.len()), (0, 1));
    assert_eq!(report.skipped[0].kind, FindingKind::SymbolicLink);
}

#[tokio::test]
async fn the_sample_logs_are_imported_whole_and_once() {
    let Some(folder) = sample("logs of Claude Code", "claude-code") else { return };
    let (db, source) = (store(), AnySource::detect(&folder).unwrap());
    assert_eq!(source.format(), Format::ClaudeCode);
    let report = source.import(&db).await.unwrap();
    // One line has the id of another one, and other content.
    assert_eq!(report.messages + 1, lines_to_import(&folder));
    let kinds: Vec<_> = report.skipped.iter().map(|found| found.kind.name()).collect();
    assert_eq!(kinds, ["no-object", "no-object", "no-object", "differs"]);
    let threads = everything(&db).await;
    let names: Vec<_> = threads.keys().map(String::as_str).collect();
    assert_eq!(names, ["edge_cases", "session_b", "test_session", "todowrite_session"]);
    assert_eq!(
        ids(&db, "session_b").await,
        [
            ("session_b_001".to_owned(), "user"),
            ("session_b_002".to_owned(), "assistant"),
            ("session_b_003".to_owned(), "user"),
        ]
    );
    let again = source.import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there), (0, report.messages));
}

/// Counts the lines that are objects, except for summaries.
fn lines_to_import(folder: &std::path::Path) -> u64 {
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let text = fs::read_to_string(path).unwrap();
            let is_one =
                |line: &&str| line.starts_with('{') && !line.replace(' ', "").contains(r#""type":"summary""#);
            count += text.lines().filter(is_one).count() as u64;
        }
    }
    count
}
