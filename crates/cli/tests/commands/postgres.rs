//! Commands on a Postgres store.

use serde_json::json;
use throughline::{NewMessage, Persistence, postgres::PostgresBackend};
use throughline_postgres_cluster::{Cluster, Installation};

use crate::kit::run;

/// Starts a server; prints a notice where PostgreSQL is not installed.
#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
fn cluster() -> Option<Cluster> {
    let installation = Installation::find();
    if installation.is_none() {
        println!("SKIPPED: commands on a Postgres store (PostgreSQL is not installed)");
    }
    installation.map(|installation| Cluster::start(&installation).unwrap())
}

/// The number of schemas of a store.
fn schemas(cluster: &Cluster) -> String {
    let sql = "SELECT count(*) FROM pg_namespace WHERE nspname = 'throughline'";
    cluster.run("postgres", sql).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_command_creates_no_store_in_a_database_without_one() {
    let Some(cluster) = cluster() else { return };
    let url = cluster.url("postgres");
    for arguments in [&["threads"][..], &["retain", "--keep", "1", "--apply"]] {
        let ran = run(&[&["--store", &url, "--json"], arguments].concat());
        assert_eq!(ran.code, 1, "{ran:?}");
        let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!(error["error"]["code"], "not_found", "{ran:?}");
        assert_eq!(schemas(&cluster), "0", "{arguments:?}");
    }
}

#[tokio::test]
async fn commands_that_read_and_write_work_on_a_store_of_postgres() {
    let Some(cluster) = cluster() else { return };
    let url = cluster.url("postgres");
    let backend = PostgresBackend::builder().search(true).open(&url).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    for text in ["Where to?", "To the sea", "By train"] {
        db.thread("trip").add(NewMessage::user(text)).await.unwrap();
    }
    let on = |arguments: &[&str]| {
        let ran = run(&[&["--store", &url, "--json"], arguments].concat());
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    };
    let threads = on(&["threads"]).json();
    assert_eq!(
        (&threads["threads"][0]["thread"], &threads["threads"][0]["messages"]),
        (&"trip".into(), &3.into())
    );
    let changes = on(&["tail", "--after", "0"]).lines();
    let texts: Vec<_> = changes.iter().map(|change| &change["message"]["content"][0]["text"]).collect();
    assert_eq!(texts, ["Where to?", "To the sea", "By train"]);
    // A plan opens the store to be read, and --apply opens it to be written.
    assert_eq!(on(&["retain", "--keep", "1"]).json()["messages"], 2);
    assert_eq!(db.thread("trip").summary().await.unwrap().unwrap().messages, 3);
    assert_eq!(on(&["retain", "--keep", "1", "--apply"]).json()["messages"], 2);
    assert_eq!(db.thread("trip").summary().await.unwrap().unwrap().messages, 1);
    assert_eq!(on(&["threads"]).json()["threads"][0]["preview"], json!("By train"));
    db.close().await.unwrap();
}
