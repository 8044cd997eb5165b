//! The time limit of a search.

use std::time::Duration;

use throughline_core::{Effect, ErrorKind, search::SearchMessages};

use super::{add, ids, kept};
use crate::support::Database;

/// A lock blocks the search. The server cancels its statement before its connection times out; a lost connection
/// would repeat the search.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn search_that_exceeds_the_answer_limit_is_a_timeout() {
    let Some(database) = Database::fresh("").await else { return };
    let options = kept().answer_limit(Duration::from_secs(4)).wait_limit(Duration::from_secs(60));
    let db = database.open(options).await;
    let last = add(&db, "t", "m", "a needle").await;
    assert_eq!(ids(&db, "needle", last).await, ["m"]);
    let mut blocker = database.connect().await;
    let lock = "BEGIN; LOCK TABLE throughline.search IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut blocker).await.unwrap();
    let error = db.search(SearchMessages::new("needle", 1)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied), "{error}");
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();
    assert_eq!(ids(&db, "needle", last).await, ["m"]);
    db.close().await.unwrap();
}
