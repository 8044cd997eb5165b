//! Concurrent opening creates one schema, and unsuitable servers and databases are refused.

use throughline_core::NewMessage;
use throughline_postgres::{OpenError, PostgresBackend};

use crate::support::{Database, everything};

const LEDGER: &str = "SELECT count(*) FROM throughline.migrations";

#[tokio::test]
async fn concurrent_opens_apply_each_migration_once() {
    let Some(database) = Database::fresh("").await else { return };
    let openers: Vec<_> = (0..8)
        .map(|_| {
            let url = database.url.clone();
            tokio::spawn(async move { PostgresBackend::open(&url).await.map(drop) })
        })
        .collect();
    for opener in openers {
        opener.await.unwrap().unwrap();
    }
    assert_eq!(database.count(LEDGER).await, 1);
}

#[tokio::test]
async fn newer_changed_or_foreign_schema_is_refused_and_unchanged() {
    let Some(database) = Database::fresh("").await else { return };
    drop(PostgresBackend::open(&database.url).await.unwrap());
    database.run("INSERT INTO throughline.migrations (id, name, checksum) VALUES (2, 'later', 'x')").await;
    let error = PostgresBackend::open(&database.url).await.unwrap_err();
    assert!(matches!(error, OpenError::Newer { id: 2 }), "{error}");
    assert_eq!(database.count(LEDGER).await, 2);
    database.run("DELETE FROM throughline.migrations WHERE id = 2; UPDATE throughline.migrations SET checksum = 'x'").await;
    let error = PostgresBackend::open(&database.url).await.unwrap_err();
    assert!(matches!(error, OpenError::Changed { id: 1 }), "{error}");
    database.run("DROP TABLE throughline.migrations").await;
    let error = PostgresBackend::open(&database.url).await.unwrap_err();
    assert!(matches!(error, OpenError::Foreign), "{error}");
}

#[tokio::test]
async fn server_without_durable_commits_is_refused() {
    let Some(database) = Database::fresh("").await else { return };
    database.run(&format!("ALTER DATABASE {} SET synchronous_commit = off", database.name)).await;
    let error = PostgresBackend::open(&database.url).await.unwrap_err();
    assert!(
        matches!(&error, OpenError::NotDurable { setting, value } if setting == "synchronous_commit" && value == "off")
    );
    let other = Database::fresh("TEMPLATE template0 ENCODING 'SQL_ASCII'").await.unwrap();
    let error = PostgresBackend::open(&other.url).await.unwrap_err();
    assert!(matches!(&error, OpenError::Encoding { encoding } if encoding == "SQL_ASCII"), "{error}");
    let mut db = other.connect().await;
    let made: bool = sqlx::query_scalar("SELECT to_regnamespace('throughline') IS NOT NULL")
        .fetch_one(&mut db)
        .await
        .unwrap();
    assert!(!made, "the schema must not exist");
}

#[tokio::test]
async fn role_without_superuser_creates_and_uses_the_store() {
    let Some(database) = Database::fresh("").await else { return };
    let role = format!("r{}", &database.name[1..]);
    database
        .run(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT CONNECT, CREATE ON DATABASE {} TO {role}",
            database.name
        ))
        .await;
    let (_, address) = database.url.rsplit_once('@').unwrap();
    let url = format!("postgres://{role}:p@{address}");
    let backend = PostgresBackend::open(&url).await.unwrap();
    assert!(!format!("{backend:?}").contains("postgres://"));
    let db = throughline_core::Persistence::builder().backend(backend).build().unwrap();
    db.thread("t").add(NewMessage::user("hello")).await.unwrap();
    assert_eq!(everything(&db, "t").await.len(), 1);
}

#[tokio::test]
async fn partitioned_store_behaves_like_an_unpartitioned_one() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(PostgresBackend::builder().partitions(4)).await;
    for thread in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let id = db.thread(thread).add(NewMessage::user("x")).await.unwrap().message.id;
        assert_eq!(db.thread(thread).get(id).await.unwrap().unwrap().seq.get(), 1);
    }
    assert_eq!(database.count("SELECT count(*) FROM throughline.messages").await, 8);
    let used = "SELECT count(DISTINCT tableoid) FROM throughline.messages";
    assert!(database.count(used).await > 1, "the messages are in several partitions");
    // Opened without the option, the store keeps its partitions.
    drop(database.db().await);
    assert_eq!(
        database
            .count("SELECT count(*) FROM pg_class WHERE relname LIKE 'messages\\_%' AND relkind = 'r'")
            .await,
        4
    );
}

#[tokio::test]
async fn invalid_url_is_not_repeated_in_the_error() {
    let error = PostgresBackend::open("mysql://secret").await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
}
