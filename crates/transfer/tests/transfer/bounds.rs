//! Endless input: lines and views that must not be read into memory as a whole.

use std::{fs, io::Write as _};

use throughline_transfer::{
    ChatFolder, FindingKind, LegacySqlite, LegacySqliteOptions, Location, TransferError,
};

use crate::{
    legacy_rows::{Legacy, TABLE, row},
    support::{ID, catalog, chat, entry, everything, header, lines, rows, store, turn},
};

/// The longest line in these tests.
const MAX_LINE: usize = 1 << 20;

#[tokio::test]
async fn a_line_longer_than_the_bound_is_named_and_the_lines_around_it_are_imported() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[entry(ID, "x", 2, "x")]);
    chat(folder.path(), ID, lines(&[header(ID), turn(1, "q1", "a1")]));
    let path = folder.path().join(ID).join("chat.jsonl");
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    // A sparse file: its zeros take no disk space.
    let end = file.metadata().unwrap().len() + MAX_LINE as u64 + 1;
    file.set_len(end).unwrap();
    write!(file, "\n{}\n", turn(2, "q2", "a2")).unwrap();
    drop(file);
    let db = store();
    let source = ChatFolder::open(folder.path()).unwrap().with_max_line_bytes(MAX_LINE);
    let report = source.import(&db).await.unwrap();
    assert_eq!(report.messages, 4);
    let found: Vec<_> = report.skipped.iter().map(|finding| (&finding.location, &finding.kind)).collect();
    let location = Location::Line { file: path, line: 3 };
    assert_eq!(found, [(&location, &FindingKind::LineTooLong { max: MAX_LINE })]);
    assert_eq!(rows(&db, ID).await.len(), 4);
}

const VIEW: &str = "CREATE VIEW endless AS WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n) \
    SELECT 'm' || i AS message_id, 't' AS thread_id, NULL AS turn_id, 'user' AS role, 'x' AS text, 0 AS is_streaming, \
    NULL AS attachments_json, i AS created_at, i AS updated_at FROM n";

#[tokio::test]
async fn a_view_without_an_end_is_refused_by_name() {
    let legacy = Legacy::new(VIEW);
    let source = LegacySqliteOptions::new().table("endless").open(legacy.path()).unwrap();
    let error = source.plan().await.unwrap_err();
    assert!(matches!(&error, TransferError::UnboundedView { table, .. } if table == "endless"), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("endless") && text.contains("state.sqlite") && text.contains("1000000 rows"),
        "{text}"
    );
    let db = store();
    assert!(source.import(&db).await.is_err());
    assert!(everything(&db).await.is_empty());
}

#[tokio::test]
async fn a_view_that_ends_is_imported() {
    let legacy = Legacy::new(TABLE);
    for (id, second) in [("b", 2), ("a", 1)] {
        legacy.put(row("t", id, second));
    }
    legacy.db.execute_batch("CREATE VIEW some AS SELECT * FROM projection_thread_messages").unwrap();
    let db = store();
    let source = LegacySqliteOptions::new().table("some").open(legacy.path()).unwrap();
    assert_eq!(source.import(&db).await.unwrap().messages, 2);
    let ids: Vec<String> = rows(&db, "t").await.iter().map(|row| row.id.to_string()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(LegacySqlite::open(legacy.path()).unwrap().import(&db).await.unwrap().already_there, 2);
}

/// The ids of the view differ with each computation.
#[tokio::test]
async fn a_view_is_computed_once() {
    let legacy = Legacy::new(
        "CREATE VIEW random_ids AS WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 100) \
         SELECT hex(randomblob(16)) AS message_id, 't' || (i % 2) AS thread_id, NULL AS turn_id, 'user' AS role, \
         'text ' || i AS text, 0 AS is_streaming, NULL AS attachments_json, -i AS created_at, i AS updated_at FROM n",
    );
    let source = LegacySqliteOptions::new().table("random_ids").open(legacy.path()).unwrap();
    let db = store();
    assert_eq!(source.import(&db).await.unwrap().messages, 100);
    // In the order of their times.
    let texts: Vec<String> = rows(&db, "t0").await.iter().map(|row| row.content.plain_text(10)).collect();
    let due: Vec<String> = (1..=50).rev().map(|i| format!("text {}", 2 * i)).collect();
    assert_eq!(texts, due);
}

#[tokio::test]
async fn a_catalog_larger_than_256_mib_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[entry(ID, "x", 0, "x")]);
    let path = folder.path().join("catalog.json");
    fs::OpenOptions::new().append(true).open(&path).unwrap().set_len((256 << 20) + 1).unwrap();
    let error = ChatFolder::open(folder.path()).unwrap().plan().await.unwrap_err();
    assert!(matches!(&error, TransferError::FileTooLarge { path: of, .. } if *of == path), "{error}");
}
