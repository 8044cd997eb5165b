//! A call that met a standby reports it, also if the standby stops answering before the call ends.

use std::time::Duration;

use throughline_core::{Effect, ErrorKind, NewMessage, Persistence, Result, Thread, messages::PageFrom};
use throughline_postgres::PostgresBackend;
use throughline_postgres_cluster::{Cluster, Installation};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_that_met_a_standby_reports_it_although_the_standby_stops_answering() {
    interrupted(async |thread| thread.add(NewMessage::user("x")).await.map(drop)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_that_met_a_standby_reports_it_although_the_standby_stops_answering() {
    interrupted(async |thread| thread.page(PageFrom::End, 10).await.map(drop)).await;
}

#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
async fn interrupted(call: impl AsyncFnOnce(Thread) -> Result<()>) {
    let Some(installation) = Installation::find() else {
        println!("SKIPPED: a standby that ceases to answer (PostgreSQL 15 or newer is not installed)");
        return;
    };
    let mut primary = Cluster::start(&installation).unwrap();
    // The sessions of the test itself are in another database.
    primary.run("postgres", "CREATE DATABASE store").unwrap();
    let standby = primary.replica("s").unwrap();
    primary.wait_for_replica("s", "async").unwrap();
    let url = primary.url_at(&format!("{},{}", primary.address(), standby.address()), "store");
    // The listener for commits connects only to the primary, so every session of the standby belongs to the call.
    let options = PostgresBackend::builder().writers(1).wait_limit(Duration::from_secs(5));
    let options = options.listen_at(primary.url("store"));
    let db = Persistence::builder().backend(options.open(&url).await.unwrap()).build().unwrap();
    let thread = db.thread("t");
    thread.add(NewMessage::user("kept")).await.unwrap();
    primary.kill().unwrap();
    let there = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'store'";
    standby.wait_until(there, "0").unwrap();
    let sessions = "SELECT sessions FROM pg_stat_database WHERE datname = 'store'";
    let before: u64 = standby.run("postgres", sessions).unwrap().parse().unwrap();
    let frozen = tokio::task::spawn_blocking(move || {
        // The server counts a session before its first query. The second session begins after the first one has
        // answered.
        let asked = format!("SELECT sessions > {before} + 1 FROM pg_stat_database WHERE datname = 'store'");
        standby.wait_until(&asked, "t").unwrap();
        standby.freeze().unwrap();
        standby
    });
    let error = call(thread).await.unwrap_err();
    drop(frozen.await.unwrap());
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied), "{error}");
    assert!(error.to_string().contains("the server that answered is a standby"), "{error}");
}
