//! The index follows the store: through other processes, lost connections, and periods without an index process.

use throughline_core::{Content, ErrorKind, Position, Role, search::SearchMessages};
use throughline_postgres::PostgresBackend;

use super::{add, id, ids, kept, rows, search};
use crate::support::Database;

const KILL: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// The index rows of messages that no longer exist.
const LEFT: &str = "SELECT count(*) FROM throughline.search s JOIN throughline.messages m USING (tenant, thread, id) \
    JOIN throughline.threads t USING (tenant, thread) WHERE m.seq IS NULL OR m.seq <= t.floor OR t.deleted";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_keep_one_index_although_every_connection_is_terminated() {
    let Some(database) = Database::fresh("").await else { return };
    let dbs = [database.open(kept()).await, database.open(kept()).await, database.db().await];
    let (mut last, mut due, mut cut) = (Position::ZERO, Vec::new(), 0);
    for n in 0..120 {
        let name = format!("m{n:03}");
        last = add(&dbs[n % 3], &format!("t{}", n % 5), &name, "a needle").await;
        due.push(name);
        if n % 10 == 9 {
            cut += database.count(KILL).await;
        }
    }
    assert!(cut >= 20, "only {cut} connections were cut");
    due.reverse();
    for db in &dbs[..2] {
        assert_eq!(ids(db, "needle", last).await, due);
    }
    let error = dbs[2].search(SearchMessages::new("needle", 1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(rows(&database).await, 120);
    for db in dbs {
        db.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_messages_leave_the_index_with_and_without_the_option() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(kept()).await;
    for n in 0..40 {
        add(&db, ["deleted", "cleared", "pruned", "left"][n % 4], &format!("m{n}"), "a secretword").await;
    }
    let last = add(&db, "left", "edited", "a secretword").await;
    assert_eq!(ids(&db, "secretword", last).await.len(), 41);
    let words = database.count("SELECT count(*) FROM throughline.search").await;
    assert_eq!(words, 41);
    db.close().await.unwrap();

    // Opened without the option `search`.
    let db = database.db().await;
    db.thread("deleted").delete_thread().await.unwrap();
    db.thread("cleared").clear().await.unwrap();
    db.thread("pruned")
        .prune(throughline_core::threads::Keep { messages: Some(3), ..Default::default() })
        .await
        .unwrap();
    db.thread("left").delete(id("m3")).await.unwrap();
    db.thread("left").edit(id("edited"), Content::text("another word")).await.unwrap();
    let last = add(&db, "left", "later", "a later word").await;
    // Three remain of one thread, and nine of another.
    while rows(&database).await > 12 {
        tokio::task::yield_now().await;
    }
    assert_eq!(database.count(LEFT).await, 0);
    let edited = "SELECT count(*) FROM throughline.search WHERE id = 'edited'";
    assert_eq!(database.count(edited).await, 0);
    db.close().await.unwrap();

    // The index continues at its position; messages removed meanwhile are processed again.
    let db = database.open(kept()).await;
    assert_eq!(ids(&db, "later", last).await, ["later"]);
    assert_eq!(ids(&db, "another", last).await, ["edited"]);
    assert_eq!(ids(&db, "secretword", last).await.len(), 12);
    assert_eq!(rows(&database).await, 14);
    db.close().await.unwrap();
}

/// More messages are removed at once than one step deletes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_removed_at_once_leave_the_index() {
    const MANY: i64 = 5000;
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(kept()).await;
    let last = add(&db, "t", "first", "a needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["first"]);
    // As if they had been indexed.
    let many = format!(
        "INSERT INTO throughline.messages SELECT tenant, thread, 'm' || n, 1 + n, role, state, revision, chunks, first_chunk, content_bytes, \
         tail, lease_ms, lease_expires_at, created_at, updated_at, metadata, attachments, abandon_reason, content \
         FROM throughline.messages, generate_series(1, {MANY}) n WHERE id = 'first'; \
         INSERT INTO throughline.search SELECT tenant, thread, 'm' || n, 0, 1 + n, created_at, words \
         FROM throughline.search, generate_series(1, {MANY}) n; \
         UPDATE throughline.threads SET last_seq = {MANY} + 1, live = {MANY} + 1"
    );
    database.run(&many).await;
    assert_eq!(search(&db, SearchMessages::new("needle", 1000), last).await.hits.len(), 1000);
    db.thread("t").clear().await.unwrap();
    let last = add(&db, "u", "after", "another needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["after"]);
    assert_eq!(rows(&database).await, 1);
    db.close().await.unwrap();
}

/// More messages than one step scans, when the index is first built; and again after changes are missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn index_is_built_from_existing_messages_and_rebuilt_if_changes_are_missing() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.db().await;
    let adds = (0..700).map(|n| add_of(&format!("t{}", n % 3), &format!("m{n}")).into());
    for chunk in adds.collect::<Vec<throughline_core::PersistArgs>>().chunks(256) {
        db.batch(throughline_core::messages::Batch::of(chunk.to_vec())).await.unwrap();
    }
    add(&db, "cleared", "c", "a word that went").await;
    db.thread("cleared").clear().await.unwrap();
    let last = db.thread("t1").delete(id("m1")).reply().await.unwrap().receipt.position.unwrap();
    assert_eq!(rows(&database).await, 0);
    db.close().await.unwrap();

    let db = database.open(kept()).await;
    assert_eq!(ids(&db, "word", last).await.len(), 699);
    assert_eq!(rows(&database).await, 699);
    db.close().await.unwrap();
    // No process followed the changes, and the feed no longer keeps them.
    database
        .run(
            "UPDATE throughline.messages SET content = replace(content, 'word', 'otherword') WHERE id = 'm7'; \
             UPDATE throughline.messages SET seq = NULL, state = 'deleted', content = NULL WHERE id = 'm8'; \
             DELETE FROM throughline.changes; UPDATE throughline.store SET position = position + 100, kept_after = position + 90",
        )
        .await;
    let db = database.open(kept()).await;
    let last = add(&db, "t", "last", "the last word").await;
    assert_eq!(ids(&db, "word", last).await.len(), 698);
    assert_eq!(ids(&db, "otherword", last).await, ["m7"]);
    assert_eq!(database.count(LEFT).await, 0);
    assert_eq!(rows(&database).await, 699);
    db.close().await.unwrap();

    // Without the option and without the changes, the removed messages are unknown, so the whole index is deleted.
    database
        .run(
            "UPDATE throughline.store SET position = position + 100, kept_after = position + 90; \
             DELETE FROM throughline.changes",
        )
        .await;
    let db = database.db().await;
    while rows(&database).await > 0 {
        tokio::task::yield_now().await;
    }
    db.close().await.unwrap();
    let db = database.open(kept()).await;
    assert_eq!(ids(&db, "word", last).await.len(), 698);
    db.close().await.unwrap();
}

fn add_of(thread: &str, name: &str) -> throughline_core::messages::Add {
    let message = throughline_core::NewMessage::user("a word like any other").with_id(id(name));
    throughline_core::messages::Add::new(thread.parse().unwrap(), message)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_message_is_found_when_final_and_a_damaged_one_hides_no_other() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(kept()).await;
    let mut draft = db.thread("t").reserve(Role::Assistant).await.unwrap();
    draft.append("half a nee").await.unwrap();
    draft.append("dle").await.unwrap();
    let last = add(&db, "t", "a", "something else").await;
    assert_eq!(ids(&db, "needle", last).await, [""; 0]);
    let message = draft.finish().await.unwrap();
    let last = add(&db, "u", "b", "another needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["b".to_owned(), message.id.to_string()]);
    database.run("UPDATE throughline.messages SET content = '[\"needle' WHERE id = 'b'").await;
    let found = search(&db, SearchMessages::new("needle", 1), last).await;
    assert_eq!(found.hits.iter().map(|hit| hit.id.as_str()).collect::<Vec<_>>(), [message.id.as_str()]);
    assert_eq!(found.damaged, ["u".parse().unwrap()]);
    // A damaged message does not stop the index.
    database
        .run("DELETE FROM throughline.search; UPDATE throughline.search_state SET complete = false")
        .await;
    let last = add(&db, "u", "c", "a third needle").await;
    let found = ids(&db, "needle", last).await;
    assert_eq!(found, ["c".to_owned(), message.id.to_string()]);
    db.close().await.unwrap();
}

/// A search skips candidates that changed since, and continues until it has enough hits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_in_an_index_that_is_behind_returns_every_current_match() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(PostgresBackend::builder().search(true)).await;
    let mut last = Position::ZERO;
    for n in 0..60 {
        last = add(&db, "t", &format!("m{n:02}"), "a needle").await;
    }
    add(&db, "cleared", "c", "a needle").await;
    last = last.max(add(&db, "deleted", "d", "a needle").await);
    assert_eq!(ids(&db, "needle", last).await.len(), 62);
    // Another session holds the lock: no process can update the index.
    let mut holder = database.connect().await;
    sqlx::raw_sql("BEGIN; SELECT * FROM throughline.search_state FOR UPDATE")
        .execute(&mut holder)
        .await
        .unwrap();
    for n in 10..60 {
        if n % 2 == 0 {
            db.thread("t").delete(id(&format!("m{n}"))).await.unwrap();
        } else {
            db.thread("t").edit(id(&format!("m{n}")), Content::text("a pin")).await.unwrap();
        }
    }
    db.thread("cleared").clear().await.unwrap();
    db.thread("deleted").delete_thread().await.unwrap();
    let found = search(&db, SearchMessages::new("needle", 3), last).await;
    let found: Vec<_> = found.hits.iter().map(|hit| hit.id.as_str()).collect();
    assert_eq!(found, ["m09", "m08", "m07"]);
    drop(holder);
    let last = add(&db, "t", "last", "a pin").await;
    assert_eq!(ids(&db, "pin", last).await.len(), 26);
    db.close().await.unwrap();
}
