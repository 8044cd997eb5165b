//! A store that is opened to be read is not changed, and reads what others write.

use std::time::Duration;

use throughline_core::{
    Effect, ErrorKind, Message, NewMessage, NewReservation, Persistence, Position, Role,
    backend::search::Tokenizer,
    changes::{ChangeScope, ReadChanges},
    messages::{PageFrom, Reserve},
    search::SearchMessages,
    threads::ListThreads,
};
use throughline_postgres::{OpenError, PostgresBackend, PostgresOptions, PostgresReader};
use throughline_postgres_cluster::{Cluster, Installation, Pooler};

use crate::support::Database;

/// Everything in the schema of the store.
const CONTENTS: &str = "SELECT hashtextextended(schema_to_xml('throughline', true, false, '')::text, 0)";

/// Replaces tables by views that fail in a transaction that may write.
const ONLY_READ_ONLY: &str = "CREATE FUNCTION public.is_read_only() RETURNS boolean VOLATILE LANGUAGE plpgsql AS $$ \
    BEGIN IF current_setting('transaction_read_only') = 'off' THEN RAISE 'the transaction may write'; END IF; RETURN true; END $$; \
    DO $$ DECLARE t text; BEGIN FOREACH t IN ARRAY '{migrations,store,threads,messages,changes,search_state}'::text[] LOOP \
    EXECUTE format('ALTER TABLE throughline.%I RENAME TO %I', t, t || '_behind'); \
    EXECUTE format('CREATE VIEW throughline.%I AS SELECT * FROM throughline.%I WHERE public.is_read_only()', t, t || '_behind'); \
    END LOOP; END $$";

/// Conflicts with every lock but that of a `SELECT`.
const LOCK_ALL: &str = "SELECT pg_advisory_xact_lock(6070816190463183181); DO $$ DECLARE t regclass; BEGIN \
    FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'throughline'::regnamespace AND relkind IN ('r', 'p') LOOP \
    EXECUTE format('LOCK TABLE %s IN EXCLUSIVE MODE', t); END LOOP; END $$";

fn built(reader: PostgresReader) -> Persistence {
    Persistence::builder().backend(reader).build().unwrap()
}

async fn read(url: &str) -> Persistence {
    built(PostgresReader::open(url).await.unwrap())
}

async fn refused(url: &str) -> OpenError {
    PostgresReader::open(url).await.unwrap_err()
}

async fn add(db: &Persistence, text: &str) {
    db.thread("t").add(NewMessage::user(text)).await.unwrap();
}

async fn texts(db: &Persistence) -> Vec<String> {
    let page = db.thread("t").page(PageFrom::Start, 100).await.unwrap();
    page.messages.iter().map(Message::text).collect()
}

/// Creates a role that may select, and returns its URL of the database.
async fn selecting_role(database: &Database) -> String {
    let role = format!("r{}", &database.name[1..]);
    let sql = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA throughline TO {role}; \
         GRANT SELECT ON ALL TABLES IN SCHEMA throughline TO {role}"
    );
    database.run(&sql).await;
    let (_, address) = database.url.rsplit_once('@').unwrap();
    format!("postgres://{role}:p@{address}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_only_select_reads_what_others_write() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.db().await;
    add(&db, "one").await;
    let reader = read(&selecting_role(&database).await).await;
    assert_eq!(texts(&reader).await, ["one"]);
    let message = reader.thread("t").page(PageFrom::Start, 1).await.unwrap().messages.remove(0);
    assert_eq!(reader.thread("t").get(message.id.clone()).await.unwrap(), Some(message));
    let list = reader.threads(ListThreads::new(10)).await.unwrap();
    assert_eq!((list.threads.len(), list.threads[0].messages), (1, 1));
    let read = ReadChanges::new(ChangeScope::Tenant, Position::ZERO, 10);
    assert_eq!(reader.read(read).await.unwrap().changes.len(), 1);
    // A commit of another process wakes a reader of changes.
    let mut changes = reader.changes(ChangeScope::Tenant, Position::new(1));
    let (change, ()) = tokio::join!(changes.next(), add(&db, "two"));
    assert_eq!(change.unwrap().position, Position::new(2));
    assert_eq!(texts(&reader).await, ["one", "two"]);
    reader.close().await.unwrap();
}

#[tokio::test]
async fn every_write_is_refused_as_unsupported_and_changes_nothing() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.db().await;
    add(&db, "one").await;
    db.close().await.unwrap();
    let before = database.count(CONTENTS).await;
    // The role could write.
    let reader = read(&database.url).await;
    let thread = reader.thread("t");
    let reserve = Reserve::new("t".parse().unwrap(), NewReservation::new(Role::Assistant));
    for error in [
        thread.add(NewMessage::user("two")).await.unwrap_err(),
        thread.add(NewMessage::user("two")).key("k").await.unwrap_err(),
        reader.run(reserve).await.unwrap_err(),
        thread.clear().await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotApplied), "{error}");
    }
    assert_eq!(texts(&reader).await, ["one"]);
    reader.close().await.unwrap();
    assert_eq!(database.count(CONTENTS).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_transaction_is_read_only_at_the_server() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.db().await;
    add(&db, "one").await;
    db.close().await.unwrap();
    database.run(ONLY_READ_ONLY).await;
    let writer = PostgresBackend::open(&database.url).await.unwrap_err();
    assert!(
        matches!(&writer, OpenError::Unreachable { code: Some(code), .. } if code == "P0001"),
        "{writer}"
    );
    let reader = read(&database.url).await;
    let message = reader.thread("t").page(PageFrom::Start, 1).await.unwrap().messages.remove(0);
    // A statement without an explicit transaction.
    assert_eq!(reader.thread("t").get(message.id.clone()).await.unwrap(), Some(message));
    let mut changes = reader.changes(ChangeScope::Tenant, Position::ZERO);
    assert_eq!(changes.next().await.unwrap().position, Position::new(1));
    reader.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_opens_and_reads_while_others_write_and_migrate() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.db().await;
    add(&db, "one").await;
    let mut other = database.connect().await;
    sqlx::raw_sql("BEGIN").execute(&mut other).await.unwrap();
    sqlx::raw_sql(LOCK_ALL).execute(&mut other).await.unwrap();
    let options = PostgresBackend::builder().answer_limit(Duration::from_secs(60));
    let reader = built(options.open_read_only(&database.url).await.unwrap());
    assert_eq!(texts(&reader).await, ["one"]);
    // A reader has no lock behind its read that stops a writer.
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    add(&db, "two").await;
    assert_eq!(texts(&reader).await, ["one", "two"]);
}

#[tokio::test]
async fn a_schema_that_is_absent_or_of_another_version_is_refused_and_unchanged() {
    const SCHEMAS: &str = "SELECT count(*) FROM pg_namespace WHERE nspname = 'throughline'";
    let Some(database) = Database::fresh("").await else { return };
    let missing = refused(&database.url).await;
    assert!(matches!(missing, OpenError::Missing), "{missing}");
    assert_eq!(database.count(SCHEMAS).await, 0);
    database.db().await.close().await.unwrap();
    type IsExpected = fn(&OpenError) -> bool;
    let cases: [(&str, IsExpected); 4] = [
        ("INSERT INTO throughline.migrations (id, name, checksum) VALUES (2, 'later', 'x')", |error| {
            matches!(error, OpenError::Newer { id: 2 })
        }),
        ("DELETE FROM throughline.migrations", |error| matches!(error, OpenError::Older { id: 1 })),
        ("INSERT INTO throughline.migrations (id, name, checksum) VALUES (1, 'initial', 'x')", |error| {
            matches!(error, OpenError::Changed { id: 1 })
        }),
        ("DROP TABLE throughline.migrations", |error| matches!(error, OpenError::Foreign)),
    ];
    for (change, is_expected) in cases {
        database.run(change).await;
        let before = database.count(CONTENTS).await;
        let error = refused(&database.url).await;
        assert!(is_expected(&error), "{change}: {error}");
        assert_eq!(database.count(CONTENTS).await, before, "{change}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_and_a_role_without_rights_are_named() {
    let Some(database) = Database::fresh("").await else { return };
    database.db().await.close().await.unwrap();
    let url = selecting_role(&database).await;
    let role = format!("r{}", &database.name[1..]);
    database.run(&format!("REVOKE USAGE ON SCHEMA throughline FROM {role}")).await;
    let denied = refused(&url).await;
    assert!(
        matches!(&denied, OpenError::Unreachable { code: Some(code), .. } if code == "42501"),
        "{denied}"
    );
    // The port is free while the listener has no connection.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let away = refused(&format!("postgres://a:secret@{address}/store")).await;
    assert!(matches!(away, OpenError::Unreachable { code: None, .. }), "{away}");
    assert!(!format!("{away} {away:?}").contains("secret"));
    assert!(matches!(refused("mysql://a:secret@host/store").await, OpenError::Url));
}

#[tokio::test]
async fn a_search_uses_the_index_of_the_store() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(PostgresBackend::builder().search(true).tokenizer(Tokenizer::Cjk)).await;
    add(&db, "\u{6211}\u{5011}\u{53bb}\u{91cc}\u{65af}\u{672c}").await;
    let search = || SearchMessages::new("\u{91cc}\u{65af}", 10);
    while db.search(search()).await.unwrap().hits.is_empty() {
        // The index follows the writes asynchronously, and nothing signals its progress.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    db.close().await.unwrap();
    assert_eq!(read(&database.url).await.search(search()).await.unwrap().hits.len(), 1);
    let without = Database::fresh("").await.unwrap();
    without.db().await.close().await.unwrap();
    let error = read(&without.url).await.search(search()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[tokio::test]
async fn row_security_is_required_as_for_the_writers() {
    let Some(database) = Database::fresh("").await else { return };
    let role = format!("o{}", &database.name[1..]);
    let sql = format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT CREATE ON DATABASE {} TO {role}",
        database.name
    );
    database.run(&sql).await;
    let (_, address) = database.url.rsplit_once('@').unwrap();
    let owner = format!("postgres://{role}:p@{address}");
    let guarded = || PostgresBackend::builder().row_security();
    let db = Persistence::builder().backend(guarded().open(&owner).await.unwrap()).build().unwrap();
    add(&db, "one").await;
    let url = selecting_role(&database).await;
    let reader = built(guarded().open_read_only(&url).await.unwrap());
    assert_eq!(texts(&reader).await, ["one"]);
    assert_eq!(texts(&reader.for_tenant("other".parse().unwrap())).await, [""; 0]);
    let refused = async |options: PostgresOptions, url: &str| match options.open_read_only(url).await {
        Err(OpenError::RowSecurity { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let reason = refused(PostgresBackend::builder(), &url).await;
    assert!(reason.contains("opened with `PostgresOptions::row_security`"), "{reason}");
    let reason = refused(guarded(), &database.url).await;
    assert!(reason.contains("superuser"), "{reason}");
    let open = Database::fresh("").await.unwrap();
    open.db().await.close().await.unwrap();
    let reason = refused(guarded(), &selecting_role(&open).await).await;
    assert!(reason.contains("opened without `PostgresOptions::row_security`"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
async fn a_reader_behind_a_pooler_reads_in_read_only_transactions() {
    let Some(installation) = Installation::find().filter(|_| Pooler::is_installed()) else {
        println!(
            "SKIPPED: a reader behind PgBouncer (PostgreSQL 15 or newer, or PgBouncer, is not installed)"
        );
        return;
    };
    let cluster = Cluster::start(&installation).unwrap();
    let pooler = Pooler::start(&cluster, &[]).unwrap();
    let backend = PostgresBackend::open(&cluster.url("postgres")).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    add(&db, "one").await;
    db.close().await.unwrap();
    let views = ONLY_READ_ONLY.replace(",store,", ",");
    cluster.run("postgres", &views).unwrap();
    let url = cluster.url_at(&pooler.address(), "postgres");
    let reader = built(PostgresBackend::builder().pgbouncer().open_read_only(&url).await.unwrap());
    let message = reader.thread("t").page(PageFrom::Start, 1).await.unwrap().messages.remove(0);
    assert_eq!(reader.thread("t").get(message.id.clone()).await.unwrap(), Some(message));
    let reason = match PostgresReader::open(&url).await {
        Err(OpenError::Pooler { reason }) => reason,
        other => panic!("{other:?}"),
    };
    assert!(reason.contains("`PostgresOptions::pgbouncer`"), "{reason}");
}
