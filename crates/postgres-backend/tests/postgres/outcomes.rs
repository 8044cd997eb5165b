//! The outcomes of calls while connections, locks and callers disappear.

use std::{
    future::{IntoFuture as _, poll_fn},
    task::Poll,
    time::Duration,
};

use sqlx::{Connection as _, PgConnection};
use throughline_core::{
    Effect, ErrorKind, NewMessage, Persistence,
    messages::{Add, Batch},
};
use throughline_postgres::PostgresBackend;
use throughline_postgres_cluster::{Cluster, Installation};
use tokio::time::timeout;

use crate::support::{Database, everything};

/// Far longer than any step of these tests.
const FAR: Duration = Duration::from_secs(60);

const KILL: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// REL-24, small: the connections of eight writers are terminated again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_exists_once_although_every_connection_is_terminated() {
    const WRITERS: usize = 8;
    const EACH: usize = 25;
    let Some(database) = Database::fresh("").await else { return };
    let options = PostgresBackend::builder().wait_limit(Duration::from_secs(60));
    let db = database.open(options).await;
    db.thread("0").add(NewMessage::user("before")).await.unwrap();
    let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let sender = sender.clone();
            let thread = db.thread(format!("{}", writer % 3));
            tokio::spawn(async move {
                let mut answered = Vec::new();
                for number in 0..EACH {
                    let id = format!("{writer}.{number}").parse().unwrap();
                    let added = thread.add(NewMessage::user("x").with_id(id)).await;
                    answered.push(added.map(|added| added.message.id));
                    sender.send(()).unwrap();
                }
                answered
            })
        })
        .collect();
    drop(sender);
    // Terminates connections after a number of answers, so that writes are always in progress.
    let (mut cut, mut answered) = (0, 0);
    while answers.recv().await.is_some() {
        answered += 1;
        if answered % 10 == 0 {
            cut += database.count(KILL).await;
        }
    }
    assert!(cut >= 10, "only {cut} connections were cut");
    let mut ids = Vec::new();
    for writer in writers {
        // No outcome is unknown: the server was up all the time and could be asked.
        ids.extend(writer.await.unwrap().into_iter().map(Result::unwrap));
    }
    let mut stored = Vec::new();
    for thread in ["0", "1", "2"] {
        let messages = everything(&db, thread).await;
        let seqs: Vec<u64> = messages.iter().map(|message| message.seq.get()).collect();
        assert_eq!(seqs, (1..=messages.len() as u64).collect::<Vec<_>>());
        stored.extend(messages.into_iter().map(|message| message.id));
    }
    assert_eq!(stored.len(), WRITERS * EACH + 1);
    assert!(ids.iter().all(|id| stored.contains(id)));
    let changes = "SELECT count(*) FROM throughline.changes";
    assert_eq!(database.count(changes).await, (WRITERS * EACH + 1) as i64);
}

/// REL-22: a transaction that the server aborts at its `COMMIT` is not a success, whatever the driver reports.
#[tokio::test]
async fn aborted_commit_is_not_reported_as_success() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(PostgresBackend::builder().wait_limit(Duration::from_millis(500))).await;
    db.thread("t").add(NewMessage::user("before")).await.unwrap();
    database
        .run(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$; \
             CREATE CONSTRAINT TRIGGER late AFTER INSERT ON throughline.messages DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW WHEN (NEW.id = 'poison') EXECUTE FUNCTION refuse()",
        )
        .await;
    let poison = NewMessage::user("x").with_id("poison".parse().unwrap());
    let error = db.thread("t").add(poison).await.unwrap_err();
    assert_eq!(error.effect(), Effect::NotApplied, "{error}");
    assert!(!error.to_string().contains("refused"), "the message of the server is not repeated: {error}");
    let after = db.thread("t").add(NewMessage::user("after")).await.unwrap().message;
    assert_eq!(everything(&db, "t").await.len(), 2);
    assert_eq!(after.seq.get(), 2);
}

/// A failing statement of one operation does not fail the other operations of the transaction.
#[tokio::test]
async fn failure_of_one_write_does_not_fail_other_writes() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(PostgresBackend::builder().writers(1)).await;
    db.thread("t").add(NewMessage::user("before")).await.unwrap();
    database.run("ALTER TABLE throughline.messages ADD CHECK (id <> 'poison')").await;
    // A lock keeps the writer busy until all operations wait.
    let mut blocker = database.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE throughline.threads IN ACCESS EXCLUSIVE MODE")
        .execute(&mut blocker)
        .await
        .unwrap();
    let calls: Vec<_> = ["a", "poison", "b", "c"]
        .map(|id| {
            let thread = db.thread(format!("of {id}"));
            let message = NewMessage::user("x").with_id(id.parse().unwrap());
            tokio::spawn(async move { thread.add(message).await })
        })
        .into_iter()
        .collect();
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap().map_err(|error| (error.kind(), error.effect())));
    }
    let refused: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!(refused, [&(ErrorKind::Internal, Effect::NotApplied)]);
    assert!(answers[1].is_err());
}

/// An operation that needs more locks than the lock table can hold is refused alone.
#[tokio::test]
async fn batch_over_more_threads_than_locks_is_refused_alone() {
    const THREADS: usize = 3000;
    // A cluster of its own: while the locks are taken, no other test could get one.
    let Some(installation) = Installation::find() else { return };
    let cluster = Cluster::start(&installation).unwrap();
    let options = PostgresBackend::builder().writers(1).wait_limit(Duration::from_secs(60));
    let backend = options.open(&cluster.url("postgres")).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    db.thread("before").add(NewMessage::user("x")).await.unwrap();
    let mut blocker = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    // Another session takes all locks and releases a thousand.
    let all = "SELECT count(pg_advisory_lock(n)) FROM generate_series(1, 1000000) AS n";
    sqlx::raw_sql(all).execute(&mut blocker).await.unwrap_err();
    let some = "SELECT count(pg_advisory_unlock(n)) FROM generate_series(1, 1000) AS n";
    sqlx::raw_sql(some).execute(&mut blocker).await.unwrap();
    let lock = "BEGIN; LOCK TABLE throughline.threads IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut blocker).await.unwrap();
    let first = {
        let thread = db.thread("first");
        tokio::spawn(async move { thread.add(NewMessage::user("x")).await })
    };
    // The writer waits for the table; the next writes share one transaction.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    let mut watch = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    let writer_waits = async {
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut watch).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(FAR, writer_waits).await.expect("the writer waits for the lock");
    let mut batch = Batch::new();
    for n in 0..THREADS {
        batch = batch.with(Add::new(format!("t{n}").parse().unwrap(), NewMessage::user("x")));
    }
    let mut large = std::pin::pin!(db.run(batch).into_future());
    let other = db.thread("other");
    let mut small = std::pin::pin!(other.add(NewMessage::user("y")).into_future());
    // Both writes reach the writer before the table is free.
    assert!(poll_fn(|cx| Poll::Ready(large.as_mut().poll(cx).is_pending())).await);
    assert!(poll_fn(|cx| Poll::Ready(small.as_mut().poll(cx).is_pending())).await);
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();
    let (large, small) = tokio::join!(large, small);
    let error = large.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::NotApplied), "{error}");
    small.unwrap();
    first.await.unwrap().unwrap();
    db.close().await.unwrap();
}

#[tokio::test]
async fn held_lock_is_busy_and_exhausted_readers_are_overloaded() {
    let Some(database) = Database::fresh("").await else { return };
    let options = PostgresBackend::builder().wait_limit(Duration::from_millis(300)).readers(1);
    let db = database.open(options).await;
    db.thread("t").add(NewMessage::user("before")).await.unwrap();
    let mut blocker = database.connect().await;
    sqlx::raw_sql("BEGIN; LOCK TABLE throughline.threads IN ACCESS EXCLUSIVE MODE")
        .execute(&mut blocker)
        .await
        .unwrap();
    let error = db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Busy, Effect::NotApplied), "{error}");
    let reading = {
        let thread = db.thread("t");
        tokio::spawn(async move { thread.page(throughline_core::messages::PageFrom::End, 10).await })
    };
    // Until the reader waits for the lock.
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let reader_waits = async {
        while database.count(waiting).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(FAR, reader_waits).await.expect("the reader waits for the lock");
    let error = db.thread("t").page(throughline_core::messages::PageFrom::End, 10).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::NotApplied), "{error}");
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();
    assert_eq!(reading.await.unwrap().unwrap().messages.len(), 1);
    db.thread("t").add(NewMessage::user("after")).await.unwrap();
}

#[tokio::test]
async fn tenant_without_a_connection_does_not_wait_for_the_reads_of_another() {
    let Some(database) = Database::fresh("").await else { return };
    let options = PostgresBackend::builder().wait_limit(Duration::from_secs(60)).readers(1);
    let db = database.open(options).await;
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    let mut blocker = database.connect().await;
    let lock = "BEGIN; LOCK TABLE throughline.threads IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut blocker).await.unwrap();
    let read = |tenant: &str| {
        let thread = db.for_tenant(tenant.parse().unwrap()).thread("t");
        tokio::spawn(async move { thread.page(throughline_core::messages::PageFrom::End, 10).await })
    };
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    let first = read("a");
    let first_waits = async {
        while database.count(waiting).await < 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(FAR, first_waits).await.expect("the first read waits for the lock");
    // Another read of the same tenant waits for its connection; the other tenant has one.
    let (more, other) = (read("a"), read("b"));
    let both_wait = async {
        while database.count(waiting).await < 2 && !other.is_finished() {
            tokio::task::yield_now().await;
        }
    };
    timeout(FAR, both_wait).await.expect("the read of the other tenant waits for the lock");
    assert_eq!(database.count(waiting).await, 2);
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();
    for read in [first, more, other] {
        read.await.unwrap().unwrap();
    }
    db.close().await.unwrap();
}

/// REL-23: cancelled calls leave no connection inside a transaction.
#[tokio::test]
async fn cancelled_calls_leave_no_open_transaction() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.db().await;
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..100 {
        let thread = db.thread("t");
        let call = async move { thread.add(NewMessage::user("x")).await.map(drop) };
        let read = {
            let thread = db.thread("t");
            async move { thread.page(throughline_core::messages::PageFrom::End, 10).await.map(drop) }
        };
        let timeout = Duration::from_micros(random.u64(0..3000));
        if round % 2 == 0 {
            drop(tokio::time::timeout(timeout, call).await);
        } else {
            drop(tokio::time::timeout(timeout, read).await);
        }
    }
    db.thread("t").add(NewMessage::user("after")).await.unwrap();
    db.close().await.unwrap();
    let inside =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    assert_eq!(database.count(inside).await, 0);
}

/// The store runs on threads of its own: it survives the runtime that opened it.
#[test]
fn store_survives_the_runtime_that_opened_it() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let Some(database) = first.block_on(Database::fresh("")) else { return };
    let backend = first.block_on(PostgresBackend::open(&database.url)).unwrap();
    drop(first);
    runtime().block_on(async {
        let db = throughline_core::Persistence::builder().backend(backend).build().unwrap();
        db.thread("t").add(NewMessage::user("x")).await.unwrap();
        assert_eq!(everything(&db, "t").await.len(), 1);
        db.close().await.unwrap();
    });
}
