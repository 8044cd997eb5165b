//! The chats of Open WebUI.

use std::{fs, path::Path};

use throughline_core::{
    NewMessage, Role,
    messages::{History, PageFrom},
};
use throughline_transfer::{AnySource, FindingKind, Format, OpenWebUi, TransferError};

use crate::support::{cut_at_every_byte, cut_database, database, everything, ids, rows, store};

/// A database that the package made, as SQL.
const MADE: &str = include_str!("open_webui.sql");
/// The time of the first message of [`MADE`], in microseconds.
const FIRST: i64 = 1_761_699_578_000_000;

fn of(ids: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    ids.iter().map(|(id, role)| ((*id).to_owned(), *role)).collect()
}

fn seconds(rows: &[throughline_core::messages::ImportRow]) -> Vec<i64> {
    rows.iter().map(|row| (row.created_at.as_micros() - FIRST) / 1_000_000).collect()
}

fn named(found: &throughline_transfer::Finding) -> (String, &'static str) {
    (found.location.to_string(), found.kind.name())
}

#[tokio::test]
async fn chats_that_the_package_made_become_threads_and_forks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data");
    drop(database(&path, MADE));
    let before = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    let (db, source) = (store(), AnySource::detect(&path).unwrap());
    assert_eq!(source.format(), Format::OpenWebUi);
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.skipped.len()), (5, 14, 0));
    // The messages of the list have no times.
    let warned: Vec<_> = report.warnings.iter().map(named).collect();
    assert_eq!(
        warned,
        [("row 3 of `chat`".to_owned(), "no-time"), ("row 3 of `chat`".to_owned(), "no-time")]
    );
    let all = everything(&db).await;
    let names: Vec<_> = all.keys().map(String::as_str).collect();
    assert_eq!(names, ["c1", "c1/a1", "c1/a3", "c2", "c3"]);

    let (thread, messages) = &all["c1"];
    assert_eq!((thread.title.as_str(), thread.archived), ("Numbers", false));
    assert_eq!(thread.created_at.as_micros(), FIRST);
    assert_eq!(
        ids(&db, "c1").await,
        of(&[("q1", "user"), ("a2", "assistant"), ("q2", "user"), ("a4", "assistant")])
    );
    assert_eq!(seconds(messages), [0, 2, 9, 20]);
    assert_eq!(messages[0].content.as_json(), r#"[{"type":"text","text":"Which is larger?"}]"#);
    assert_eq!(
        messages[0].attachments.iter().map(throughline_core::ids::AttachmentKey::as_str).collect::<Vec<_>>(),
        ["plan.pdf"]
    );
    let record = messages[1].metadata.get("source.record").unwrap().get().to_owned();
    assert_eq!(
        record,
        r#"{"id":"a2","parentId":"q1","childrenIds":null,"role":"assistant","content":null,"timestamp":1761699580,"model":"gpt-4o","modelName":"GPT-4o","modelIdx":1,"done":null,"sources":[{"source":{"name":"web"}}]}"#
    );
    assert_eq!(messages[3].content.as_json(), r#"[{"type":"error","error":{"content":"model not found"}}]"#);
    let about = thread.metadata.get("source.record").unwrap().get();
    for part in [
        r#""pinned":true"#,
        r#""meta":{"tags":["math"]}"#,
        r#""folder":"Work""#,
        r#""user_name":"Ada""#,
        r#""models":["llama3","gpt-4o"]"#,
    ] {
        assert!(about.contains(part), "{part} in {about}");
    }
    assert!(!about.contains("Which is larger?"), "{about}");

    // The answer of the other model, with its reasoning.
    assert_eq!(ids(&db, "c1/a1").await, of(&[("q1", "user"), ("a1", "assistant")]));
    assert_eq!(
        all["c1/a1"].1[1].content.as_json(),
        r#"[{"type":"thinking","thinking":"compare","attributes":{"done":"true","duration":"2"}},{"type":"text","text":"\nTen."}]"#
    );
    let point = all["c1/a3"].0.forked_from.as_ref().unwrap();
    assert_eq!((point.thread.as_str(), point.message.as_str()), ("c1", "q2"));
    // The answer with a tool call.
    let fork = db.thread("c1/a3").page(PageFrom::Start, 9).await.unwrap().messages;
    assert_eq!(fork[3].text(), "Because 10 > 9.");
    assert_eq!(fork[3].content.blocks().len(), 4);
    let record = fork[3].metadata.get("source.record").unwrap().get();
    assert!(record.contains(r#""content":null"#) && record.contains(r#""output":null"#), "{record}");
    let history = History::of(fork, false);
    assert!(history.tool_calls.len() == 1 && !history.tool_calls[0].is_orphan());

    // Milliseconds.
    assert!(all["c2"].0.archived);
    assert_eq!(seconds(&all["c2"].1), [0, 1]);
    assert_eq!(ids(&db, "c3").await, of(&[("message-1", "user"), ("message-2", "assistant")]));

    let again = source.import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there, again.skipped.len()), (0, 14, 0));
    let after = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    assert!(before == after);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn messages_that_only_the_table_has_are_imported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("webui.db");
    let sql = database(&path, MADE);
    sql.execute_batch(
        "UPDATE chat SET chat = '{}' WHERE id = 'c1'; UPDATE chat SET chat = NULL WHERE id = 'c2'",
    )
    .unwrap();
    let db = store();
    let report = OpenWebUi::open(&path).unwrap().import(&db).await.unwrap();
    assert_eq!((report.threads, report.messages, report.skipped.len()), (5, 14, 0));
    assert_eq!(
        ids(&db, "c1").await,
        of(&[("q1", "user"), ("a2", "assistant"), ("q2", "user"), ("a4", "assistant")])
    );
    let messages = rows(&db, "c1").await;
    assert_eq!(seconds(&messages), [0, 2, 9, 20]);
    assert_eq!(messages[1].updated_at.as_micros(), FIRST + 22_000_000);
    let record = messages[1].metadata.get("source.record").unwrap().get();
    assert_eq!(
        record,
        r#"{"id":"a2","user_id":"u1","role":"assistant","parentId":"q1","content":null,"model":"gpt-4o","sources":[{"source":{"name":"web"}}],"done":null,"timestamp":1761699580,"updated_at":null}"#
    );
    assert_eq!(ids(&db, "c1/a1").await, of(&[("q1", "user"), ("a1", "assistant")]));
    assert_eq!(rows(&db, "c1/a3").await[3].content.plain_text(100), "Because 10 > 9.");
    assert_eq!(ids(&db, "c2").await, of(&[("x1", "user"), ("x2", "assistant")]));
    let again = OpenWebUi::open(&path).unwrap().import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there), (0, 14));
}

#[tokio::test]
async fn a_grown_database_adds_only_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("webui.db");
    let sql = database(&path, MADE);
    let (db, source) = (store(), OpenWebUi::open(&path).unwrap());
    source.import(&db).await.unwrap();
    db.thread("c1").add(NewMessage::user("of the host")).await.unwrap();
    // The user chose the first answer again, and continued it; and one row is in the table only.
    sql.execute_batch(
        r#"UPDATE chat SET chat = json_set(chat,
             '$.history.messages.q3', json('{"id":"q3","parentId":"a1","childrenIds":[],"role":"user","content":"Sure?","timestamp":1761699700}'),
             '$.history.messages.a1.childrenIds', json('["q3"]'), '$.history.currentId', 'q3'),
             current_message_id = 'q3' WHERE id = 'c1';
           INSERT INTO chat_message (id, chat_id, user_id, role, parent_id, content, done, created_at)
             VALUES ('c1-a5', 'c1', 'u1', 'assistant', 'q3', '"Yes."', 1, 1761699710);
           INSERT INTO chat_message (id, chat_id, role, content) VALUES ('gone-m', 'gone', 'user', '"x"');"#,
    )
    .unwrap();
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.messages, report.already_there, report.skipped.len()), (2, 14, 0));
    assert_eq!(report.omitted["chat_message"], 1);
    assert_eq!(rows(&db, "c1").await.len(), 5);
    assert_eq!(
        ids(&db, "c1/a1").await,
        of(&[("q1", "user"), ("a1", "assistant"), ("q3", "user"), ("a5", "assistant")])
    );
    assert_eq!(source.import(&db).await.unwrap().messages, 0);
}

/// Returns the chats of [`MADE`] as an export has them, one on each line.
fn export(path: &Path) -> String {
    let sql = database(path, MADE);
    let chats = "SELECT json_object('id', id, 'user_id', user_id, 'title', title, 'chat', json(chat), 'updated_at', updated_at, \
                 'created_at', created_at, 'share_id', share_id, 'archived', json(iif(archived, 'true', 'false')), 'pinned', \
                 json(iif(pinned, 'true', 'false')), 'meta', json(meta), 'folder_id', folder_id, 'current_message_id', \
                 current_message_id) FROM chat";
    let mut chats = sql.prepare(chats).unwrap();
    let chats = chats.query_map([], |row| row.get::<_, String>(0)).unwrap();
    chats.map(|chat| chat.unwrap() + "\n").collect()
}

#[tokio::test]
async fn an_export_has_the_same_messages_as_the_database() {
    let dir = tempfile::tempdir().unwrap();
    let lines = export(&dir.path().join("webui.db"));
    let array = format!("[{}]", lines.trim().replace('\n', ","));
    let db = store();
    let of_database = OpenWebUi::open(dir.path().join("webui.db")).unwrap().import(&db).await.unwrap();
    let path = dir.path().join("export");
    for text in [lines, array] {
        fs::write(&path, &text).unwrap();
        let source = AnySource::detect(&path).unwrap();
        assert_eq!(source.format(), Format::OpenWebUi);
        let again = source.import(&db).await.unwrap();
        assert_eq!((again.messages, again.already_there, again.skipped.len()), (0, of_database.messages, 0));
        let other = store();
        source.import(&other).await.unwrap();
        let (exported, all) = (everything(&other).await, everything(&db).await);
        assert_eq!(exported.keys().collect::<Vec<_>>(), all.keys().collect::<Vec<_>>());
        for (thread, (_, rows)) in exported {
            assert_eq!(rows, all[&thread].1, "{thread}");
        }
    }
}

#[tokio::test]
async fn a_chat_of_the_first_versions_is_a_document_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chats.json");
    fs::write(
        &path,
        r#"[{"id":"old","title":"T","models":["llama2"],"history":{"currentId":"b","messages":{
            "a":{"id":"a","parentId":null,"role":"user","content":"h","timestamp":1700000000.25},
            "b":{"id":"b","parentId":"a","role":"assistant","content":"i","timestamp":1700000001000000,"done":false}}},
            "messages":[],"timestamp":1700000000000}]"#,
    )
    .unwrap();
    let (db, source) = (store(), AnySource::detect(&path).unwrap());
    assert_eq!(source.format(), Format::OpenWebUi);
    assert_eq!(source.import(&db).await.unwrap().messages, 2);
    let (thread, rows) = &everything(&db).await["old"];
    assert_eq!((thread.title.as_str(), thread.created_at.as_micros()), ("T", 1_700_000_000_000_000));
    // Seconds with a fraction, and microseconds.
    let times: Vec<_> = rows.iter().map(|row| row.created_at.as_micros()).collect();
    assert_eq!(times, [1_700_000_000_250_000, 1_700_000_001_000_000]);
    assert_eq!(rows[1].abandoned, Some(Some("the answer was not finished".to_owned())));
    assert_eq!((rows[1].role, rows[0].abandoned.clone()), (Role::Assistant, None));
}

#[tokio::test]
async fn an_export_that_is_cut_off_anywhere_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = export(&dir.path().join("webui.db"));
    // The first chat is a long one.
    let (_, text) = text.split_once('\n').unwrap();
    cut_at_every_byte(&dir.path().join("export"), text.as_bytes(), |path| {
        OpenWebUi::open(path).unwrap().into()
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_cut_off_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("webui.db");
    drop(database(&path, MADE));
    cut_database(&path, |path| OpenWebUi::open(path).map(Into::into)).await;
}

#[tokio::test]
async fn invalid_chats_are_named_and_the_others_are_imported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("webui.db");
    let long = "x".repeat(300);
    let large = "y".repeat(5_000);
    drop(database(
        &path,
        &format!(
            r#"CREATE TABLE chat (id, user_id, title, created_at, chat);
               INSERT INTO chat VALUES
                 ('ok', 'u', 't', 1761699578, '{{"history":{{"messages":{{"m":{{"role":"user","content":"h","timestamp":1761699578}}}}}}}}'),
                 ('torn', 'u', 't', 1761699578, '{{"history":{{"mess'),
                 (NULL, 'u', 't', 1761699578, '{{}}'),
                 ('{long}', 'u', 't', 1761699578, '{{}}'),
                 ('large', 'u', 't', 1761699578, '{{"title":"{large}"}}'),
                 ('odd', 'u', 't', 'never', '{{"history":{{"messages":{{"m":7,"n":{{"role":"narrator"}},"o":{{"content":"c"}}}}}}}}'),
                 ('list', 'u', 't', 1761699578, '{{"history":{{"messages":[1]}}}}'),
                 ('blob', 'u', 't', 1761699578, x'7b7d'),
                 ('copy', 'shared-ok', 't', 1761699578, '{{"history":{{"messages":{{"m":{{"role":"user","content":"h"}}}}}}}}');"#
        ),
    ));
    let db = store();
    let source = OpenWebUi::open(&path).unwrap().with_max_record_bytes(4_000);
    let report = source.import(&db).await.unwrap();
    let at = |row| format!("row {row} of `chat`");
    let skipped: Vec<_> = report.skipped.iter().map(named).collect();
    assert_eq!(
        skipped,
        [
            (at(2), "wrong-field"),
            (at(3), "no-field"),
            (at(4), "invalid-id"),
            (at(5), "too-large"),
            (at(6), "wrong-field"),
            (at(7), "wrong-field"),
        ]
    );
    let warned: Vec<_> = report.warnings.iter().map(|found| found.kind.clone()).collect();
    assert_eq!(warned, [FindingKind::NoField("role"), FindingKind::UnknownRole("narrator".to_owned())]);
    assert_eq!(report.omitted["shared chat"], 1);
    assert_eq!(ids(&db, "ok").await, of(&[("m", "user")]));
    // A message without a known role is kept as it is.
    assert_eq!(ids(&db, "odd/n").await, of(&[("n", "system")]));
    assert_eq!(
        rows(&db, "odd").await[0].content.as_json(),
        r#"[{"type":"source.record","record":{"content":"c"}}]"#
    );
}

#[tokio::test]
async fn a_database_without_chats_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("webui.db");
    let sql = database(&path, "CREATE TABLE other (id)");
    let error = OpenWebUi::open(&path).unwrap_err();
    assert!(matches!(&error, TransferError::NoTable { table, .. } if table == "chat"), "{error}");
    sql.execute_batch("CREATE TABLE chat (id)").unwrap();
    let error = OpenWebUi::open(&path).unwrap_err();
    assert!(matches!(&error, TransferError::NoColumns { missing, .. } if missing == &["chat"]), "{error}");
    // A view could compute its rows without an end.
    sql.execute_batch(
        "DROP TABLE chat; CREATE VIEW chat AS SELECT 1 AS id, 2 AS user_id, 3 AS title, 4 AS chat",
    )
    .unwrap();
    assert!(matches!(OpenWebUi::open(&path), Err(TransferError::NoTable { .. })));
    assert!(matches!(AnySource::detect(&path), Err(TransferError::UnknownFormat { .. })));
}

#[tokio::test]
async fn a_database_that_open_webui_has_open_is_read_with_its_wal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("webui.db");
    let sql = database(&path, "PRAGMA journal_mode = WAL");
    sql.execute_batch(MADE).unwrap();
    let before = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    let (db, source) = (store(), AnySource::detect(&path).unwrap());
    assert_eq!(source.import(&db).await.unwrap().messages, 14);
    let after = (fs::read(&path).unwrap(), fs::metadata(&path).unwrap().modified().unwrap());
    assert!(before == after);
    sql.execute_batch("DELETE FROM chat").unwrap();
}
