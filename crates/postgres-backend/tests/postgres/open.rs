//! Who opens at once makes one schema, and what could not keep its word is not opened.

use throughline_core::NewMessage;
use throughline_postgres::{OpenError, PostgresBackend};

use crate::support::{Database, everything};

const LEDGER: &str = "SELECT count(*) FROM throughline.migrations";

#[tokio::test]
async fn those_who_open_at_once_take_each_step_once() {
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
async fn a_schema_that_is_newer_changed_or_none_of_ours_is_refused_and_left_alone() {
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
async fn a_server_that_could_lose_what_was_answered_is_refused() {
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
    assert!(!made, "nothing was made");
}

#[tokio::test]
async fn a_role_that_is_no_superuser_makes_the_store_and_uses_it() {
    let Some(database) = Database::fresh("").await else { return };
    let role = format!("r{}", &database.name[1..]);
    database
        .run(&format!(
            "CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT CONNECT, CREATE ON DATABASE {} TO {role}",
            database.name
        ))
        .await;
    let (_, place) = database.url.rsplit_once('@').unwrap();
    let url = format!("postgres://{role}:p@{place}");
    let backend = PostgresBackend::open(&url).await.unwrap();
    assert!(!format!("{backend:?}").contains("postgres://"));
    let db = throughline_core::Persistence::builder().backend(backend).build().unwrap();
    db.thread("t").add(NewMessage::user("hello")).await.unwrap();
    assert_eq!(everything(&db, "t").await.len(), 1);
}

#[tokio::test]
async fn a_partitioned_store_answers_as_another() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(PostgresBackend::builder().partitions(4)).await;
    for thread in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let id = db.thread(thread).add(NewMessage::user("x")).await.unwrap().message.id;
        assert_eq!(db.thread(thread).get(id).await.unwrap().unwrap().seq.get(), 1);
    }
    assert_eq!(database.count("SELECT count(*) FROM throughline.messages").await, 8);
    let used = "SELECT count(DISTINCT tableoid) FROM throughline.messages";
    assert!(database.count(used).await > 1, "they stand in several partitions");
    // Opened without, it keeps those that it has.
    drop(database.db().await);
    assert_eq!(
        database
            .count("SELECT count(*) FROM pg_class WHERE relname LIKE 'messages\\_%' AND relkind = 'r'")
            .await,
        4
    );
}

#[tokio::test]
async fn what_is_no_url_is_not_repeated() {
    let error = PostgresBackend::open("mysql://secret").await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
}
