//! Search finds copied messages in Postgres, also messages whose changes are no longer kept.

use std::time::Duration;

use sqlx::Connection as _;
use throughline::{
    Content, NewMessage, Persistence, Position, postgres::PostgresBackend, search::SearchMessages,
    sqlite::SqliteOptions,
};

use super::{
    server::Database,
    support::{copy, equal, position},
};

async fn file(path: &std::path::Path) -> Persistence {
    let backend = SqliteOptions::new().changes_kept(10).open(path).await.unwrap();
    Persistence::builder().backend(backend).build().unwrap()
}

async fn indexed(database: &Database) -> Persistence {
    let backend = PostgresBackend::builder().search(true).open(&database.url).await.unwrap();
    Persistence::builder().backend(backend).build().unwrap()
}

/// Searches once the index has a position. Returns the hits as thread and id.
async fn found(db: &Persistence, word: &str) -> Vec<String> {
    loop {
        let found = db.search(SearchMessages::new(word, 1000)).await.unwrap();
        if found.indexed > Position::ZERO {
            let mut ids: Vec<_> = found.hits.iter().map(|hit| format!("{}.{}", hit.thread, hit.id)).collect();
            ids.sort_unstable();
            return ids;
        }
        // The index follows the writes asynchronously, without a signal.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_into_postgres_is_searchable_without_its_changes() {
    const ROWS: &str = "SELECT count(*) FROM throughline.search";
    let Some(database) = Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let from = file(&folder.path().join("a.db")).await;
    let mut expected = Vec::new();
    for n in 0..300 {
        let (thread, id) = (format!("t{}", n % 3), format!("m{n:03}"));
        let message = NewMessage::user("a needle").with_id(id.parse().unwrap());
        from.thread(&thread).add(message).await.unwrap();
        expected.push(format!("{thread}.{id}"));
    }
    expected.sort_unstable();
    let to = indexed(&database).await;
    // The index is complete while the store is empty.
    while database.count("SELECT count(*) FROM throughline.search_state WHERE complete").await == 0 {
        tokio::task::yield_now().await;
    }
    // A lock on the state keeps the background indexer out; row images are applied nevertheless.
    let mut holder = database.connect().await;
    sqlx::raw_sql("BEGIN; SELECT 1 FROM throughline.search_state FOR SHARE")
        .execute(&mut holder)
        .await
        .unwrap();
    let mirror = copy(&from, &to).await;
    equal(&from, &to).await;
    assert_eq!(database.count(ROWS).await, expected.len() as i64);

    let thread = from.thread("t0");
    thread.edit("m003".parse().unwrap(), Content::text("a pin")).await.unwrap();
    thread.delete("m006".parse().unwrap()).await.unwrap();
    from.thread("t1").clear().await.unwrap();
    from.thread("t2").delete_thread().await.unwrap();
    from.thread("t1").add(NewMessage::user("another pin").with_id("last".parse().unwrap())).await.unwrap();
    assert!(mirror.reached(position(&from).await).await, "{:?}", mirror.status());
    mirror.stop().await;
    // The transactions of the row images also remove the terms of deleted threads.
    assert_eq!(database.count(ROWS).await, 100);
    holder.close().await.unwrap();
    expected.retain(|id| id.starts_with("t0.") && !["t0.m003", "t0.m006"].contains(&&**id));
    assert_eq!(found(&to, "needle").await, expected);
    assert_eq!(found(&to, "pin").await, ["t0.m003", "t1.last"]);
    assert_eq!(database.count(ROWS).await, expected.len() as i64 + 2);
    to.close().await.unwrap();
    from.close().await.unwrap();
}
