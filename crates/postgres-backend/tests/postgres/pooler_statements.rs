//! The store behind a PgBouncer that keeps the prepared statements of its clients, or that stops doing so.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use throughline_core::{Message, NewMessage, Persistence, messages::PageFrom};
use throughline_postgres::{OpenError, PostgresBackend};
use tokio::time::timeout;

use crate::{pooler::Scene, support::everything};

/// The names of the prepared statements on the server connection: how many the pooler chose, and how many the driver.
const NAMES: &str = "SELECT count(*) FILTER (WHERE starts_with(name, 'PGBOUNCER_')), \
    count(*) FILTER (WHERE starts_with(name, 'sqlx_s_')) FROM pg_prepared_statements";

/// A pooler with one server connection.
fn start() -> Option<Scene> {
    Scene::start_with_prepared_statements(&[("default_pool_size", "1")])
}

async fn open(scene: &Scene) -> Persistence {
    scene.open(PostgresBackend::builder().writers(1).readers(1).wait_limit(Duration::from_secs(60))).await
}

/// Counts the names of [`NAMES`], without a prepared statement.
async fn names(client: &mut PgConnection) -> (i64, i64) {
    let row = sqlx::raw_sql(NAMES).fetch_one(client).await.unwrap();
    (row.get(0), row.get(1))
}

/// Writes and reads until every statement of it is prepared.
async fn warm_up(db: &Persistence) {
    for text in ["first", "second"] {
        db.thread("t").add(NewMessage::user(text)).await.unwrap();
        db.thread("t").page(PageFrom::End, 10).await.unwrap();
    }
}

async fn texts(db: &Persistence) -> Vec<String> {
    everything(db, "t").await.iter().map(Message::text).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_several_hosts_stay_prepared_under_names_of_the_pooler() {
    let Some(scene) = start() else { return };
    let mut client = scene.connect().await;
    let hosts = [open(&scene).await, open(&scene).await];
    warm_up(&hosts[0]).await;
    let (kept, _) = names(&mut client).await;
    assert!(kept > 2, "{kept}");
    // The other host has the same statements.
    warm_up(&hosts[1]).await;
    assert_eq!(names(&mut client).await, (kept, 0));
    for (host, text) in [(&hosts[1], "third"), (&hosts[0], "fourth")] {
        host.thread("t").add(NewMessage::user(text)).await.unwrap();
    }
    let expected = ["first", "second", "first", "second", "third", "fourth"];
    assert_eq!(
        (texts(&hosts[0]).await, texts(&hosts[1]).await),
        (expected.map(String::from).to_vec(), expected.map(String::from).to_vec())
    );
}

/// If the store did not look at the names, it would execute the statement of another client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_of_another_client_with_the_same_name_is_never_executed() {
    let Some(scene) = start() else { return };
    let db = open(&scene).await;
    let thread = db.thread("t");
    let stored = thread.add(NewMessage::user("kept")).await.unwrap().message;
    assert_eq!(thread.get(stored.id.clone()).await.unwrap().as_ref(), Some(&stored));
    let mut client = scene.connect().await;
    // The statement of `get`, which finds nothing: it takes the same parameters.
    let other = "SELECT '(' || array_to_string(parameter_types, ', ') || ') AS ' || statement || ' AND false' AS sql \
        FROM pg_prepared_statements WHERE strpos(statement, 'AND m.id = $3') > 0";
    let other: String = sqlx::raw_sql(other).fetch_one(&mut client).await.unwrap().get("sql");
    keep_no_more(&scene).await;
    let prepared: String = (1..20).map(|number| format!("; PREPARE sqlx_s_{number} {other}")).collect();
    let prepare = format!("DEALLOCATE ALL{prepared}");
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut client).await.unwrap();
    assert_eq!(names(&mut client).await, (0, 19));
    assert_eq!(thread.get(stored.id.clone()).await.unwrap().as_ref(), Some(&stored));
}

/// A host that notices it loses its connection once. From then on, it takes the statements away before each transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pooler_that_stops_keeping_statements_is_noticed_once() {
    let Some(scene) = start() else { return };
    let hosts = [open(&scene).await, open(&scene).await];
    for host in &hosts {
        warm_up(host).await;
    }
    keep_no_more(&scene).await;
    let mut client = scene.connect().await;
    for host in &hosts {
        warm_up(host).await;
    }
    let mut servers = BTreeSet::new();
    for host in [0, 1, 0, 1] {
        hosts[host].thread("t").add(NewMessage::user("x")).await.unwrap();
        hosts[host].thread("t").page(PageFrom::End, 10).await.unwrap();
        let server = sqlx::raw_sql("SELECT pg_backend_pid() AS pid").fetch_one(&mut client).await.unwrap();
        servers.insert(server.get::<i32, _>("pid"));
    }
    assert_eq!(servers.len(), 1, "a lost transaction costs the pooler its server connection");
    let expected =
        ["first", "second", "first", "second", "first", "second", "first", "second", "x", "x", "x", "x"];
    assert_eq!(texts(&hosts[1]).await, expected);
}

/// Makes the pooler keep no statements, and waits until it has applied the setting.
async fn keep_no_more(scene: &Scene) {
    scene.pooler.set("max_prepared_statements", "0").unwrap();
    let applied = async {
        loop {
            let mut client = scene.connect().await;
            // The name of this statement arrives at the server.
            let asked = "SELECT count(*) FROM pg_prepared_statements WHERE starts_with(name, 'sqlx_s_')";
            if sqlx::query_scalar::<_, i64>(asked).fetch_one(&mut client).await.unwrap() > 0 {
                break;
            }
        }
    };
    timeout(Duration::from_secs(60), applied).await.unwrap();
}

#[tokio::test]
async fn pooler_that_keeps_no_statements_is_refused_when_the_store_is_opened() {
    let Some(scene) = start() else { return };
    open(&scene).await.close().await.unwrap();
    // The waiting client leaves `sqlx_s_1` on the server connection.
    keep_no_more(&scene).await;
    let options = || PostgresBackend::builder().prepared_statements();
    for refused in
        [options().open(&scene.url()).await.map(drop), options().open_read_only(&scene.url()).await.map(drop)]
    {
        let Err(OpenError::Pooler { reason }) = refused else { panic!("{refused:?}") };
        assert!(reason.contains("`max_prepared_statements` above 0"), "{reason}");
    }
    drop(PostgresBackend::builder().pgbouncer().open(&scene.url()).await.unwrap());
}
