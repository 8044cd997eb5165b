//! What is copied is found: also what no change tells of any more.

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

/// What is found once the index holds everything, as thread and id.
async fn found(db: &Persistence, word: &str) -> Vec<String> {
    loop {
        let found = db.search(SearchMessages::new(word, 1000)).await.unwrap();
        if found.indexed > Position::ZERO {
            let mut ids: Vec<_> = found.hits.iter().map(|hit| format!("{}.{}", hit.thread, hit.id)).collect();
            ids.sort_unstable();
            return ids;
        }
        // An index follows the writes in its own time; nothing says when.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_copied_into_postgres_is_found_though_its_changes_are_not_kept() {
    const LEFT: &str = "SELECT count(*) FROM throughline.search";
    let Some(database) = Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let from = file(&folder.path().join("a.db")).await;
    let mut due = Vec::new();
    for n in 0..300 {
        let (thread, id) = (format!("t{}", n % 3), format!("m{n:03}"));
        let message = NewMessage::user("a needle").with_id(id.parse().unwrap());
        from.thread(&thread).add(message).await.unwrap();
        due.push(format!("{thread}.{id}"));
    }
    due.sort_unstable();
    let to = indexed(&database).await;
    // The index is kept before there is anything.
    while database.count("SELECT count(*) FROM throughline.search_state WHERE complete").await == 0 {
        tokio::task::yield_now().await;
    }
    // Whoever goes on with the index passes it over while it is held; images are put in their places all the same.
    let mut holder = database.connect().await;
    sqlx::raw_sql("BEGIN; SELECT 1 FROM throughline.search_state FOR SHARE")
        .execute(&mut holder)
        .await
        .unwrap();
    let mirror = copy(&from, &to).await;
    equal(&from, &to).await;
    assert_eq!(database.count(LEFT).await, due.len() as i64);

    let thread = from.thread("t0");
    thread.edit("m003".parse().unwrap(), Content::text("a pin")).await.unwrap();
    thread.delete("m006".parse().unwrap()).await.unwrap();
    from.thread("t1").clear().await.unwrap();
    from.thread("t2").delete_thread().await.unwrap();
    from.thread("t1").add(NewMessage::user("another pin").with_id("last".parse().unwrap())).await.unwrap();
    assert!(mirror.reached(position(&from).await).await, "{:?}", mirror.status());
    mirror.stop().await;
    // In the transactions of the images: what went with a thread, too.
    assert_eq!(database.count(LEFT).await, 100);
    holder.close().await.unwrap();
    due.retain(|id| id.starts_with("t0.") && !["t0.m003", "t0.m006"].contains(&&**id));
    assert_eq!(found(&to, "needle").await, due);
    assert_eq!(found(&to, "pin").await, ["t0.m003", "t1.last"]);
    assert_eq!(database.count(LEFT).await, due.len() as i64 + 2);
    to.close().await.unwrap();
    from.close().await.unwrap();
}
