use std::fs;

use rusqlite::types::Value;
use throughline_core::{
    Content, Metadata, NewMessage, NewThread, Persistence, Role, Timestamp,
    changes::{ChangeScope, ReadChanges},
    ids::{ItemId, TurnId},
    messages::{ImportRow, ListAliases, Origin, ResolveId, ResolvedBy},
    threads::ListThreads,
};
use throughline_transfer::{
    ChatFolder, FindingKind, LegacySqlite, LegacySqliteOptions, Location, Report, StreamingRows,
    TransferError,
};

use crate::{
    legacy_rows::{Legacy, Row, TABLE, row, text},
    support::{everything, rows, store},
};

fn facts(json: &str) -> Metadata {
    serde_json::from_str(json).unwrap()
}

const SECOND: i64 = 1_000_000;
const BEGAN: i64 = 1_709_251_200 * SECOND;

/// One row of each kind, with the resulting messages.
fn one_of_each(legacy: &Legacy) -> Vec<ImportRow> {
    let awkward = "\u{0} é 🦀 \"\\\u{1}\n\u{2028} e\u{301}";
    legacy.put(Row { role: text("user"), text: text(awkward), turn: text("turn-1"), ..row("a", "m1", 1) });
    let later = text("2024-03-01T01:00:09.123456+01:00");
    legacy.put(Row { updated: later, text: text(""), ..row("a", "assistant:item-1", 2) });
    legacy.put(Row { attachments: text(r#"["a.png","b c.pdf"]"#), ..row("a", "m3", 3) });
    let objects = r#"[ {"type":"image","id":1.10} ]"#;
    legacy.put(Row { attachments: text(objects), ..row("a", "m4", 4) });
    legacy.put(Row { attachments: text("{torn"), role: text("system"), ..row("a", "m5", 5) });
    legacy.put(Row { attachments: text("[]"), streaming: Value::Integer(1), ..row("a", "m6", 6) });
    let millis = Value::Integer(BEGAN / 1000 + 7000);
    legacy.put(Row { created: millis.clone(), updated: millis, ..row("a", "m7", 0) });
    legacy.put(Row { turn: text("\u{7}"), role: text("tool"), ..row("a", "m8", 8) });
    let plain = |id: &str, second: i64| {
        let at = Timestamp::from_micros(BEGAN + second * SECOND);
        ImportRow::new(id.parse().unwrap(), Role::Assistant, Content::text(&format!("text of {id}")), at)
    };
    vec![
        ImportRow { role: Role::User, content: Content::text(awkward), ..plain("m1", 1) },
        ImportRow {
            content: Content::text(""),
            updated_at: Timestamp::from_micros(BEGAN + 9_123_456),
            ..plain("assistant:item-1", 2)
        },
        ImportRow {
            attachments: vec!["a.png".parse().unwrap(), "b c.pdf".parse().unwrap()],
            ..plain("m3", 3)
        },
        ImportRow { metadata: facts(&format!(r#"{{"legacy.attachments":{objects}}}"#)), ..plain("m4", 4) },
        ImportRow {
            role: Role::System,
            metadata: facts(r#"{"legacy.attachmentsText":"{torn"}"#),
            ..plain("m5", 5)
        },
        ImportRow { abandoned: Some(Some(StreamingRows::REASON.to_owned())), ..plain("m6", 6) },
        plain("m7", 7),
        ImportRow { role: Role::Tool, metadata: facts(r#"{"legacy.turnId":"\u0007"}"#), ..plain("m8", 8) },
    ]
}

#[tokio::test]
async fn every_row_is_imported_with_its_bytes_and_times() {
    let legacy = Legacy::new(TABLE);
    let due = one_of_each(&legacy);
    let before = fs::read(legacy.path()).unwrap();
    let source = LegacySqlite::open(legacy.path()).unwrap();
    let plan = source.plan().await.unwrap();
    assert_eq!((plan.threads, plan.messages, plan.already_there), (1, 8, 0));
    assert_eq!((&plan.skipped[..], &plan.warnings[..]), (&[][..], &[][..]));
    let db = store();
    assert_eq!(source.import(&db).await.unwrap(), plan);
    assert_eq!(rows(&db, "a").await, due);
    let entry = db.thread("a").summary().await.unwrap().unwrap();
    assert_eq!((entry.created_at, entry.listed), (due[0].created_at, true));
    // `ResolveId` finds the message by its turn.
    let aliases = db.read(ListAliases::new("a".parse().unwrap(), 10)).await.unwrap().aliases;
    let names: Vec<_> = aliases.iter().map(|alias| (alias.message.as_str(), alias.origin.clone())).collect();
    assert_eq!(names, [("m1", Origin::new().in_turn("turn-1".parse().unwrap()))]);
    // A repeated import adds and changes nothing.
    let position = db.threads(ListThreads::new(1)).await.unwrap().position;
    let again = source.import(&db).await.unwrap();
    assert_eq!(again, {
        let mut due = Report::default();
        due.threads = 1;
        due.already_there = 8;
        due
    });
    let changes = ReadChanges::new(ChangeScope::Tenant, position, 10);
    assert_eq!(db.read(changes).await.unwrap().changes, []);
    assert_eq!(rows(&db, "a").await, due);
    assert_eq!(fs::read(legacy.path()).unwrap(), before);
}

#[tokio::test]
async fn rows_are_ordered_by_time_and_then_id_in_every_time_format() {
    let legacy = Legacy::new(TABLE);
    let at = |id: &str, time: &str| Row { created: text(time), ..row("t", id, 0) };
    legacy.put(at("z", "2024-03-01T00:00:01.000Z"));
    legacy.put(at("b", "2024-03-01T02:00:00+02:00"));
    legacy.put(at("a", "2024-03-01 00:00:00"));
    legacy.put(at("c", "2023-12-31T23:59:59.999999Z"));
    let db = store();
    LegacySqlite::open(legacy.path()).unwrap().import(&db).await.unwrap();
    let ids: Vec<String> = rows(&db, "t").await.iter().map(|row| row.id.to_string()).collect();
    assert_eq!(ids, ["c", "a", "b", "z"]);
}

#[tokio::test]
async fn an_invalid_row_is_reported_and_the_others_are_imported() {
    let legacy = Legacy::new(&TABLE.replace("text TEXT NOT NULL", "text"));
    let long = "x".repeat(256);
    for (id, thread) in [("", "t"), (&*long, "t"), ("a\u{7}b", "t"), ("in-no-thread", ""), ("in-long", &long)]
    {
        legacy.put(row(thread, id, 1));
    }
    legacy.put(Row { id: Value::Null, ..row("t", "", 1) });
    legacy.put(Row { created: text("yesterday"), ..row("t", "no-created", 1) });
    legacy.put(Row { updated: text("2024-02-30T00:00:00Z"), ..row("t", "no-updated", 1) });
    legacy.put(Row { role: text("robot"), ..row("t", "no-role", 1) });
    legacy.put(Row { text: Value::Blob(b"x".to_vec()), ..row("t", "no-text", 1) });
    legacy.db.execute("INSERT INTO projection_thread_messages SELECT 'no-utf8', 't', NULL, 'user', CAST(x'ff' AS TEXT), 0, NULL, 1, 1", []).unwrap();
    legacy.put(Row { streaming: text("x"), ..row("t", "no-flag", 1) });
    legacy.put(row("t", "good", 2));
    let db = store();
    let source = LegacySqlite::open(legacy.path()).unwrap();
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages), (1, 1));
    assert_eq!(rows(&db, "t").await.len(), 1);
    let mut found: Vec<String> = report.skipped.iter().map(ToString::to_string).collect();
    found.sort_by_key(|text| text.split(' ').nth(1).map(|row| row.parse::<u32>().unwrap()));
    let location = |row: u32, defect: &str| format!("row {row} of `projection_thread_messages`: {defect}");
    assert_eq!(
        found,
        [
            location(1, "message id: is empty"),
            location(2, "message id: 256 bytes are more than the 255 allowed"),
            location(3, "message id: holds a control character at byte 1"),
            location(4, "thread id: is empty"),
            location(5, "thread id: 256 bytes are more than the 255 allowed"),
            location(6, "`message_id` is no text"),
            location(7, "`created_at` is no time"),
            location(8, "`updated_at` is no time"),
            location(9, "there is no role `robot`"),
            location(10, "`text` is no text"),
            location(11, "`text` is not UTF-8"),
            location(12, "`is_streaming` is no whole number"),
        ]
    );
    assert_eq!(source.plan().await.unwrap().skipped, report.skipped);
    let threads = db.threads(ListThreads::new(10)).await.unwrap().threads;
    assert_eq!(threads.len(), 1);
}

#[tokio::test]
async fn unknown_columns_are_kept() {
    let legacy =
        Legacy::new(&format!("{}, context_json, \"é \"\"x\"\"\")", TABLE.strip_suffix(')').unwrap()));
    legacy.put(row("t", "a", 1));
    legacy
        .db
        .execute_batch(
            r#"UPDATE projection_thread_messages SET context_json = '{"k":1.10}', "é ""x""" = x'00ff'"#,
        )
        .unwrap();
    legacy.put(row("t", "b", 2));
    legacy
        .db
        .execute_batch("UPDATE projection_thread_messages SET context_json = 9e999 WHERE message_id = 'b'")
        .unwrap();
    let db = store();
    let report = LegacySqlite::open(legacy.path()).unwrap().import(&db).await.unwrap();
    let unknown = [("context_json".to_owned(), 2), ("é \"x\"".to_owned(), 1)];
    assert_eq!(report.unknown_fields, unknown.into());
    let kept: Vec<Metadata> = rows(&db, "t").await.into_iter().map(|row| row.metadata).collect();
    let due = [
        facts(r#"{"legacy.context_json":"{\"k\":1.10}","legacy.é \"x\"":{"hex":"00ff"}}"#),
        facts(r#"{"legacy.context_json":"inf"}"#),
    ];
    assert_eq!(kept, due);
}

#[tokio::test]
async fn tables_of_other_names_and_kinds_are_read_and_streaming_rows_can_be_final() {
    let table = TABLE.replace("projection_thread_messages", "\"my \"\"table\"");
    let legacy = Legacy::new(&format!(
        "{} WITHOUT ROWID",
        TABLE.replace("message_id TEXT", "message_id TEXT COLLATE NOCASE")
    ));
    legacy.db.execute_batch(&table).unwrap();
    legacy.put(Row { streaming: Value::Integer(1), ..row("t", "m", 1) });
    legacy.put(Row { role: text("robot"), ..row("T", "n", 1) });
    legacy.put(row("t", "o", 2));
    let options = || LegacySqliteOptions::new().streaming_rows(StreamingRows::Final);
    let db = store();
    let report = options().open(legacy.path()).unwrap().import(&db).await.unwrap();
    let read = rows(&db, "t").await;
    assert_eq!(
        read.iter().map(|row| (row.id.as_str(), &row.abandoned)).collect::<Vec<_>>(),
        [("m", &None), ("o", &None)]
    );
    let location = Location::Row { table: "projection_thread_messages".to_owned(), row: "n".to_owned() };
    assert_eq!(report.skipped.len(), 1);
    assert_eq!(report.skipped[0].location, location);
    legacy.db.execute_batch("INSERT INTO \"my \"\"table\" SELECT * FROM projection_thread_messages").unwrap();
    let other = store();
    options().table("my \"table").open(legacy.path()).unwrap().import(&other).await.unwrap();
    assert_eq!(everything(&other).await, everything(&db).await);
}

#[test]
fn another_kind_of_file_is_refused_with_the_missing_parts() {
    let legacy =
        Legacy::new("CREATE TABLE projection_thread_messages (message_id TEXT, Thread_ID TEXT, role TEXT)");
    let open = |name: &str| LegacySqlite::open(legacy.folder().join(name)).unwrap_err();
    let error = open("state.sqlite");
    assert!(matches!(&error, TransferError::NoColumns { missing, .. } if missing.len() == 6), "{error}");
    assert!(error.to_string().ends_with(
        "state.sqlite` has no column turn_id, text, is_streaming, attachments_json, created_at, updated_at"
    ));
    let error = LegacySqliteOptions::new().table("chats").open(legacy.path()).unwrap_err();
    assert!(matches!(&error, TransferError::NoTable { table, .. } if table == "chats"), "{error}");
    assert!(matches!(open("not-there"), TransferError::Io { operation: "read", .. }));
    assert!(!legacy.folder().join("not-there").exists());
    fs::write(
        legacy.folder().join("text"),
        "not a database, but long enough to be taken for one".repeat(100),
    )
    .unwrap();
    assert!(matches!(open("text"), TransferError::Database { .. }));
}

#[tokio::test]
async fn a_deleted_message_stays_deleted_and_a_different_one_stays_unchanged() {
    let legacy = Legacy::new(TABLE);
    for id in ["a", "b", "c"] {
        legacy.put(row("t", id, 1));
    }
    legacy.put(row("gone", "d", 1));
    let source = LegacySqlite::open(legacy.path()).unwrap();
    let db = store();
    source.import(&db).await.unwrap();
    let thread = db.thread("t");
    thread.delete("a".parse().unwrap()).await.unwrap();
    thread.edit("b".parse().unwrap(), Content::text("edited")).await.unwrap();
    db.thread("gone").delete_thread().await.unwrap();
    legacy.put(row("t", "new", 2));
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.messages, report.already_there), (1, 1));
    let found: Vec<&FindingKind> = report.skipped.iter().map(|finding| &finding.kind).collect();
    assert_eq!(
        found,
        [&FindingKind::Deleted, &FindingKind::Deleted, &FindingKind::Deleted, &FindingKind::Differs]
    );
    assert_eq!(report.skipped[0].location.to_string(), "thread `gone`");
    let texts: Vec<String> = rows(&db, "t").await.iter().map(|row| row.content.plain_text(100)).collect();
    assert_eq!(texts, ["edited", "text of c", "text of new"]);
    assert_eq!(db.thread("gone").summary().await.unwrap(), None);
}

#[tokio::test]
async fn an_id_in_two_threads_is_a_message_of_each() {
    for kind in ["", " WITHOUT ROWID"] {
        let table = TABLE.replace("message_id TEXT PRIMARY KEY", "message_id TEXT");
        let keyed = table.strip_suffix(')').unwrap();
        let legacy = Legacy::new(&format!("{keyed}, PRIMARY KEY (thread_id, message_id)){kind}"));
        legacy.put(Row { text: text("of a"), ..row("a", "m", 1) });
        legacy.put(Row { text: text("of b"), ..row("b", "m", 2) });
        let db = store();
        let report = LegacySqlite::open(legacy.path()).unwrap().import(&db).await.unwrap();
        assert_eq!((report.threads, report.messages, report.skipped), (2, 2, vec![]));
        for thread in ["a", "b"] {
            assert_eq!(rows(&db, thread).await[0].content, Content::text(&format!("of {thread}")));
        }
    }
}

/// Rows that are only in the WAL are imported.
#[tokio::test]
async fn a_file_in_wal_mode_is_read_with_its_wal_and_stays_unchanged() {
    let legacy = Legacy::new(TABLE);
    legacy.db.pragma_update(None, "journal_mode", "wal").unwrap();
    legacy.put(row("t", "in-the-log", 1));
    let before = fs::read(legacy.path()).unwrap();
    let db = store();
    LegacySqlite::open(legacy.path()).unwrap().import(&db).await.unwrap();
    assert_eq!(rows(&db, "t").await[0].id.as_str(), "in-the-log");
    assert_eq!(fs::read(legacy.path()).unwrap(), before);
}

/// T3-S6, for an imported store.
#[tokio::test]
async fn a_runtime_finds_its_message_by_the_legacy_id_in_its_own_thread() {
    let legacy = Legacy::new(TABLE);
    legacy.put(Row { turn: text("turn-1"), ..row("a", "assistant:item-1", 1) });
    let db = store();
    LegacySqlite::open(legacy.path()).unwrap().import(&db).await.unwrap();
    let ask = |thread: &str| {
        let turn: TurnId = "turn-1".parse().unwrap();
        let item: ItemId = "item-1".parse().unwrap();
        let asked = ResolveId::new(thread.parse().unwrap(), Origin::new().in_turn(turn).item(item));
        db.on_thread(asked.or_legacy(["assistant:item-1".parse().unwrap()]))
    };
    let (a, b) = (ask("a").await.unwrap(), ask("b").await.unwrap());
    assert_eq!((a.id.as_str(), a.by), ("assistant:item-1", ResolvedBy::Legacy));
    assert_eq!(b.by, ResolvedBy::Fresh);
    assert_ne!(b.id, a.id);
    db.thread("b").add(NewMessage::assistant("its own").with_id(b.id)).await.unwrap();
    assert_eq!(rows(&db, "a").await.len(), 1);
}

#[tokio::test]
async fn the_turn_of_a_message_survives_an_export_and_an_import() {
    let legacy = Legacy::new(TABLE);
    for (id, second) in [("m1", 1), ("m2", 2), ("m3", 3)] {
        legacy.put(Row { turn: text(&format!("turn-{second}")), ..row("t", id, second) });
    }
    legacy.put(row("t", "of-no-turn", 4));
    let db = store();
    LegacySqlite::open(legacy.path()).unwrap().import(&db).await.unwrap();
    let folder = legacy.folder().join("chats");
    ChatFolder::create(&folder).unwrap().export(&db).await.unwrap();
    let other = store();
    ChatFolder::open(&folder).unwrap().import(&other).await.unwrap();
    assert_eq!(everything(&other).await, everything(&db).await);
    let names =
        async |db: &Persistence| db.read(ListAliases::new("t".parse().unwrap(), 10)).await.unwrap().aliases;
    assert_eq!(names(&other).await, names(&db).await);
    assert_eq!(names(&db).await.len(), 3);
}

#[tokio::test]
async fn an_existing_thread_keeps_its_title_and_messages() {
    let legacy = Legacy::new(TABLE);
    legacy.put(row("t", "m", 1));
    let db: Persistence = store();
    let new = NewThread::new().with_id("t".parse().unwrap()).with_title("mine".parse().unwrap());
    db.create_thread(new).await.unwrap();
    db.thread("t").add(NewMessage::user("before")).await.unwrap();
    LegacySqlite::open(legacy.path()).unwrap().import(&db).await.unwrap();
    let entry = db.thread("t").summary().await.unwrap().unwrap();
    assert_eq!((entry.title.as_str(), entry.messages), ("mine", 2));
}
