//! Formats are recognized by content.

use std::fs;

use throughline_transfer::{AnySource, Format, Progress, TransferError};

use crate::support::{self, store};

#[tokio::test]
async fn a_format_is_recognized_without_a_name_or_an_extension() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data.bin");
    let long = "x".repeat(2 << 20);
    for (format, text) in [
        (Format::Ndjson, r#"{"throughline":"ndjson","version":1}"#.to_owned()),
        (
            Format::ClaudeCode,
            format!(r#"{{"type":"user","uuid":"u","sessionId":"s","message":{{"content":"{long}"}}}}"#),
        ),
        (Format::ClaudeCode, r#"{"type":"summary","summary":"s","leafUuid":"u"}"#.to_owned()),
        (
            Format::Codex,
            format!(r#"{{"timestamp":"t","type":"session_meta","payload":{{"instructions":"{long}"}}}}"#),
        ),
        (
            Format::ShareGpt,
            format!("\n[ {{\"id\":\"a\",\"conversations\":[{{\"from\":\"human\",\"value\":\"{long}\"}}]}}]"),
        ),
    ] {
        fs::write(&path, text).unwrap();
        assert_eq!(AnySource::detect(&path).unwrap().format(), format);
    }
    for text in ["", "hello", "{}", "[]", "{\"type\":\"user\"}", "SQLite format 3\0"] {
        fs::write(&path, text).unwrap();
        assert!(matches!(AnySource::detect(&path), Err(TransferError::UnknownFormat { .. })), "{text}");
    }
    let error = AnySource::detect(dir.path()).unwrap_err().to_string();
    assert!(error.contains("is in no known format: name one of ndjson, claude-code, codex"), "{error}");
}

#[tokio::test]
async fn a_chat_folder_and_a_legacy_file_are_recognized() {
    let dir = tempfile::tempdir().unwrap();
    support::chat(dir.path(), support::ID, support::header(support::ID));
    assert_eq!(AnySource::detect(dir.path()).unwrap().format(), Format::ChatFolder);
    let file = dir.path().join("state");
    let db = rusqlite::Connection::open(&file).unwrap();
    db.execute_batch(
        "CREATE TABLE projection_thread_messages (message_id, thread_id, turn_id, role, text, is_streaming, attachments_json, created_at, updated_at)",
    )
    .unwrap();
    assert_eq!(AnySource::detect(&file).unwrap().format(), Format::LegacySqlite);
}

#[tokio::test]
async fn progress_counts_every_byte_and_message() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.jsonl");
    let text = concat!(r#"{"id":"a","conversations":[{"from":"human","value":"h"}]}"#, "\n").repeat(3);
    fs::write(&path, &text).unwrap();
    let progress = Progress::new();
    let source = AnySource::detect(&path).unwrap().with_progress(progress.clone());
    assert_eq!((progress.bytes_read(), progress.bytes_total(), progress.messages()), (0, 0, 0));
    source.import(&store()).await.unwrap();
    assert_eq!(progress.bytes_total(), text.len() as u64);
    assert_eq!((progress.bytes_read(), progress.messages()), (text.len() as u64, 1));
}
