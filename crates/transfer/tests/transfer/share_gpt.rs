//! Conversations of ShareGPT.

use std::fs;

use throughline_core::Role;
use throughline_transfer::{AnySource, FindingKind, Format, ShareGpt};

use crate::support::{cut_at_every_byte, everything, ids, rows, sample, store};

#[tokio::test]
async fn a_conversation_becomes_a_thread_with_its_messages() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.jsonl");
    fs::write(
        &path,
        concat!(
            r#"{"id":"a_0","title":"A","model":"m","conversations":[{"from":"system","value":"s"},{"from":"human","value":"h\u00e9"},{"from":"gpt","value":""},{"from":"observation","value":"o","score":1}]}"#,
            "\n",
            r#"{"id":"a_1","conversations":[{"role":"user","content":"h"},{"from":"narrator","value":"n"}]}"#,
        ),
    )
    .unwrap();
    let db = store();
    let report = ShareGpt::open(&path).unwrap().import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.skipped.len()), (2, 6, 0));
    let (thread, rows) = &everything(&db).await["a_0"];
    assert_eq!(thread.title.as_str(), "A");
    assert_eq!(
        thread.metadata.get("source.record").unwrap().get(),
        r#"{"id":"a_0","title":"A","model":"m","conversations":null}"#
    );
    let roles: Vec<_> = rows.iter().map(|row| row.role).collect();
    assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool]);
    assert_eq!(rows[1].content.as_json(), r#"[{"type":"text","text":"h\u00e9"}]"#);
    assert!(rows[1].metadata.is_empty());
    assert_eq!(
        rows[3].metadata.get("source.record").unwrap().get(),
        r#"{"from":"observation","value":null,"score":1}"#
    );
    assert_eq!(report.warnings.len(), 1);
    assert_eq!(report.warnings[0].kind, FindingKind::UnknownRole("narrator".to_owned()));
    assert_eq!(report.warnings[0].location.to_string(), format!("{}:2", path.display()));
    assert_eq!(ids(&db, "a_1").await, [("message-1".to_owned(), "user"), ("message-2".to_owned(), "system")]);
}

#[tokio::test]
async fn a_grown_conversation_adds_the_new_messages_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.json");
    let write = |more: &str| {
        fs::write(
            &path,
            format!(r#"[ {{"id":"a","conversations":[{{"from":"human","value":"h"}}{more}]}} ]"#),
        )
        .unwrap();
    };
    write("");
    let (db, source) = (store(), ShareGpt::open(&path).unwrap());
    assert_eq!(source.import(&db).await.unwrap().messages, 1);
    assert_eq!(source.import(&db).await.unwrap().messages, 0);
    write(r#",{"from":"gpt","value":"g"}"#);
    let grown = source.import(&db).await.unwrap();
    assert_eq!((grown.messages, grown.already_there), (1, 1));
    assert_eq!(rows(&db, "a").await.len(), 2);
}

#[tokio::test]
async fn a_file_that_is_cut_off_anywhere_is_imported_up_to_there() {
    let dir = tempfile::tempdir().unwrap();
    let one = |id| format!(r#"{{"id":"{id}","conversations":[{{"from":"human","value":"é"}}]}}"#);
    let open = |path: &std::path::Path| ShareGpt::open(path).unwrap().into();
    let lines = format!("{}\n{}\n", one("a"), one("b"));
    cut_at_every_byte(&dir.path().join("c.jsonl"), lines.as_bytes(), open).await;
    let array = format!("[{},\n{}]", one("a"), one("b"));
    cut_at_every_byte(&dir.path().join("c.json"), array.as_bytes(), open).await;
}

#[tokio::test]
async fn invalid_conversations_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.jsonl");
    let lines = [
        r#"{"id":"a","conversations":[]}"#.to_owned(),
        r#"{"id":"a","conversations":[]}"#.to_owned(),
        r#"{"id":"b","conversations":7}"#.to_owned(),
        r#"{"id":"c"}"#.to_owned(),
        format!(r#"{{"id":"{}","conversations":[]}}"#, "x".repeat(256)),
        format!(r#"{{"id":"d","conversations":[{}{}]}}"#, "[".repeat(100_000), "]".repeat(100_000)),
        format!(r#"{{"id":"e","conversations":[{{"from":"human","value":"{}"}}]}}"#, "x".repeat(1 << 20)),
    ];
    fs::write(&path, lines.join("\n")).unwrap();
    let source = ShareGpt::open(&path).unwrap().with_max_record_bytes(1 << 20);
    let report = source.import(&store()).await.unwrap();
    let kinds: Vec<_> = report.skipped.iter().map(|found| found.kind.name()).collect();
    assert_eq!(kinds, ["repeated-id", "wrong-field", "no-field", "invalid-id", "line-too-long"]);
    assert_eq!(report.warnings[0].kind, FindingKind::NoObject);
    assert_eq!((report.threads, report.messages), (2, 1));
}

#[tokio::test]
async fn the_sample_is_imported_whole_and_once() {
    let Some(path) = sample("conversations of ShareGPT", "sharegpt/sample.jsonl") else { return };
    let (mut messages, mut threads) = (0, 0);
    for line in fs::read_to_string(&path).unwrap().lines() {
        let conversation: serde_json::Value = serde_json::from_str(line).unwrap();
        messages += conversation["conversations"].as_array().unwrap().len() as u64;
        threads += 1;
    }
    let (db, source) = (store(), AnySource::detect(&path).unwrap());
    assert_eq!(source.format(), Format::ShareGpt);
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.skipped.len()), (threads, messages, 0));
    let again = source.import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there), (0, messages));
    let line = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
    let first: serde_json::Value = serde_json::from_str(&line).unwrap();
    let rows = rows(&db, first["id"].as_str().unwrap()).await;
    for (row, due) in rows.iter().zip(first["conversations"].as_array().unwrap()) {
        assert_eq!(row.content.plain_text(usize::MAX), due["value"].as_str().unwrap());
    }
}

#[tokio::test]
async fn another_conversation_of_the_same_id_is_not_added() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, values: &[&str]| {
        let messages: Vec<_> =
            values.iter().map(|value| format!(r#"{{"from":"human","value":"{value}"}}"#)).collect();
        let path = dir.path().join(name);
        fs::write(&path, format!(r#"{{"id":"identity_0","conversations":[{}]}}"#, messages.join(",")))
            .unwrap();
        path
    };
    let first = write("a.jsonl", &["hello", "a2", "a3"]);
    let other = write("b.jsonl", &["hello", "b2", "b3", "b4", "b5"]);
    let db = store();
    assert_eq!(ShareGpt::open(first).unwrap().import(&db).await.unwrap().messages, 3);
    let report = ShareGpt::open(other).unwrap().import(&db).await.unwrap();
    assert_eq!((report.messages, report.already_there), (0, 1));
    let kinds: Vec<_> = report.skipped.iter().map(|found| found.kind.name()).collect();
    assert_eq!(kinds, ["differs", "other-conversation", "other-conversation", "other-conversation"]);
    assert_eq!(rows(&db, "identity_0").await.len(), 3);
}

#[tokio::test]
async fn a_large_record_next_to_the_messages_is_left_out_with_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.jsonl");
    let tools = "x".repeat(64 << 10);
    fs::write(
        &path,
        format!(r#"{{"id":"a","tools":"{tools}","conversations":[{{"from":"human","value":"h"}}]}}"#),
    )
    .unwrap();
    let db = store();
    let report = ShareGpt::open(&path).unwrap().import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.skipped.len()), (1, 1, 0));
    assert_eq!(report.warnings.len(), 1);
    assert_eq!(report.warnings[0].kind, FindingKind::TooLarge { max: 64 << 10 });
    assert!(everything(&db).await["a"].0.metadata.is_empty());
}
