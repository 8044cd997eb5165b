//! The native format.

use std::fs;

use throughline_core::{
    Content, Labels, Metadata, NewMessage, NewThread, Persistence, Role, Timestamp,
    messages::{Import, ImportRow, Origin},
    threads::{ArchiveThread, ForkPoint},
};
use throughline_sqlite::SqliteBackend;
use throughline_transfer::{AnySource, FindingKind, Format, Ndjson, TransferError};

use crate::support::{cut_at_every_byte, everything, rows, store};

fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// Fills a store with everything that the format can express.
async fn fill(db: &Persistence) {
    let mut metadata = Metadata::new();
    metadata.set_raw(
        "odd",
        serde_json::value::RawValue::from_string("{\"a\":1.10,\n\"a\":2}".to_owned()).unwrap(),
    );
    let first = NewThread::new()
        .with_id("first".parse().unwrap())
        .with_title("A title".parse().unwrap())
        .with_owner("o".parse().unwrap())
        .with_labels(Labels::new().with("project", "atlas").unwrap())
        .with_metadata(metadata.clone())
        .created_at(time(-7));
    db.create_thread(first).await.unwrap();
    let odd = Content::from_json("[{\"n\":18446744073709551615,\n \"n\":1.10}, \"\\ud800\"]").unwrap();
    let mut message = ImportRow::new("m1".parse().unwrap(), Role::User, odd, time(5));
    message.metadata = metadata;
    message.attachments = vec!["a.png".parse().unwrap(), "b.png".parse().unwrap()];
    message.updated_at = time(9);
    message.origin = Origin::new().in_turn("turn-1".parse().unwrap()).item("item-1".parse().unwrap());
    let mut left = ImportRow::new("m2".parse().unwrap(), Role::Assistant, Content::text("half"), time(6));
    left.abandoned = Some(Some("crashed".to_owned()));
    let mut silent = ImportRow::new("m3".parse().unwrap(), Role::Tool, Content::empty(), time(7));
    silent.abandoned = Some(None);
    let thread = "first".parse().unwrap();
    db.run(Import::new(thread, vec![message, left, silent])).await.unwrap();
    let second = NewThread::new()
        .with_id("second/\u{2028}".parse().unwrap())
        .forked_from(ForkPoint { thread: "first".parse().unwrap(), message: "m1".parse().unwrap() })
        .reusing_ids()
        .created_at(time(8));
    db.create_thread(second).await.unwrap();
    let row = ImportRow::new("m1".parse().unwrap(), Role::System, Content::text("é\n\u{0}"), time(9));
    db.run(Import::new("second/\u{2028}".parse().unwrap(), vec![row])).await.unwrap();
    db.on_thread(ArchiveThread { thread: "second/\u{2028}".parse().unwrap(), archived: true }).await.unwrap();
}

#[tokio::test]
async fn an_export_and_an_import_make_an_equal_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.ndjson");
    let sqlite = Persistence::builder()
        .backend(SqliteBackend::open(dir.path().join("chat.db")).await.unwrap())
        .build()
        .unwrap();
    let (first, second) = (store(), store());
    fill(&first).await;
    let written = Ndjson::create(&path).unwrap().export(&first).await.unwrap();
    assert_eq!((written.threads, written.messages, written.skipped.len()), (2, 4, 0));
    for (from, to) in [(&first, &sqlite), (&sqlite, &second)] {
        let source = Ndjson::open(&path).unwrap();
        let read = source.import(to).await.unwrap();
        assert_eq!((read.threads, read.messages, read.skipped.len(), read.warnings.len()), (2, 4, 0, 0));
        assert_eq!(everything(to).await, everything(from).await);
        let again = source.import(to).await.unwrap();
        assert_eq!((again.messages, again.already_there), (0, 4));
        let bytes = fs::read(&path).unwrap();
        Ndjson::create(&path).unwrap().export(to).await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes, "an export of an equal store is the same file");
    }
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(r#""reusesIds":true"#).count(), 1, "{text}");
    assert!(text.contains(r#"\"origin\":{\"turn\":\"turn-1\",\"item\":\"item-1\"}"#), "{text}");
    sqlite.close().await.unwrap();
}

#[tokio::test]
async fn an_open_message_is_written_and_not_imported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.ndjson");
    let db = store();
    db.thread("t").add(NewMessage::user("hello").with_id("m1".parse().unwrap())).await.unwrap();
    let draft = db
        .thread("t")
        .reserve(throughline_core::NewReservation::new(Role::Assistant).with_id("m2".parse().unwrap()))
        .await
        .unwrap();
    assert_eq!(Ndjson::create(&path).unwrap().export(&db).await.unwrap().messages, 2);
    let text = fs::read_to_string(&path).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with(r#"{"state":"reserved","message":{"id":"m2""#), "{last}");
    let other = store();
    let report = Ndjson::open(&path).unwrap().import(&other).await.unwrap();
    assert_eq!((report.messages, &report.skipped[0].kind), (1, &FindingKind::Open));
    assert_eq!(report.skipped[0].location.to_string(), format!("{}:4", path.display()));
    drop(draft);
}

#[tokio::test]
async fn a_newer_version_is_named_and_its_lines_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.ndjson");
    let unreadable = r#"{"message":{"id":"m2","hue":"blue"}}"#;
    let lines = [
        r#"{"throughline":"ndjson","version":2}"#,
        r#"{"thread":{"id":"t","createdAt":7,"hue":"blue"}}"#,
        r#"{"message":{"id":"m1","role":"user","content":[],"createdAt":8,"updatedAt":8}}"#,
        unreadable,
        r#"{"thread":7}"#,
        r#"{"message":{"id":"m1","role":"user","content":[],"createdAt":8,"updatedAt":8}}"#,
    ];
    fs::write(&path, lines.join("\n")).unwrap();
    assert_eq!(AnySource::detect(&path).unwrap().format(), Format::Ndjson);
    let db = store();
    let report = Ndjson::open(&path).unwrap().import(&db).await.unwrap();
    let at = |line| format!("{}:{line}", path.display());
    let named = |found: &throughline_transfer::Finding| (found.location.to_string(), found.kind.name());
    let warned: Vec<_> = report.warnings.iter().map(named).collect();
    assert_eq!(warned, [(at(1), "newer-version"), (at(4), "wrong-field")]);
    let skipped: Vec<_> = report.skipped.iter().map(named).collect();
    assert_eq!(skipped, [(at(5), "wrong-field"), (at(6), "no-field")]);
    assert_eq!(report.newer.len(), 1);
    let rows = rows(&db, "t").await;
    assert_eq!(rows[1].content.as_json(), format!(r#"[{{"type":"source.record","record":{unreadable}}}]"#));
}

#[tokio::test]
async fn a_file_that_is_cut_off_anywhere_is_imported_up_to_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.ndjson");
    let db = store();
    db.thread("t").add(NewMessage::user("hello").with_id("m1".parse().unwrap())).await.unwrap();
    Ndjson::create(&path).unwrap().export(&db).await.unwrap();
    let whole = fs::read(&path).unwrap();
    let open = |path: &std::path::Path| Ndjson::open(path).unwrap().into();
    cut_at_every_byte(&path, &whole, open).await;
}

#[tokio::test]
async fn an_export_overwrites_nothing_but_an_export() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("letter.txt");
    fs::write(&path, "Dear all").unwrap();
    let error = Ndjson::create(&path).unwrap_err();
    assert!(matches!(error, TransferError::NotAnExport { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "Dear all");
    assert!(matches!(Ndjson::create(dir.path()), Err(TransferError::NotAnExport { .. })));
    assert!(matches!(Ndjson::create(dir.path().join("no/such.ndjson")), Err(TransferError::Io { .. })));
}
