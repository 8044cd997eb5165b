//! Searches in Postgres.

mod alike;
mod followed;
mod time;

use std::time::Duration;

use throughline_core::{
    MessageId, NewMessage, Persistence, Position,
    search::{SearchHits, SearchMessages},
};
use throughline_postgres::{PostgresBackend, PostgresOptions};

use crate::support::Database;

fn kept() -> PostgresOptions {
    PostgresBackend::builder().search(true)
}

/// Searches after the index contains everything up to a position.
async fn search(db: &Persistence, search: SearchMessages, committed: Position) -> SearchHits {
    loop {
        let found = db.search(search.clone()).await.unwrap();
        if found.indexed >= committed {
            return found;
        }
        // The index follows the writes asynchronously, and nothing signals its progress.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Returns the ids of the hits, in order.
async fn ids(db: &Persistence, query: &str, committed: Position) -> Vec<String> {
    let found = search(db, SearchMessages::new(query, 1000), committed).await;
    assert_eq!(found.damaged, []);
    found.hits.iter().map(|hit| hit.id.to_string()).collect()
}

async fn add(db: &Persistence, thread: &str, id: &str, text: &str) -> Position {
    let message = NewMessage::user(text).with_id(id.parse().unwrap());
    db.thread(thread).add(message).reply().await.unwrap().receipt.position.unwrap()
}

fn id(text: &str) -> MessageId {
    text.parse().unwrap()
}

/// Returns the number of index rows.
async fn rows(database: &Database) -> i64 {
    database.count("SELECT count(*) FROM throughline.search").await
}
