//! Settings of a role, a database or the server do not change the results of the store.

use std::time::Duration;

use throughline_core::{Effect, ErrorKind, NewMessage, Persistence, messages::PageFrom};
use throughline_postgres::PostgresBackend;

use crate::support::{Database, everything};

const KILL: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Settings of text, time and transactions, and a search path that finds a foreign table.
pub(crate) const SETTINGS: [&str; 11] = [
    "default_transaction_isolation = 'serializable'",
    "default_transaction_isolation = 'repeatable read'",
    "default_transaction_read_only = on",
    "default_transaction_deferrable = on",
    "standard_conforming_strings = off",
    "DateStyle = 'SQL, DMY'",
    "bytea_output = 'escape'",
    "search_path = ''",
    "client_encoding = 'LATIN1'",
    "array_nulls = off",
    "extra_float_digits = -15",
];

/// Creates a role that may create the store. Returns it and its URL of the database.
async fn role(database: &Database) -> (String, String) {
    let role = format!("r{}", &database.name[1..]);
    let name = &database.name;
    let sql = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT CONNECT, CREATE ON DATABASE {name} TO {role}; \
         CREATE VIEW public.messages AS SELECT 'of another schema' AS id"
    );
    database.run(&sql).await;
    let (_, address) = database.url.rsplit_once('@').unwrap();
    let url = format!("postgres://{role}:p@{address}");
    (role, url)
}

fn built(backend: PostgresBackend) -> Persistence {
    Persistence::builder().backend(backend).build().unwrap()
}

/// Several processes open the store at once, write, read, and lose their connections in the middle of commits.
async fn used(url: &str, database: &Database, setting: &str) {
    const TEXT: &str = "\u{0} ' \\ \\' \u{1F600} {\"$1\"}";
    let openers: Vec<_> = (0..4)
        .map(|_| {
            let url = url.to_owned();
            let options = PostgresBackend::builder().wait_limit(Duration::from_secs(60));
            tokio::spawn(async move { options.open(&url).await })
        })
        .collect();
    let mut dbs = Vec::new();
    for opener in openers {
        let opened = opener.await.unwrap();
        dbs.push(built(opened.unwrap_or_else(|error| panic!("{setting}: {error}"))));
    }
    for round in 0..10_u32 {
        let writing: Vec<_> = (0..4)
            .map(|n| {
                let thread = dbs[n % 2].thread("t");
                tokio::spawn(async move { thread.add(NewMessage::user(TEXT)).await })
            })
            .collect();
        if round % 2 == 0 {
            database.count(KILL).await;
        }
        for write in writing {
            let written = write.await.unwrap().unwrap_or_else(|error| panic!("{setting}: {error}")).message;
            let read = dbs[3].thread("t").get(written.id.clone()).await;
            assert_eq!(read.unwrap_or_else(|error| panic!("{setting}: {error}")), Some(written), "{setting}");
        }
    }
    assert_eq!(everything(&dbs[2], "t").await.len(), 40, "{setting}");
    for db in dbs {
        db.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_behaves_the_same_under_every_setting_of_its_role() {
    for setting in SETTINGS {
        let Some(database) = Database::fresh("").await else { return };
        let (role, url) = role(&database).await;
        database.run(&format!("ALTER ROLE {role} SET {setting}")).await;
        used(&url, &database, setting).await;
    }
}

/// Rows that a policy hides fail the call as denied: missing rows would look like rows that do not exist.
#[tokio::test]
async fn rows_hidden_by_a_policy_are_denied_and_not_absent() {
    let Some(database) = Database::fresh("").await else { return };
    drop(database.db().await);
    let (role, url) = role(&database).await;
    let grants = format!(
        "GRANT USAGE ON SCHEMA throughline TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA throughline TO {role}"
    );
    database.run(&grants).await;
    let db = built(PostgresBackend::open(&url).await.unwrap());
    let id = db.thread("t").add(NewMessage::user("x")).await.unwrap().message.id;
    database.run("ALTER TABLE throughline.messages ENABLE ROW LEVEL SECURITY").await;
    let thread = db.thread("t");
    let denied = (ErrorKind::Denied, Effect::NotApplied);
    let error = thread.page(PageFrom::End, 10).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), denied, "{error}");
    let error = thread.get(id.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), denied, "{error}");
    let error = thread.delete(id.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), denied, "{error}");
    database.run("ALTER TABLE throughline.messages DISABLE ROW LEVEL SECURITY").await;
    assert!(thread.get(id).await.unwrap().is_some());
}

/// `synchronous_commit` is disabled after the store was opened.
#[tokio::test]
async fn write_without_synchronous_commit_is_not_reported_as_success() {
    let Some(database) = Database::fresh("").await else { return };
    let (role, url) = role(&database).await;
    let db = built(PostgresBackend::open(&url).await.unwrap());
    database.run(&format!("ALTER ROLE {role} SET synchronous_commit = off")).await;
    let error = db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied), "{error}");
    assert!(error.to_string().contains("`synchronous_commit` is off"), "{error}");
    assert_eq!(everything(&db, "t").await, []);
    database.run(&format!("ALTER ROLE {role} RESET synchronous_commit")).await;
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    assert_eq!(everything(&db, "t").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_succeeds_although_every_idle_connection_was_terminated() {
    const READERS: usize = 12;
    let Some(database) = Database::fresh("").await else { return };
    let options = PostgresBackend::builder().readers(READERS as u32).wait_limit(Duration::from_secs(60));
    let db = database.open(options).await;
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    let mut blocker = database.connect().await;
    let lock = "BEGIN; LOCK TABLE throughline.threads IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut blocker).await.unwrap();
    let reads: Vec<_> = (0..READERS)
        .map(|_| {
            let thread = db.thread("t");
            tokio::spawn(async move { thread.page(PageFrom::End, 10).await })
        })
        .collect();
    // Until each of them has a connection.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while database.count(waiting).await < READERS as i64 {
        tokio::task::yield_now().await;
    }
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();
    for read in reads {
        read.await.unwrap().unwrap();
    }
    assert!(database.count(KILL).await > READERS as i64);
    assert_eq!(db.thread("t").page(PageFrom::End, 10).await.unwrap().messages.len(), 1);
}

/// The error distinguishes an exhausted reader pool from a server that refuses connections.
#[tokio::test]
async fn server_without_connections_and_exhausted_readers_have_different_errors() {
    let Some(database) = Database::fresh("").await else { return };
    let (role, url) = role(&database).await;
    let options = PostgresBackend::builder().readers(1).wait_limit(Duration::from_millis(300));
    let db = built(options.open(&url).await.unwrap());
    database.run(&format!("ALTER ROLE {role} CONNECTION LIMIT 0")).await;
    let error = db.thread("t").page(PageFrom::End, 10).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::NotApplied), "{error}");
    assert!(error.to_string().contains("SQLSTATE 53300"), "{error}");
    database.run(&format!("ALTER ROLE {role} CONNECTION LIMIT -1")).await;
    assert_eq!(db.thread("t").page(PageFrom::End, 10).await.unwrap().messages.len(), 0);
}
