//! SQLite sessions of the OpenAI Agents SDK.

use throughline_core::{
    Role,
    messages::{History, PageFrom},
};
use throughline_transfer::{AnySource, Format, OpenAiAgents, TransferError};

use crate::support::{cut_database, database, everything, ids, rows, store};

/// A database that the package made, as SQL.
const MADE: &str = include_str!("openai_agents.sql");

#[tokio::test]
async fn sessions_and_branches_that_the_package_made_become_threads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions");
    let sql = database(&path, MADE);
    let (db, source) = (store(), AnySource::detect(&path).unwrap());
    assert_eq!(source.format(), Format::OpenAiAgents);
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.skipped.len(), report.warnings.len()), (0, 0));
    let all = everything(&db).await;
    let names: Vec<_> = all.keys().map(String::as_str).collect();
    assert_eq!(names, ["user-7", "user-7/other"]);
    let (main, main_rows) = &all["user-7"];
    let (branch, branch_rows) = &all["user-7/other"];
    let roles: Vec<_> = main_rows.iter().map(|row| row.role).collect();
    assert_eq!(
        roles,
        [Role::User, Role::Assistant, Role::Tool, Role::Assistant, Role::User, Role::Assistant]
    );
    assert_eq!(main_rows[0].content.as_json(), r#"[{"type":"text","text":"What is the weather in Paris?"}]"#);
    let messages = db.thread("user-7").page(PageFrom::Start, 100).await.unwrap().messages;
    let history = History::of(messages, false);
    assert!(history.tool_calls.len() == 1 && !history.tool_calls[0].is_orphan());
    let texts: Vec<_> = branch_rows.iter().map(|row| row.content.plain_text(100)).collect();
    assert_eq!(texts.last().unwrap(), "And in Lyon it rains.");
    let shared = branch_rows.len() - 2;
    assert_eq!(branch_rows[..shared], main_rows[..shared]);
    let point = branch.forked_from.as_ref().unwrap();
    assert_eq!((point.thread.as_str(), &point.message), ("user-7", &branch_rows[shared - 1].id));
    assert_eq!(main.labels.get("source").unwrap().as_str(), "openai-agents");
    let again = source.import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there), (0, report.messages));
    sql.execute(
        "INSERT INTO agent_messages (session_id, message_data) VALUES ('user-7', '{\"role\":\"user\",\"content\":\"more\"}')",
        [],
    )
    .unwrap();
    let grown = source.import(&db).await.unwrap();
    assert_eq!((grown.messages, grown.already_there), (1, report.messages));
}

/// A database that the package made, as SQL, with tables of other names.
const CUSTOM: &str = include_str!("openai_agents_custom.sql");

#[tokio::test]
async fn tables_of_other_names_are_found_with_their_branches() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions");
    drop(database(&path, CUSTOM));
    let (db, source) = (store(), AnySource::detect(&path).unwrap());
    assert_eq!(source.format(), Format::OpenAiAgents);
    let report = source.import(&db).await.unwrap();
    assert_eq!((report.skipped.len(), report.warnings.len()), (0, 0));
    // The package's `get_items` returned these items for each branch.
    for (thread, texts) in [
        ("s", &["q1", "a1", "q2", "a2", "q3", "a3"][..]),
        ("s/b1", &["q1", "a1", "q2b", "a2b", "q3b", "a3b"]),
        ("s/b2", &["q1", "a1", "q2b", "a2b", "q3c"]),
        ("s/b0", &["q1z"]),
    ] {
        let found: Vec<_> = rows(&db, thread).await.iter().map(|row| row.content.plain_text(100)).collect();
        assert_eq!(found, texts, "{thread}");
    }
    let all = everything(&db).await;
    assert_eq!(all.len(), 4);
    let point = |thread: &str| {
        let point = all[thread].0.forked_from.clone();
        point.map(|point| (point.thread.to_string(), point.message.to_string()))
    };
    // A branch of a branch leaves that branch, and one from the first turn has no item in common.
    assert_eq!(point("s/b1"), Some(("s".to_owned(), "item-2".to_owned())));
    assert_eq!(point("s/b2"), Some(("s/b1".to_owned(), "item-6".to_owned())));
    assert_eq!(point("s/b0"), None);
    let omitted: Vec<_> = report.omitted.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(omitted, [("my_sessions", 1), ("turn_usage", 1)]);
    let again = source.import(&db).await.unwrap();
    assert_eq!((again.messages, again.already_there), (0, report.messages));
}

#[tokio::test]
async fn every_table_of_items_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions");
    let table = |name: &str, session: &str, time: i64| {
        format!(
            r#"CREATE TABLE {name}_sessions (session_id TEXT PRIMARY KEY, created_at);
               INSERT INTO {name}_sessions VALUES ('{session}', {time});
               CREATE TABLE {name} (id INTEGER PRIMARY KEY, session_id TEXT REFERENCES {name}_sessions, message_data TEXT, created_at);
               INSERT INTO {name} VALUES (1, '{session}', '{{"role":"user","content":"{name}"}}', {time});"#
        )
    };
    drop(database(&path, &(table("b", "t", 7) + &table("a", "u", 8) + &table("c", "t", 9))));
    let db = store();
    let report = AnySource::detect(&path).unwrap().import(&db).await.unwrap();
    // The last table has another session of the same id.
    let skipped: Vec<_> = report.skipped.iter().map(ToString::to_string).collect();
    assert_eq!((report.threads, report.messages), (3, 2));
    assert_eq!(skipped, ["row 1 of `c`: the store has another message of its id"]);
    let all = everything(&db).await;
    assert_eq!(all["t"].1[0].content.plain_text(9), "b");
    assert_eq!(
        (all["t"].0.created_at.as_micros(), all["u"].0.created_at.as_micros()),
        (7_000_000, 8_000_000)
    );
    let only = OpenAiAgents::open_tables(&path, "c_sessions", "c").unwrap();
    assert_eq!(only.plan().await.unwrap().messages, 1);
}

#[tokio::test]
async fn the_tables_can_have_other_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions");
    drop(database(
        &path,
        r#"CREATE TABLE "my ""chats""" (id INTEGER PRIMARY KEY, session_id TEXT, message_data TEXT, created_at TIMESTAMP);
           INSERT INTO "my ""chats""" VALUES (3, 's', '{"role":"user","content":"h"}', '2025-10-29 00:59:38');"#,
    ));
    let error = OpenAiAgents::open_tables(&path, "none", "chats").unwrap_err();
    assert!(matches!(error, TransferError::NoTable { .. }), "{error}");
    let source = OpenAiAgents::open_tables(&path, "none", "my \"chats\"").unwrap();
    let db = store();
    assert_eq!(source.import(&db).await.unwrap().messages, 1);
    assert_eq!(ids(&db, "s").await, [("item-3".to_owned(), "user")]);
    assert_eq!(rows(&db, "s").await[0].created_at.as_micros(), 1_761_699_578_000_000);
}

#[tokio::test]
async fn invalid_rows_are_named_and_the_others_are_imported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions");
    drop(database(
        &path,
        r#"CREATE TABLE agent_messages (id INTEGER PRIMARY KEY, session_id, message_data, created_at);
           INSERT INTO agent_messages VALUES
             (1, 's', '{"role":"user","content":"h"}', 1761699578),
             (2, 's', '{"role":"us', 1761699578),
             (3, 's', x'00', 1761699578),
             (4, NULL, '{}', 1761699578),
             (5, '', '{}', 1761699578),
             (6, 's', '{"type":"hologram","depth":3}', 'yesterday'),
             (7, 's', '{"depth":3}', 1761699578);"#,
    ));
    let db = store();
    let report = OpenAiAgents::open(&path).unwrap().import(&db).await.unwrap();
    let named = |found: &throughline_transfer::Finding| (found.location.to_string(), found.kind.name());
    let at = |row| format!("row {row} of `agent_messages`");
    let mut skipped: Vec<_> = report.skipped.iter().map(named).collect();
    skipped.sort();
    assert_eq!(
        skipped,
        [(at(2), "not-json"), (at(3), "wrong-value"), (at(4), "wrong-value"), (at(5), "invalid-id")]
    );
    let warned: Vec<_> = report.warnings.iter().map(named).collect();
    assert_eq!(warned, [(at(6), "no-time"), (at(6), "unknown-type"), (at(7), "no-field")]);
    assert_eq!(
        ids(&db, "s").await,
        [("item-1".to_owned(), "user"), ("item-6".to_owned(), "assistant"), ("item-7".to_owned(), "system")]
    );
}

#[tokio::test]
async fn a_database_that_is_cut_off_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sessions");
    drop(database(&path, MADE));
    cut_database(&path, |path| OpenAiAgents::open(path).map(Into::into)).await;
}
