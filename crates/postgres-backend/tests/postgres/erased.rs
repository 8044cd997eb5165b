//! The purge of a thread removes all its rows.

use std::future::IntoFuture as _;

use throughline_core::{
    NewMessage,
    ids::AttemptId,
    sessions::{BeginRun, Claimer, Runtime, SessionArgs},
    threads::{DeleteThread, PurgeThread, ThreadArgs},
};
use throughline_postgres::PostgresBackend;

use crate::support::Database;

/// A run that begins in the transaction that deletes its thread leaves no rows, like a run that began earlier.
#[tokio::test]
async fn sessions_of_a_purged_thread_are_gone_whenever_they_began() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(PostgresBackend::builder().writers(1)).await;
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    // A lock keeps the writer busy until all operations wait.
    let mut blocker = database.connect().await;
    let lock = "BEGIN; LOCK TABLE throughline.threads IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut blocker).await.unwrap();
    let busy = tokio::spawn(db.thread("other").add(NewMessage::user("x")).into_future());
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while database.count(waits).await == 0 {}

    let runtime = Runtime::new("r".parse().unwrap(), "root".parse().unwrap());
    let claimer = Claimer::new("p".parse().unwrap(), runtime);
    let begin = BeginRun::new("agent".parse().unwrap(), "t".parse().unwrap(), claimer);
    let delete = DeleteThread { thread: "t".parse().unwrap() };
    let purge = PurgeThread { thread: "t".parse().unwrap(), limit: 10 };
    let (begun, deleted, purged, released) = tokio::join!(
        db.run(SessionArgs::from(begin.named(AttemptId::mint()))),
        db.run(ThreadArgs::from(delete)),
        db.run(ThreadArgs::from(purge)),
        sqlx::raw_sql("COMMIT").execute(&mut blocker),
    );
    begun.unwrap();
    deleted.unwrap();
    purged.unwrap();
    released.unwrap();
    busy.await.unwrap().unwrap();
    let kept = "SELECT (SELECT count(*) FROM throughline.session_heads) \
        + (SELECT count(*) FROM throughline.session_attempts) + (SELECT count(*) FROM throughline.session_known)";
    assert_eq!(database.count(kept).await, 0);
}
