//! Exports of LibreChat.

use std::{fs, path::Path};

use throughline_core::{Role, Timestamp};
use throughline_transfer::{AnySource, FindingKind, Format, LibreChat};

use crate::support::{cut_at_every_byte, everything, ids, rows, store};

/// 2025-06-14T10:00:00Z
const TEN: i64 = 1_749_895_200_000_000;
const ROOT: &str = "00000000-0000-0000-0000-000000000000";

/// Returns a message, with the messages inside of it if there are any.
fn message(id: &str, parent: &str, second: u32, children: &str) -> String {
    let is_user = id.starts_with('q');
    format!(
        r#"{{"messageId":"{id}","parentMessageId":"{parent}","isCreatedByUser":{is_user},"text":"{id} text","createdAt":"2025-06-14T10:00:{second:02}.000Z","updatedAt":"2025-06-14T10:00:{second:02}.500Z"{children}}}"#
    )
}

fn children(messages: &[String]) -> String {
    format!(r#","children":[{}]"#, messages.join(","))
}

fn conversation(id: &str, field: &str, messages: &[String]) -> String {
    format!(
        r#"{{"conversationId":"{id}","endpoint":"openAI","title":"Title of {id}","exportAt":"10:00:00","{field}":[{}]}}"#,
        messages.join(",")
    )
}

/// q1 - a1 - q2 - a2, and a1 - q3 - a3; the last one is the current path.
fn flat() -> Vec<String> {
    vec![
        message("q1", ROOT, 1, ""),
        message("a1", "q1", 2, ""),
        message("q2", "a1", 3, ""),
        message("a2", "q2", 4, ""),
        message("q3", "a1", 5, ""),
        message("a3", "q3", 6, ""),
    ]
}

fn nested() -> Vec<String> {
    let second = message("q2", "a1", 3, &children(&[message("a2", "q2", 4, &children(&[]))]));
    let third = message("q3", "a1", 5, &children(&[message("a3", "q3", 6, &children(&[]))]));
    let answer = message("a1", "q1", 2, &children(&[second, third]));
    vec![message("q1", ROOT, 1, &children(&[answer]))]
}

fn names(ids: Vec<(String, &'static str)>) -> Vec<String> {
    ids.into_iter().map(|(id, _)| id).collect()
}

#[tokio::test]
async fn a_list_and_a_tree_become_the_same_threads() {
    let dir = tempfile::tempdir().unwrap();
    let (list, tree) = (dir.path().join("list"), dir.path().join("tree"));
    fs::write(&list, conversation("c", "messages", &flat())).unwrap();
    let pretty = conversation("c", "messagesTree", &nested()).replace("},{", "},\n  {");
    fs::write(&tree, pretty).unwrap();
    let mut threads = Vec::new();
    for path in [list, tree] {
        let (db, source) = (store(), AnySource::detect(&path).unwrap());
        assert_eq!(source.format(), Format::LibreChat);
        let report = source.import(&db).await.unwrap();
        assert_eq!((report.threads, report.messages), (2, 8));
        assert_eq!((report.skipped.len(), report.warnings.len()), (0, 0));
        assert_eq!(names(ids(&db, "c").await), ["q1", "a1", "q3", "a3"]);
        assert_eq!(names(ids(&db, "c/q2").await), ["q1", "a1", "q2", "a2"]);
        let all = everything(&db).await;
        let point = all["c/q2"].0.forked_from.clone().unwrap();
        assert_eq!((point.thread.as_str(), point.message.as_str()), ("c", "a1"));
        assert_eq!(all["c"].0.title.as_str(), "Title of c");
        assert_eq!(all["c"].0.created_at, Timestamp::from_micros(TEN + 1_000_000));
        threads.push(all["c"].1.iter().map(|row| (row.content.clone(), row.role)).collect::<Vec<_>>());
        let again = source.import(&db).await.unwrap();
        assert_eq!((again.messages, again.already_there), (0, 8));
    }
    assert_eq!(threads[0], threads[1]);
}

#[tokio::test]
async fn every_message_has_its_id_role_time_and_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.json");
    let blocks = r#"[{"type":"think","think":"t"},{"type":"text","text":"x"}]"#;
    let messages = [
        message("q1", ROOT, 1, r#","files":[{"filename":"a.png"}],"content":[]"#),
        message("a1", "q1", 2, &format!(r#","content":{blocks},"model":"m""#)),
        r#"{"messageId":"u1","sender":"User","text":"by sender"}"#.to_owned(),
        r#"{"messageId":"x1","text":"no author"}"#.to_owned(),
        r#"{"messageId":"x2","isCreatedByUser":true}"#.to_owned(),
        "7".to_owned(),
    ];
    fs::write(&path, conversation("c", "messages", &messages)).unwrap();
    let db = store();
    let report = LibreChat::open(dir.path()).unwrap().import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.skipped.len()), (1, 6, 0));
    let warned: Vec<_> = report.warnings.iter().map(|found| found.kind.clone()).collect();
    assert_eq!(
        warned,
        [
            FindingKind::NoTime("createdAt"),
            FindingKind::NoField("isCreatedByUser"),
            FindingKind::NoField("text"),
            FindingKind::NoObject
        ]
    );
    let rows = rows(&db, "c").await;
    let facts: Vec<_> = rows
        .iter()
        .map(|row| {
            (row.id.as_str(), row.role, row.created_at.as_micros() - TEN, row.updated_at.as_micros() - TEN)
        })
        .collect();
    assert_eq!(
        facts[..5],
        [
            ("q1", Role::User, 1_000_000, 1_500_000),
            ("a1", Role::Assistant, 2_000_000, 2_500_000),
            ("u1", Role::User, 2_000_000, 2_000_000),
            ("x1", Role::System, 2_000_000, 2_000_000),
            ("x2", Role::System, 2_000_000, 2_000_000),
        ]
    );
    assert_eq!(rows[0].content.as_json(), r#"[{"type":"text","text":"q1 text"}]"#);
    assert_eq!(rows[0].attachments[0].as_str(), "a.png");
    assert_eq!(rows[1].content.as_json(), blocks);
    assert!(rows[1].metadata.get("source.record").unwrap().get().contains(r#""model":"m""#));
    assert_eq!(rows[5].content.as_json(), r#"[{"type":"source.record","record":7}]"#);
}

#[tokio::test]
async fn a_grown_conversation_adds_the_new_messages_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.json");
    let write = |messages: &[String]| fs::write(&path, conversation("c", "messages", messages)).unwrap();
    write(&flat()[..4]);
    let (db, source) = (store(), LibreChat::open(&path).unwrap());
    assert_eq!(source.import(&db).await.unwrap().messages, 4);
    assert_eq!(source.import(&db).await.unwrap().messages, 0);
    // The path that the store has stays, and the new one is a fork of four messages.
    write(&flat());
    let grown = source.import(&db).await.unwrap();
    assert_eq!((grown.threads, grown.messages, grown.already_there, grown.skipped.len()), (2, 4, 4, 0));
    assert_eq!(names(ids(&db, "c").await), ["q1", "a1", "q2", "a2"]);
    assert_eq!(names(ids(&db, "c/q3").await), ["q1", "a1", "q3", "a3"]);
    let mut more = flat();
    more.push(message("q4", "a2", 7, ""));
    write(&more);
    let grown = source.import(&db).await.unwrap();
    assert_eq!((grown.messages, grown.already_there), (1, 8));
    assert_eq!(names(ids(&db, "c").await), ["q1", "a1", "q2", "a2", "q4"]);
}

#[tokio::test]
async fn an_export_that_is_cut_off_anywhere_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.json");
    let open = |path: &Path| LibreChat::open(path).unwrap().into();
    let text = r#"{"conversationId":"c","messagesTree":[{"messageId":"é","isCreatedByUser":true,"text":"t","createdAt":"2025-06-14T10:00:00Z","children":[{"messageId":"b","sender":"m","text":"u"}]}]}"#;
    cut_at_every_byte(&path, text.as_bytes(), open).await;
}

#[tokio::test]
async fn hostile_trees_are_bounded_and_named() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a", conversation("circle", "messages", &[message("x", "y", 1, ""), message("y", "x", 2, "")])),
        ("b", conversation("orphan", "messages", &[message("x", "gone", 1, "")])),
        ("c", conversation("object", "messages", &[]).replace("[]", "{}")),
        ("d", r#"{"conversationId":"none"}"#.to_owned()),
        ("e", conversation("large", "messages", &["x".repeat(2 << 20)])),
        ("f", conversation("circle", "messages", &[])),
    ] {
        fs::write(dir.path().join(name).with_extension("json"), text).unwrap();
    }
    let source = LibreChat::open(dir.path()).unwrap().with_max_record_bytes(1 << 20);
    let report = source.plan().await.unwrap();
    let skipped: Vec<_> =
        report.skipped.iter().map(|found| (found.location.to_string(), found.kind.name())).collect();
    let due = |name: &str, kind| (format!("{}/{name}.json:1", dir.path().display()), kind);
    assert_eq!(
        skipped,
        [
            due("a", "circle"),
            due("c", "wrong-field"),
            due("d", "no-field"),
            due("e", "too-large"),
            due("f", "repeated-id"),
        ]
    );
    let warned: Vec<_> = report.warnings.iter().map(|found| found.kind.clone()).collect();
    assert_eq!(warned, [FindingKind::NoParent("gone".to_owned())]);
}

#[tokio::test]
async fn a_deep_tree_is_read_in_one_pass() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.json");
    let ids: String = (0..5_000).map(|at| format!(r#"[{{"messageId":"q{at}","children":"#)).collect();
    let deep = format!("{ids}[]{}", "}]".repeat(5_000));
    fs::write(&path, conversation("deep", "messagesTree", &[]).replace("[]", &deep)).unwrap();
    let report = LibreChat::open(&path).unwrap().plan().await.unwrap();
    assert_eq!((report.threads, report.messages, report.skipped.len()), (1, 5_000, 0));
}
