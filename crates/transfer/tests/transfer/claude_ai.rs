//! The data export of Claude.ai.

use std::{fs, io::Write as _, path::Path};

use throughline_core::{Role, Timestamp, ids::AttachmentKey};
use throughline_transfer::{AnySource, ClaudeAi, FindingKind, Format};

use crate::support::{cut_at_every_byte, everything, ids, rows, store};

/// 2025-06-14T10:00:00Z
const TEN: i64 = 1_749_895_200_000_000;

fn message(uuid: &str, sender: &str, second: u32, rest: &str) -> String {
    format!(
        r#"{{"uuid":"{uuid}","text":"{uuid} text","sender":"{sender}","created_at":"2025-06-14T10:00:{second:02}.000000Z","updated_at":"2025-06-14T10:00:{second:02}.5Z"{rest}}}"#
    )
}

fn conversation(uuid: &str, messages: &[String]) -> String {
    format!(
        r#"{{"uuid":"{uuid}","name":"Title of {uuid}","summary":"","created_at":"2025-06-14T10:00:00Z","updated_at":"2025-06-14T11:00:00Z","account":{{"uuid":"a"}},"chat_messages":[{}]}}"#,
        messages.join(",")
    )
}

fn parent(uuid: &str) -> String {
    format!(r#","content":[],"parent_message_uuid":"{uuid}""#)
}

const ROOT: &str = "00000000-0000-4000-8000-000000000000";

#[tokio::test]
async fn every_message_has_its_id_role_time_and_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.bin");
    let blocks = r#"[{"type":"thinking","thinking":"t"},{"type":"text","text":"m2  text","citations":[]},{"type":"tool_use","name":"n","input":{"a":1.10}}]"#;
    let messages = [
        message(
            "m1",
            "human",
            1,
            r#","content":[],"attachments":[{"file_name":"a.txt","extracted_content":"x"}],"files":[{"file_name":"b.png"},{"file_name":"a.txt"},{}]"#,
        ),
        message("m2", "assistant", 2, &format!(r#","content":{blocks}"#)),
        message("m3", "human", 3, r#","content":[{"type":"text","text":"other"}]"#),
        message("m4", "narrator", 4, ""),
    ];
    let text = format!("[\n{},\n{}\n]", conversation("c", &messages), conversation("empty", &[]));
    fs::write(&path, text).unwrap();
    let (db, source) = (store(), AnySource::detect(&path).unwrap());
    assert_eq!(source.format(), Format::ClaudeAi);
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.skipped.len()), (2, 4, 0));
    let warned: Vec<_> = report.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warned, [format!("{}:2: there is no role `narrator`", path.display())]);
    let (thread, rows) = &everything(&db).await["c"];
    assert_eq!((thread.title.as_str(), thread.created_at), ("Title of c", Timestamp::from_micros(TEN)));
    assert_eq!(thread.labels.get("source").unwrap().as_str(), "claude-ai");
    assert_eq!(
        thread.metadata.get("source.record").unwrap().get(),
        conversation("c", &[]).replace("[]", "null")
    );
    let facts: Vec<_> = rows
        .iter()
        .map(|row| {
            (row.id.as_str(), row.role, row.created_at.as_micros() - TEN, row.updated_at.as_micros() - TEN)
        })
        .collect();
    assert_eq!(
        facts,
        [
            ("m1", Role::User, 1_000_000, 1_500_000),
            ("m2", Role::Assistant, 2_000_000, 2_500_000),
            ("m3", Role::User, 3_000_000, 3_500_000),
            ("m4", Role::System, 3_000_000, 3_000_000),
        ]
    );
    assert_eq!(rows[0].content.as_json(), r#"[{"type":"text","text":"m1 text"}]"#);
    let keys: Vec<_> = rows[0].attachments.iter().map(AttachmentKey::as_str).collect();
    assert_eq!(keys, ["a.txt", "b.png"]);
    assert_eq!(rows[1].content.as_json(), blocks);
    // The text repeats the blocks of the second message, and differs from those of the third.
    let record = |at: usize| rows[at].metadata.get("source.record").unwrap().get();
    assert!(record(1).contains(r#""text":null"#), "{}", record(1));
    assert!(record(2).contains(r#""text":"m3 text""#), "{}", record(2));
    assert_eq!(
        rows[3].content.as_json(),
        format!(r#"[{{"type":"source.record","record":{}}}]"#, messages[3])
    );
}

#[tokio::test]
async fn a_later_export_adds_the_new_messages_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conversations.json");
    let messages =
        [message("m1", "human", 1, ""), message("m2", "assistant", 2, ""), message("m3", "human", 3, "")];
    let write = |messages: &[String]| {
        fs::write(&path, format!("[{}]", conversation("c", messages))).unwrap();
    };
    write(&messages[..2]);
    let (db, source) = (store(), ClaudeAi::open(dir.path()).unwrap());
    assert_eq!(source.import(&db).await.unwrap().messages, 2);
    let again = source.import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there, again.skipped.len()), (0, 2, 0));
    // Only the time of change differs.
    let touched = messages[0].replace("01.5Z", "59Z");
    write(&[touched, messages[1].clone(), messages[2].clone()]);
    let grown = source.import(&db).await.unwrap();
    assert_eq!((grown.messages, grown.already_there, grown.skipped.len()), (1, 2, 0));
    assert_eq!(rows(&db, "c").await.len(), 3);
}

#[tokio::test]
async fn an_edited_question_is_a_fork() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conversations.json");
    let mut messages = vec![
        message("m1", "human", 1, &parent(ROOT)),
        message("m2", "assistant", 2, &parent("m1")),
        message("e1", "human", 3, &parent("m2")),
        message("m3", "human", 4, &parent("m2")),
        message("m4", "assistant", 5, &parent("m3")),
    ];
    fs::write(&path, conversation("c", &messages)).unwrap();
    let (db, source) = (store(), AnySource::detect(&path).unwrap());
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.warnings.len()), (2, 7, 0));
    let names = |ids: Vec<(String, &'static str)>| ids.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(names(ids(&db, "c").await), ["m1", "m2", "m3", "m4"]);
    assert_eq!(names(ids(&db, "c/e1").await), ["m1", "m2", "e1"]);
    let fork = everything(&db).await["c/e1"].0.clone();
    assert_eq!(fork.metadata.get("source.parent").unwrap().get(), "\"c\"");
    let point = fork.forked_from.unwrap();
    assert_eq!((point.thread.as_str(), point.message.as_str()), ("c", "m2"));
    // The current path changes: the threads stay, and the new answer is a fork.
    messages.push(message("n4", "assistant", 6, &parent("m3")));
    fs::write(&path, conversation("c", &messages)).unwrap();
    let grown = source.import(&db).await.unwrap();
    assert_eq!((grown.threads, grown.messages, grown.already_there, grown.skipped.len()), (3, 4, 7, 0));
    assert_eq!(names(ids(&db, "c").await), ["m1", "m2", "m3", "m4"]);
    assert_eq!(names(ids(&db, "c/n4").await), ["m1", "m2", "m3", "n4"]);
    assert_eq!(source.import(&db).await.unwrap().messages, 0);
}

fn zip(path: &Path, entries: &[(&str, &str)]) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    for (name, text) in entries {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
}

#[tokio::test]
async fn an_archive_is_read_without_being_unpacked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export");
    let one = format!("[{}]", conversation("c", &[message("m1", "human", 1, "")]));
    zip(&path, &[("users.json", r#"[{"uuid":"u"}]"#), ("projects.json", "[]"), ("conversations.json", &one)]);
    let (db, source) = (store(), AnySource::detect(&path).unwrap());
    assert_eq!(source.format(), Format::ClaudeAi);
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.skipped.len()), (1, 1, 0));
}

#[tokio::test]
async fn an_export_that_is_cut_off_anywhere_is_imported_up_to_there() {
    let dir = tempfile::tempdir().unwrap();
    let one =
        |uuid| format!(r#"{{"uuid":"{uuid}","chat_messages":[{{"uuid":"é","sender":"human","text":"t"}}]}}"#);
    let text = format!("[{},\n{}]", one("a"), one("b"));
    let open = |path: &Path| ClaudeAi::open(path).unwrap().into();
    cut_at_every_byte(&dir.path().join("conversations.json"), text.as_bytes(), open).await;
}

#[tokio::test]
async fn hostile_conversations_are_bounded_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conversations.json");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let conversations = [
        conversation(
            "circle",
            &[message("x", "human", 1, &parent("y")), message("y", "human", 2, &parent("x"))],
        ),
        conversation(
            "self",
            &[message("x", "human", 1, &parent("x")), message("y", "human", 2, &parent(ROOT))],
        ),
        conversation(
            "orphan",
            &[message("x", "human", 1, &parent("gone")), message("y", "human", 2, &parent("x"))],
        ),
        conversation("twice", &[message("x", "human", 1, ""), message("x", "human", 2, "")]),
        conversation("twice", &[]),
        conversation("deep", &[message("x", "human", 1, &format!(r#","content":{deep}"#))]),
        conversation("deeper", &[deep]),
        conversation("long", &[message(&"u".repeat(300), "human", 1, "")]),
        conversation(&"c".repeat(300), &[]),
        conversation("large", &[message("x", "human", 1, &format!(r#","z":"{}""#, "x".repeat(1 << 20)))]),
        r#"{"uuid":"none"}"#.to_owned(),
        r#"{"uuid":"other","chat_messages":7}"#.to_owned(),
        "7".to_owned(),
    ];
    fs::write(&path, format!("[\n{}\n]", conversations.join(",\n"))).unwrap();
    let source = ClaudeAi::open(&path).unwrap().with_max_record_bytes(1 << 20);
    let report = source.import(&store()).await.unwrap();
    let at = |line: usize| format!("{}:{line}", path.display());
    let skipped: Vec<_> =
        report.skipped.iter().map(|found| (found.location.to_string(), found.kind.name())).collect();
    assert_eq!(
        skipped,
        [
            (at(2), "circle"),
            (at(3), "circle"),
            (at(5), "repeated-id"),
            (at(6), "repeated-id"),
            (at(9), "invalid-id"),
            (at(10), "invalid-id"),
            (at(11), "too-large"),
            (at(12), "no-field"),
            (at(13), "wrong-field"),
            (at(14), "no-object"),
        ]
    );
    let warned: Vec<_> =
        report.warnings.iter().map(|found| (found.location.to_string(), found.kind.clone())).collect();
    assert_eq!(warned, [(at(4), FindingKind::NoParent("gone".to_owned())), (at(8), FindingKind::NoObject)]);
    assert_eq!(report.messages, 1 + 2 + 1 + 1 + 1);
}

#[tokio::test]
async fn a_text_with_other_words_than_the_blocks_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("conversations.json");
    let message = |uuid: &str, text: &str| {
        format!(
            r#"{{"uuid":"{uuid}","sender":"human","created_at":"2025-06-14T10:00:00Z","text":"{text}","content":[{{"type":"text","text":"nowhere to go"}}]}}"#
        )
    };
    let messages = [message("m1", "no where to go"), message("m2", "nowhere  to\\ngo")];
    fs::write(&path, conversation("c", &messages)).unwrap();
    let db = store();
    assert_eq!(ClaudeAi::open(&path).unwrap().import(&db).await.unwrap().messages, 2);
    let rows = rows(&db, "c").await;
    let record = |at: usize| rows[at].metadata.get("source.record").unwrap().get();
    assert!(record(0).contains(r#""text":"no where to go""#), "{}", record(0));
    assert!(record(1).contains(r#""text":null"#), "{}", record(1));
}
