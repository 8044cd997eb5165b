//! Additions that one statement decides, writes and commits.

use std::{future::IntoFuture as _, sync::Arc, time::Duration};

use sqlx::{Connection as _, PgConnection, postgres::PgListener};
use throughline_core::{
    Effect, ErrorKind, Message, NewMessage, Persistence, Position, Role,
    changes::{ChangeScope, ReadChanges},
    messages::{Add, Batch, PageFrom},
};
use throughline_memory::MemoryBackend;
use throughline_postgres::PostgresBackend;
use throughline_postgres_cluster::{Cluster, Installation, proxy::Proxy};
use tokio::time::timeout;

use crate::support::{Database, everything};

/// Far longer than any step of these tests.
const FAR: Duration = Duration::from_secs(60);

/// Records the beginning of each statement that inserts messages.
const RECORD: &str = "CREATE TABLE seen (n bigint GENERATED ALWAYS AS IDENTITY, statement text); \
    CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        INSERT INTO seen (statement) VALUES (substr(current_query(), 1, 8)); RETURN NULL; END $$; \
    CREATE TRIGGER recorded AFTER INSERT ON throughline.messages FOR EACH STATEMENT EXECUTE FUNCTION record()";

const AT_ONCE: &str = "SELECT count(*) FROM seen WHERE statement = 'WITH loc'";
const IN_TRANSACTIONS: &str = "SELECT count(*) FROM seen WHERE statement = 'WITH p0 '";

/// Adds to a thread until the writer uses its cached row.
async fn confirm(db: &Persistence, thread: &str) {
    for text in ["first", "second"] {
        db.thread(thread).add(NewMessage::user(text)).await.unwrap();
    }
}

async fn positions(db: &Persistence) -> Vec<u64> {
    let read = ReadChanges::new(ChangeScope::Store, Position::ZERO, 1000);
    db.read(read).await.unwrap().changes.iter().map(|change| change.position.get()).collect()
}

#[tokio::test]
async fn additions_to_a_confirmed_thread_are_one_statement_each() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.db().await;
    database.run(RECORD).await;
    confirm(&db, "t").await;
    assert_eq!((database.count(AT_ONCE).await, database.count(IN_TRANSACTIONS).await), (0, 2));
    let added = db.thread("t").add(NewMessage::user("third")).reply().await.unwrap();
    assert_eq!((database.count(AT_ONCE).await, database.count(IN_TRANSACTIONS).await), (1, 2));
    assert_eq!(added.receipt.position, Some(Position::new(3)));
    assert_eq!(added.output.message.seq.get(), 3);
    // A batch is one statement too, and so is an addition with a key. A given id needs a look-up.
    let add = || Add::new("t".parse().unwrap(), NewMessage::user("x"));
    db.batch(Batch::new().with(add()).with(add())).await.unwrap();
    assert_eq!((database.count(AT_ONCE).await, database.count(IN_TRANSACTIONS).await), (2, 2));
    db.thread("t").add(NewMessage::user("x")).key("k").await.unwrap();
    assert_eq!((database.count(AT_ONCE).await, database.count(IN_TRANSACTIONS).await), (3, 2));
    db.thread("t").add(NewMessage::user("x").with_id("given".parse().unwrap())).await.unwrap();
    assert_eq!((database.count(AT_ONCE).await, database.count(IN_TRANSACTIONS).await), (3, 3));
    let stored = everything(&db, "t").await;
    assert_eq!(stored.iter().map(|message| message.seq.get()).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(positions(&db).await, [1, 2, 3, 4, 5, 6, 7]);
    let summary = db.thread("t").summary().await.unwrap().unwrap();
    assert_eq!(summary.messages, 7);
}

#[tokio::test]
async fn change_of_a_cached_thread_by_another_host_is_kept() {
    let Some(database) = Database::fresh("").await else { return };
    let (one, other) = (database.db().await, database.db().await);
    database.run(RECORD).await;
    confirm(&one, "t").await;
    other.thread("t").rename("renamed".parse().unwrap()).await.unwrap();
    other.thread("t").add(NewMessage::user("of the other")).await.unwrap();
    let added = one.thread("t").add(NewMessage::user("stale")).await.unwrap().message;
    assert_eq!(added.seq.get(), 4);
    // The failed statement recorded nothing.
    assert_eq!((database.count(AT_ONCE).await, database.count(IN_TRANSACTIONS).await), (0, 4));
    let summary = one.thread("t").summary().await.unwrap().unwrap();
    assert_eq!((summary.title.as_str(), summary.messages), ("renamed", 4));
    assert_eq!(everything(&one, "t").await.len(), 4);
}

/// Changes a thread with two messages in one of several ways.
async fn change(db: &Persistence, thread: &str, way: &str) {
    let thread = db.thread(thread);
    match way {
        "add" => drop(thread.add(NewMessage::user("of the other")).await.unwrap()),
        "delete a message" => {
            let page = thread.page(PageFrom::Start, 1).await.unwrap();
            drop(thread.delete(page.messages[0].id.clone()).await.unwrap());
        }
        "take the last message" => drop(thread.take_last().await.unwrap()),
        "clear" => drop(thread.clear().await.unwrap()),
        "delete" => drop(thread.delete_thread().await.unwrap()),
        "archive" => drop(thread.archive(true).await.unwrap()),
        "reserve" => drop(thread.reserve(Role::Assistant).await.unwrap().finish().await.unwrap()),
        other => panic!("{other}"),
    }
}

/// Returns what an addition and the thread after it show.
async fn shown(db: &Persistence, thread: &str) -> String {
    let added = db.thread(thread).add(NewMessage::user("added")).await;
    let added = added.map(|added| added.message.seq).map_err(|error| (error.kind(), error.effect()));
    let messages = everything(db, thread).await;
    let messages: Vec<_> = messages.iter().map(|message| (message.seq, message.text())).collect();
    let summary = db.thread(thread).summary().await.unwrap();
    let summary = summary.map(|summary| (summary.messages, summary.archived, summary.title));
    format!("{added:?} {messages:?} {summary:?}")
}

/// The addition has the effect that it has in a store without a cache.
#[tokio::test]
async fn addition_after_any_change_by_another_host_is_decided_on_the_changed_thread() {
    let Some(database) = Database::fresh("").await else { return };
    let (one, other) = (database.db().await, database.db().await);
    let model = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    for way in ["add", "delete a message", "take the last message", "clear", "delete", "archive", "reserve"] {
        confirm(&one, way).await;
        change(&other, way, way).await;
        confirm(&model, way).await;
        change(&model, way, way).await;
        assert_eq!(shown(&one, way).await, shown(&model, way).await, "{way}");
        // And again on the thread that it has just written.
        assert_eq!(shown(&one, way).await, shown(&model, way).await, "{way}");
    }
}

/// A key is assumed to be new, also one that another host has used.
#[tokio::test]
async fn repeated_key_in_a_cached_thread_is_answered_as_before() {
    let Some(database) = Database::fresh("").await else { return };
    let (one, other) = (database.db().await, database.db().await);
    confirm(&one, "t").await;
    let add = |db: &Persistence, text| db.thread("t").add(NewMessage::user(text)).key("k");
    let first = add(&one, "third").await.unwrap();
    assert!(!first.deduplicated);
    for db in [&one, &other, &one] {
        let again = add(db, "third").await.unwrap();
        assert_eq!((again.deduplicated, &again.message), (true, &first.message));
        let error = add(db, "different").await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::NotApplied), "{error}");
        confirm(&one, "t").await;
    }
    // Two calls of one batch.
    let same = || one.thread("t").add(NewMessage::user("both")).key("both").into_future();
    let (left, right) = tokio::join!(same(), same());
    let (left, right) = (left.unwrap(), right.unwrap());
    assert_eq!(left.message, right.message);
    assert_eq!(u8::from(left.deduplicated) + u8::from(right.deduplicated), 1);
    assert_eq!(everything(&one, "t").await.len(), 2 + 1 + 6 + 1);
}

/// A host that keeps its request but not the answer sends the same minted id again.
#[tokio::test]
async fn repeated_minted_id_in_a_cached_thread_is_refused() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.db().await;
    confirm(&db, "t").await;
    database.run(RECORD).await;
    let add = Add::new("t".parse().unwrap(), NewMessage::user("third"));
    db.run(add.clone()).await.unwrap();
    assert_eq!((database.count(AT_ONCE).await, database.count(IN_TRANSACTIONS).await), (1, 0));
    let error = db.run(add.clone()).await.unwrap_err();
    let due = (ErrorKind::AlreadyExists, Effect::NotApplied, Some(&add.id));
    assert_eq!((error.kind(), error.effect(), error.message()), due, "{error}");
    let again = db.run(Add::new("t".parse().unwrap(), NewMessage::user("fourth"))).await.unwrap();
    assert_eq!(again.message.seq.get(), 4);
    assert_eq!(positions(&db).await, [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_that_race_for_cached_threads_lose_no_message() {
    const EACH: usize = 60;
    const THREADS: usize = 3;
    let Some(database) = Database::fresh("").await else { return };
    let hosts = [database.db().await, database.db().await];
    database.run(RECORD).await;
    let mut writers = tokio::task::JoinSet::new();
    for db in &hosts {
        for thread in 0..THREADS {
            let thread = db.thread(format!("t{thread}"));
            writers.spawn(async move {
                for _ in 0..EACH {
                    thread.add(NewMessage::user("x")).await.unwrap();
                }
            });
        }
    }
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    for thread in 0..THREADS {
        let name = format!("t{thread}");
        let seqs: Vec<u64> =
            everything(&hosts[0], &name).await.iter().map(|message| message.seq.get()).collect();
        assert_eq!(seqs, (1..=(2 * EACH) as u64).collect::<Vec<_>>());
        let summary = hosts[1].thread(name).summary().await.unwrap().unwrap();
        assert_eq!(summary.messages, (2 * EACH) as u64);
    }
    assert_eq!(positions(&hosts[0]).await, (1..=(2 * THREADS * EACH) as u64).collect::<Vec<_>>());
}

/// A refusal on a cached row would be wrong if another host has changed the thread.
#[tokio::test]
async fn refusal_is_decided_on_the_stored_thread() {
    let Some(database) = Database::fresh("").await else { return };
    let (one, other) = (database.db().await, database.db().await);
    confirm(&one, "t").await;
    let third = other.thread("t").add(NewMessage::user("of the other")).await.unwrap().message;
    // By the cached row, the last sequence number is 2.
    let add = Add::new("t".parse().unwrap(), NewMessage::user("after").after(third.seq));
    assert_eq!(one.run(add).await.unwrap().message.seq.get(), 4);
}

/// The connection is lost while the statement waits at the server, before it has reached the row of its writer. The fence transaction
/// finds nothing, and the statement continues after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statement_that_continues_after_its_fence_transaction_is_not_applied() {
    let Some(installation) = Installation::find() else { return };
    let cluster = Cluster::start(&installation).unwrap();
    let proxy = Proxy::start(&cluster.address()).await.unwrap();
    let url = cluster.url_at(&proxy.address(), "postgres");
    let options = PostgresBackend::builder().writers(1).wait_limit(FAR);
    let db = Persistence::builder().backend(options.open(&url).await.unwrap()).build().unwrap();
    confirm(&db, "t").await;
    db.thread("t").add(NewMessage::user("third")).await.unwrap();
    let mut blocker = PgConnection::connect(&cluster.url("postgres")).await.unwrap();
    let lock = "BEGIN; LOCK TABLE throughline.messages IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut blocker).await.unwrap();
    // At its deadline the outcome is unknown, and the writer does not begin it again afterwards.
    let call = db.thread("t").add(NewMessage::user("fourth")).deadline(Duration::from_millis(500));
    let error = timeout(FAR, call.into_future()).await.unwrap().unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown, "{error}");
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'WITH locked%'";
    assert_eq!(cluster.run("postgres", waiting).unwrap(), "1");
    proxy.reset();
    let fenced = "SELECT count(*) FROM throughline.writers WHERE fence_transaction_count = 1 AND batch = 3";
    cluster.wait_until(fenced, "1").unwrap();
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();
    cluster.wait_until(waiting, "0").unwrap();
    let fourth = db.thread("t").add(NewMessage::user("another")).reply().await.unwrap();
    assert_eq!((fourth.output.message.seq.get(), fourth.receipt.position), (4, Some(Position::new(4))));
    // Later statements know of the fence transaction.
    confirm(&db, "t").await;
    let texts: Vec<_> = everything(&db, "t").await.iter().map(Message::text).collect();
    assert_eq!(texts, ["first", "second", "third", "another", "first", "second"]);
    assert_eq!(positions(&db).await, [1, 2, 3, 4, 5, 6]);
    let last = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'WITH locked%'";
    assert_eq!(cluster.run("postgres", last).unwrap(), "1");
    assert_eq!(cluster.run("postgres", fenced).unwrap(), "0");
}

/// The answer of a committed statement is lost: its position is read from the change feed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_statement_without_an_answer_is_answered_with_its_position() {
    let Some(installation) = Installation::find() else { return };
    let cluster = Cluster::start(&installation).unwrap();
    let proxy = Proxy::start(&cluster.address()).await.unwrap();
    let url = cluster.url_at(&proxy.address(), "postgres");
    let options = PostgresBackend::builder().writers(1).wait_limit(FAR);
    let db = Persistence::builder().backend(options.open(&url).await.unwrap()).build().unwrap();
    confirm(&db, "t").await;
    let direct = Persistence::builder()
        .backend(PostgresBackend::open(&cluster.url("postgres")).await.unwrap())
        .build()
        .unwrap();
    // Its commit waits for a standby that does not exist.
    cluster.synchronous_standbys("absent").unwrap();
    let call = {
        let thread = db.thread("t");
        tokio::spawn(async move { thread.add(NewMessage::user("third")).reply().await })
    };
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE 'WITH locked%'";
    cluster.wait_until(waiting, "1").unwrap();
    proxy.reset();
    cluster.synchronous_standbys("").unwrap();
    let added = timeout(FAR, call).await.unwrap().unwrap().unwrap();
    assert_eq!((added.output.message.seq.get(), added.receipt.position), (3, Some(Position::new(3))));
    let next = direct.thread("t").add(NewMessage::user("next")).reply().await.unwrap();
    assert_eq!(next.receipt.position, Some(Position::new(4)));
    assert_eq!(everything(&direct, "t").await.len(), 4);
}

/// A statement that the server refuses for its values is not applied, and the next one is.
#[tokio::test]
async fn refused_statement_is_not_applied() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.db().await;
    confirm(&db, "t").await;
    database.run("ALTER TABLE throughline.messages ADD CONSTRAINT few CHECK (seq <> 3) NOT VALID").await;
    let error = db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    assert_eq!(error.effect(), Effect::NotApplied, "{error}");
    database.run("ALTER TABLE throughline.messages DROP CONSTRAINT few").await;
    assert_eq!(db.thread("t").add(NewMessage::user("x")).await.unwrap().message.seq.get(), 3);
    let fence_transaction_count = "SELECT sum(fence_transaction_count)::bigint FROM throughline.writers";
    assert_eq!(
        database.count(fence_transaction_count).await,
        0,
        "the outcome was known without a fence transaction"
    );
}

#[tokio::test]
async fn notification_is_sent_only_while_a_session_holds_the_lock_of_listeners() {
    let Some(database) = Database::fresh("").await else { return };
    let db = Arc::new(database.db().await);
    let mut listener = PgListener::connect(&database.url).await.unwrap();
    listener.listen("throughline_commits").await.unwrap();
    confirm(&db, "t").await;
    db.thread("t").add(NewMessage::user("third")).await.unwrap();
    let mut holder = database.connect().await;
    let hold = "SELECT pg_advisory_lock_shared(6070816190463183183)";
    sqlx::raw_sql(hold).execute(&mut holder).await.unwrap();
    // By a statement that commits by itself, then by a transaction. A later commit may send the notification of an earlier one, so each
    // is awaited.
    db.thread("t").add(NewMessage::user("fourth")).await.unwrap();
    let heard = timeout(FAR, listener.recv()).await.unwrap().unwrap();
    assert_eq!(heard.payload(), "4");
    db.thread("t").add(NewMessage::user("fifth").with_id("given".parse().unwrap())).await.unwrap();
    let heard = timeout(FAR, listener.recv()).await.unwrap().unwrap();
    assert_eq!(heard.payload(), "5");
}
