//! Commits that are lost with a primary, and readers that have seen them.

use std::time::Duration;

use throughline_core::{
    ErrorKind, NewMessage, Persistence, Position,
    changes::{ChangeScope, ReadChanges},
};
use throughline_postgres::PostgresBackend;
use throughline_postgres_cluster::{Cluster, Installation};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
async fn a_position_that_was_lost_with_the_primary_is_too_old() {
    let Some(installation) = Installation::find() else {
        println!("SKIPPED: positions that are lost (PostgreSQL 15 or newer is not installed)");
        return;
    };
    let mut primary = Cluster::start(&installation).unwrap();
    let standby = primary.replica("s").unwrap();
    primary.wait_for_replica("s", "async").unwrap();
    let url = primary.url_at(&format!("{},{}", primary.address(), standby.address()), "postgres");
    let options = PostgresBackend::builder().wait_limit(Duration::from_secs(30));
    let db = Persistence::builder().backend(options.open(&url).await.unwrap()).build().unwrap();
    let thread = db.thread("t");
    thread.add(NewMessage::user("kept")).await.unwrap();
    standby.wait_until("SELECT to_regclass('throughline.messages') IS NOT NULL", "t").unwrap();
    standby.wait_until("SELECT count(*) FROM throughline.messages", "1").unwrap();
    standby.stop_receiving().unwrap();
    thread.add(NewMessage::user("lost")).await.unwrap();
    let after = |position| ReadChanges::new(ChangeScope::Store, position, 10);
    let seen = db.read(after(Position::ZERO)).await.unwrap();
    assert_eq!(seen.changes.len(), 2);
    let kept = seen.changes[0].position;
    primary.kill().unwrap();
    standby.promote().unwrap();
    let error = db.read(after(seen.position)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooOld, "{error}");
    assert_eq!(db.read(after(kept)).await.unwrap().changes, []);
    let again = thread.add(NewMessage::user("again")).reply().await.unwrap();
    // The store assigns the position again, to another change.
    assert_eq!(again.receipt.position, Some(seen.position));
    assert_eq!(db.read(after(kept)).await.unwrap().changes.len(), 1);
}
