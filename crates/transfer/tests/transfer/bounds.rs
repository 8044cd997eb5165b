//! Endless input: lines and views that must not be read into memory as a whole.

use std::{fs, io::Write as _};

use throughline_core::{NewMessage, Persistence};
use throughline_sqlite::SqliteBackend;
use throughline_transfer::{
    ChatFolder, FindingKind, LegacySqlite, LegacySqliteOptions, Location, Report, TransferError,
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

#[tokio::test]
async fn a_report_lists_1000_bad_lines_and_counts_the_others() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[entry(ID, "x", 1, "x")]);
    let mut text = vec![header(ID)];
    text.resize(1 + 2_000, "not JSON".to_owned());
    text.push(turn(1, "q1", "a1"));
    chat(folder.path(), ID, lines(&text));
    let source = ChatFolder::open(folder.path()).unwrap();
    let db = store();
    for report in [source.plan().await.unwrap(), source.import(&db).await.unwrap()] {
        assert_eq!((report.messages, report.skipped.len()), (2, Report::MAX_LISTED));
        assert_eq!((report.not_listed.skipped, report.not_listed.total()), (1_000, 1_000));
        let listed: Vec<u64> = report.skipped.iter().map(|finding| line_of(&finding.location)).collect();
        assert_eq!(listed, (2..=1_001).collect::<Vec<_>>());
        assert_eq!(
            report.to_string(),
            "2 messages in 1 threads, 0 were there already, 2000 were left out; \
             the report lists 1000 findings, and 1000 more were counted only: 1000 not-json skipped"
        );
    }
    assert_eq!(rows(&db, ID).await.len(), 2);
}

fn line_of(location: &Location) -> u64 {
    match location {
        Location::Line { line, .. } => *line,
        other => panic!("{other} is no line"),
    }
}

#[tokio::test]
async fn a_report_lists_1000_warnings_and_1000_unknown_fields() {
    let folder = tempfile::tempdir().unwrap();
    let field = |n: u64| format!("\"x{n}\":1,\"seq\":{}", 2 * n + 1);
    let turns = (0..2_000).map(|n| turn(1, "q", "a").replacen("\"seq\":1", &field(n), 1));
    let text: Vec<String> = [header(ID)].into_iter().chain(turns).collect();
    chat(folder.path(), ID, lines(&text));
    let report = ChatFolder::open(folder.path()).unwrap().plan().await.unwrap();
    assert_eq!((report.messages, report.skipped.len(), report.not_listed.skipped), (4_000, 0, 0));
    // One gap before each turn but the first.
    assert_eq!((report.warnings.len(), report.not_listed.warnings), (1_000, 999));
    assert_eq!((report.unknown_fields.len(), report.not_listed.unknown_fields), (1_000, 1_000));
}

/// Bad lines of every kind, 60,000 in all: the report keeps as many as for any other file, and counts the others.
#[tokio::test]
async fn a_hostile_transcript_of_60_000_bad_lines_is_reported_within_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    catalog(folder.path(), &[entry(ID, "x", 1, "x")]);
    let long = "k".repeat(4_000);
    let unknown_type = format!(r#"{{"type":"{long}","schema_version":1}}"#);
    let many_fields = format!("{{{}}}", vec!["\"a\":1"; 1_001].join(","));
    let bad = |n: usize| match n % 100 {
        0 => unknown_type.as_str(),
        1 => many_fields.as_str(),
        2 => "[1]",
        3 => "",
        4 => r#"{"type":"header","schema_version":1}"#,
        _ => "x",
    };
    let first = header(ID);
    let text = [first.as_str()].into_iter().chain((0..60_000).map(bad));
    chat(folder.path(), ID, text.collect::<Vec<_>>().join("\n"));
    let report = ChatFolder::open(folder.path()).unwrap().plan().await.unwrap();
    assert_eq!((report.messages, report.skipped.len()), (0, Report::MAX_LISTED));
    assert_eq!(report.not_listed.skipped, 59_000);
    let kinds: Vec<(&str, u64)> = report.not_listed.skipped_kinds.clone().into_iter().collect();
    let others = ["blank-line", "no-object", "not-json", "second-header", "too-many-fields", "unknown-type"];
    let counts = [590, 590, 59_000 - 5 * 590, 590, 590, 590];
    assert_eq!(kinds, others.into_iter().zip(counts).collect::<Vec<_>>());
    // The texts of the source are kept up to 1 KiB.
    let kept: usize = report.skipped.iter().map(|finding| finding.kind.to_string().len()).sum();
    assert!(kept < 10 * 1_100 + 990 * 60, "{kept}");
    let text = report.to_string();
    assert!(
        text.ends_with(
            "59000 more were counted only: 590 blank-line skipped, 590 no-object skipped, 56050 not-json skipped, \
             590 second-header skipped, 590 too-many-fields skipped, 590 unknown-type skipped"
        ),
        "{text}"
    );
}

/// Elements of the catalog that are no chats: counted within the limit, and each with its line.
#[tokio::test]
async fn a_hostile_catalog_of_200_000_elements_is_reported_within_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "{\"chats\":[\n".to_owned();
    text.push_str(&"1,\n".repeat(200_000));
    text.push_str(&entry(ID, "x", 1, "x"));
    text.push_str("]}");
    fs::write(folder.path().join("catalog.json"), text).unwrap();
    chat(folder.path(), ID, lines(&[header(ID), turn(1, "q1", "a1")]));
    let report = ChatFolder::open(folder.path()).unwrap().plan().await.unwrap();
    assert_eq!((report.messages, report.skipped.len()), (2, Report::MAX_LISTED));
    let listed: Vec<u64> = report.skipped.iter().map(|finding| line_of(&finding.location)).collect();
    assert_eq!(listed, (2..=1_001).collect::<Vec<_>>());
    assert_eq!(report.not_listed.skipped_kinds.into_iter().collect::<Vec<_>>(), [("no-object", 199_000)]);
    assert_eq!(report.warnings, []);
}

/// Rows of a table whose ids are too long, and whose roles are unknown.
#[tokio::test]
async fn a_hostile_table_is_reported_within_the_limit() {
    let legacy = Legacy::new(TABLE);
    let rows = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT 20000) \
        INSERT INTO projection_thread_messages (message_id, thread_id, role, text, is_streaming, created_at, updated_at) \
        SELECT CASE WHEN i % 2 THEN 'm' || i ELSE printf('%.*c', 2000, 'm') || i END, 't', printf('%.*c', 2000, 'r'), 'x', 0, i, i \
        FROM n";
    legacy.db.execute_batch(rows).unwrap();
    let report = LegacySqlite::open(legacy.path()).unwrap().plan().await.unwrap();
    assert_eq!((report.messages, report.skipped.len()), (0, Report::MAX_LISTED));
    let kinds: Vec<(&str, u64)> = report.not_listed.skipped_kinds.into_iter().collect();
    assert_eq!(kinds, [("invalid-id", 9_000), ("unknown-role", 10_000)]);
}

/// Threads beyond the limit of the report are not taken for threads that the store no longer has.
#[tokio::test]
async fn an_export_warns_of_no_thread_that_exists_but_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let open = async || {
        let backend = SqliteBackend::open(&path).await.unwrap();
        Persistence::builder().backend(backend).build().unwrap()
    };
    let db = open().await;
    for n in 0..Report::MAX_LISTED + 2 {
        db.thread(format!("t{n}")).add(NewMessage::user("x")).await.unwrap();
    }
    let out = ChatFolder::create(dir.path().join("out")).unwrap();
    out.export(&db).await.unwrap();
    db.close().await.unwrap();
    let damage = "UPDATE messages SET content = '[1]'";
    rusqlite::Connection::open(&path).unwrap().execute_batch(damage).unwrap();
    let db = open().await;
    let report = out.export(&db).await.unwrap();
    assert_eq!((report.threads, report.skipped.len(), report.not_listed.skipped), (0, 1_000, 2));
    assert_eq!((&report.warnings[..], report.not_listed.warnings), (&[][..], 0));
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
