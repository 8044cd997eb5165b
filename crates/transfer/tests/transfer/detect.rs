//! Formats are recognized by content.

use std::fs;

use throughline_transfer::{AnySource, Format, Ndjson, Progress, TransferError};

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

/// A pipe would wait for its other end, a device may have no end, and detection would use up what a pipe has.
#[cfg(unix)]
#[test]
fn a_source_that_is_neither_a_file_nor_a_folder_is_refused() {
    let device = std::path::Path::new("/dev/null");
    let is_refused = |error: TransferError| match error {
        TransferError::NotAFile { path } => path == device,
        // A folder of chats is a folder.
        TransferError::Io { source, .. } => source.kind() == std::io::ErrorKind::NotADirectory,
        _ => false,
    };
    assert!(matches!(AnySource::detect(device), Err(TransferError::NotAFile { .. })));
    for format in Format::ALL {
        assert!(is_refused(AnySource::open(*format, device).unwrap_err()), "{format}");
    }
    // An export would replace it by a file.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert!(matches!(Ndjson::create(&path), Err(TransferError::NotAFile { path: of }) if of == path));
}

#[test]
fn a_byte_order_mark_hides_no_format() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    fs::write(&path, "\u{feff}{\"throughline\":\"ndjson\",\"version\":1}\n").unwrap();
    assert_eq!(AnySource::detect(&path).unwrap().format(), Format::Ndjson);
}

#[test]
fn an_archive_that_is_cut_off_is_named_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("export.zip");
    fs::write(&path, b"PK\x03\x04 and no more").unwrap();
    let error = AnySource::detect(&path).unwrap_err();
    let TransferError::Io { path: of, source, .. } = &error else { panic!("{error}") };
    assert_eq!((of, source.kind()), (&path, std::io::ErrorKind::InvalidData));
    assert!(source.to_string().starts_with("invalid Zip archive"), "{source}");
}
