//! Copies, switchovers and the audit log between Postgres and the other engines.

use std::time::Duration;

use throughline::{
    Effect, ErrorKind, NewMessage, Persistence, Position,
    audit::{AuditNumber, AuditOutcome},
    changes::{ChangeScope, ReadChanges},
    layers::audit::{AuditLayer, Flaw, verify},
    messages::PageFrom,
    mirror::{Mirror, MirrorState, Switch},
    postgres::PostgresBackend,
    replication::{
        ApplyImages, BeginCapture, EndCapture, GetReplicationStatus, ReadImages, SetReplicationState,
    },
};

use super::{
    audited::{add_and_refuse, assert_one_chain_over_switchovers, key, log},
    copied::assert_copied,
    everything::{TENANTS, end, fill, latest, purge, read_all},
    killed::interrupted_switchover,
    server::Database,
    support::{self, copy, copy_in_rounds, equal, memory, position, sqlite},
    switched::switch_under_writers,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_and_postgres_are_copied_into_each_other() {
    let Some(database) = Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    assert_copied(sqlite(&folder.path().join("a.db")).await, database.db().await).await;
    let Some(database) = Database::fresh().await else { return };
    assert_copied(database.db().await, sqlite(&folder.path().join("b.db")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_postgres_are_copied_into_each_other() {
    let Some(database) = Database::fresh().await else { return };
    assert_copied(memory("a"), database.db().await).await;
    let Some(database) = Database::fresh().await else { return };
    assert_copied(database.db().await, memory("b")).await;
}

/// Terminates every other connection to the database, and counts them.
const KILL: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Checks derived rows that reads do not show: the counters, and that no purged rows remain.
async fn assert_counts_are_right(database: &Database) {
    for wrong in [
        "SELECT count(*) FROM throughline.threads t WHERE t.live <> (SELECT count(*) FROM throughline.messages m \
         WHERE m.tenant = t.tenant AND m.thread = t.thread AND m.seq > t.floor)",
        "SELECT count(*) FROM throughline.threads t JOIN throughline.aliases a ON a.tenant = t.tenant \
         AND a.thread = t.thread WHERE NOT t.purgeable AND (t.deleted OR a.generation < t.generation)",
        "SELECT count(*) FROM throughline.threads t JOIN throughline.session_heads h ON h.tenant = t.tenant \
         AND h.thread = t.thread WHERE NOT t.purgeable AND t.deleted",
    ] {
        assert_eq!(database.count(wrong).await, 0, "{wrong}");
    }
}

/// Each store of the chain is a copy of the one before it.
async fn assert_equal_in_every_engine(chain: &[Persistence], databases: &[&Database]) {
    fill(&chain[0]).await;
    for step in 0..3 {
        match step {
            0 => {}
            1 => end(&chain[0]).await,
            _ => purge(&chain[0]).await,
        }
        for pair in chain.windows(2) {
            copy(&pair[0], &pair[1]).await.stop().await;
            equal(&pair[0], &pair[1]).await;
            assert_eq!(read_all(&pair[1]).await, read_all(&chain[0]).await);
        }
        for database in databases {
            assert_counts_are_right(database).await;
        }
    }
    // The order of aliases is preserved through all copies.
    let last = chain.last().unwrap();
    let replication_state = last.read(GetReplicationStatus {}).await.unwrap().replication_state;
    last.on_replica(SetReplicationState::new(replication_state, replication_state.promoted())).await.unwrap();
    for tenant in TENANTS {
        assert_eq!(latest(&last.for_tenant(tenant.parse().unwrap())).await.as_str(), "m");
    }
}

/// Opens a store with partitions.
async fn partitioned(database: &Database) -> Persistence {
    let backend = PostgresBackend::builder().partitions(4).open(&database.url).await.unwrap();
    Persistence::builder().backend(backend).build().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_store_with_every_kind_of_row_is_equal_in_every_engine() {
    let Some(first) = Database::fresh().await else { return };
    let Some(second) = Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = sqlite(&folder.path().join("d.db")).await;
    let chain = [memory("a"), first.db().await, partitioned(&second).await, file, memory("e")];
    assert_equal_in_every_engine(&chain, &[&first, &second]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_partitioned_postgres_store_is_equal_in_every_engine() {
    let Some(first) = Database::fresh().await else { return };
    let Some(second) = Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = sqlite(&folder.path().join("b.db")).await;
    let chain = [partitioned(&first).await, file, second.db().await, memory("d")];
    assert_equal_in_every_engine(&chain, &[&first, &second]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_and_postgres_share_one_audit_chain() {
    let Some(database) = Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    assert_one_chain_over_switchovers(sqlite(&folder.path().join("a.db")).await, database.db().await).await;
    let Some(database) = Database::fresh().await else { return };
    assert_one_chain_over_switchovers(database.db().await, sqlite(&folder.path().join("b.db")).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switchovers_between_sqlite_and_postgres_keep_every_acknowledged_write_once_and_in_order() {
    let Some(database) = Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    switch_under_writers(sqlite(&folder.path().join("a.db")).await, database.db().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeatedly_interrupted_copy_into_postgres_continues_where_it_stopped() {
    let Some(database) = Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let from = sqlite(&folder.path().join("a.db")).await;
    support::fill(&from, 4, 400).await;
    let copied = copy_in_rounds(&from, || database.db()).await;
    let to = database.db().await;
    drop(copy(&from, &to).await);
    assert_eq!(equal(&from, &to).await.messages, 4 * 400);
    assert!(copied < 3 * 4 * 402 + 20 * 500, "{copied} images");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_to_postgres_that_dies_after_any_step_leaves_one_primary() {
    for (steps, primary) in [(0, 0), (1, 0), (2, 0), (3, 1)] {
        let Some(database) = Database::fresh().await else { return };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let (old, new) = (sqlite(&path).await, database.db().await);
        support::fill(&old, 2, 20).await;
        interrupted_switchover(&old, &new, steps).await;
        old.close().await.unwrap();
        new.close().await.unwrap();
        let (old, new) = (sqlite(&path).await, database.db().await);
        let switch = Switch::open(old.clone(), new.clone()).await.unwrap();
        assert_eq!(switch.primary(), primary, "after {steps} steps");
        let db = Persistence::builder().backend(switch.backend()).build().unwrap();
        switch.follow().await.unwrap();
        db.thread("t0").add(NewMessage::user("after the crash")).await.unwrap();
        let (first, second) = if primary == 0 { (&old, &new) } else { (&new, &old) };
        let error = second.thread("t0").add(NewMessage::user("to the replica")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotPrimary);
        let timeout = Duration::from_secs(60);
        let changed =
            if primary == 0 { switch.switch_over(timeout).await } else { switch.switch_back(timeout).await };
        changed.unwrap();
        db.thread("t0").add(NewMessage::user("after the change")).await.unwrap();
        let target = position(second).await;
        while switch.status().await.is_none_or(|status| status.position < target || status.lag().changes > 0)
        {
            tokio::task::yield_now().await;
        }
        switch.stop().await;
        equal(first, second).await;
    }
}

/// A page whose answer is lost is applied once, and the snapshot continues where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_continues_after_every_connection_is_terminated() {
    let Some(first) = Database::fresh().await else { return };
    let Some(second) = Database::fresh().await else { return };
    let (from, to) = (first.db().await, second.db().await);
    support::fill(&from, 4, 150).await;
    let mirror = Mirror::start(from.clone(), to.clone()).await.unwrap();
    let (mut seen, mut terminated) = (0, 0);
    while !matches!(mirror.status().state, MirrorState::Replicating) {
        let status = mirror.status();
        assert!(!status.is_stopped(), "{status:?}");
        if status.images > seen {
            seen = status.images;
            terminated += first.count(KILL).await + second.count(KILL).await;
        }
        tokio::task::yield_now().await;
    }
    assert!(terminated > 0);
    assert!(mirror.reached(position(&from).await).await, "{:?}", mirror.status());
    mirror.stop().await;
    assert_eq!(equal(&from, &to).await.messages, 4 * 150);
    assert_counts_are_right(&second).await;
}

/// A copy does not need the owner of the tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_ownership_can_copy_from_and_into_postgres() {
    let Some(first) = Database::fresh().await else { return };
    let Some(second) = Database::fresh().await else { return };
    let mut stores = Vec::new();
    for database in [&first, &second] {
        database.db().await.close().await.unwrap();
        let (server, name) = database.url.rsplit_once('/').unwrap();
        let (_, address) = server.rsplit_once('@').unwrap();
        let role = format!("r{name}");
        database
            .run(&format!(
                "CREATE ROLE {role} LOGIN PASSWORD 'p'; GRANT CONNECT ON DATABASE {name} TO {role}; \
                 GRANT USAGE ON SCHEMA throughline TO {role}; \
                 GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA throughline TO {role}"
            ))
            .await;
        let backend = PostgresBackend::open(&format!("postgres://{role}:p@{address}/{name}")).await.unwrap();
        stores.push(Persistence::builder().layer(AuditLayer::new(key())).backend(backend).build().unwrap());
    }
    let [from, to] = &stores[..] else { panic!("two") };
    assert_copied(from.clone(), to.clone()).await;
    let entries = log(to).await;
    assert!(entries.len() > 120);
    assert_eq!(entries, log(from).await);
    from.on_replica(EndCapture {}).await.unwrap();
    assert_eq!(first.count("SELECT (SELECT count(*) FROM throughline.listed) + (SELECT count(*) FROM throughline.touched)").await, 0);
}

/// A write of two processes during the start of a copy is in the snapshot or in the dirty set, or in both, and is copied once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_begins_during_writes_misses_no_message() {
    let Some(database) = Database::fresh().await else { return };
    let stores = [database.db().await, database.db().await];
    support::fill(&stores[0], 2, 20).await;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let thread = stores[writer % 2].thread(format!("w{}", writer / 2));
            tokio::spawn(async move {
                for n in 0..60 {
                    thread
                        .add(NewMessage::user("x").with_id(format!("{writer}.{n}").parse().unwrap()))
                        .await
                        .unwrap();
                }
            })
        })
        .collect();
    let to = memory("b");
    let mirror = Mirror::start(stores[0].clone(), to.clone()).await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(mirror.reached(position(&stores[0]).await).await, "{:?}", mirror.status());
    mirror.stop().await;
    assert_eq!(equal(&stores[0], &to).await.messages, 2 * 20 + 8 * 60);
}

/// A write that began on the primary and reaches its end on a replica is not applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_is_running_when_the_store_becomes_a_replica_is_refused() {
    let Some(database) = Database::fresh().await else { return };
    let db = database.db().await;
    db.thread("t").add(NewMessage::user("before")).await.unwrap();
    let replication_state = db.read(GetReplicationStatus {}).await.unwrap().replication_state;
    let mut blocker = database.connect().await;
    sqlx::raw_sql("BEGIN; SELECT 1 FROM throughline.store FOR UPDATE").execute(&mut blocker).await.unwrap();
    let write = {
        let thread = db.thread("t");
        tokio::spawn(async move { thread.add(NewMessage::user("late")).key("late").await })
    };
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while database.count(waiting).await == 0 {
        tokio::task::yield_now().await;
    }
    sqlx::raw_sql("UPDATE throughline.store SET is_replica = true; COMMIT")
        .execute(&mut blocker)
        .await
        .unwrap();
    let error = write.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::NotPrimary, Effect::NotApplied));
    assert_eq!(
        db.read(GetReplicationStatus {}).await.unwrap().replication_state,
        replication_state.as_replica()
    );
    assert_eq!(db.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 1);
    assert_eq!(database.count("SELECT count(*) FROM throughline.keys").await, 0);
}

/// A Postgres replica makes commits of its own, so its position exceeds the last copied one. A read of its change feed
/// returns the last copied position.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_change_feed_of_a_replica_misses_no_change() {
    let Some(database) = Database::fresh().await else { return };
    let (from, to) = (memory("a"), database.db().await);
    let mut reached = Position::ZERO;
    for _ in 0..3 {
        from.thread("t").add(NewMessage::user("x")).await.unwrap();
        let expected = position(&from).await;
        copy(&from, &to).await.stop().await;
        let read = to.read(ReadChanges::new(ChangeScope::Store, reached, 10)).await.unwrap();
        let positions: Vec<Position> = read.changes.iter().map(|change| change.position).collect();
        assert_eq!((positions, read.position, read.more), (vec![expected], expected, false));
        reached = expected;
    }
    assert!(position(&to).await > reached);
}

/// A SQLite primary reports a row of the snapshot again in the dirty set if it was written during the snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_image_that_is_sent_twice_is_applied_once() {
    let Some(database) = Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (sqlite(&folder.path().join("a.db")).await, database.db().await);
    let mut cursor = from.on_replica(BeginCapture::WHOLE).await.unwrap().cursor;
    fill(&from).await;
    let replication_state = to.read(GetReplicationStatus {}).await.unwrap().replication_state;
    let epoch = to
        .on_replica(SetReplicationState::new(replication_state, replication_state.as_replica()))
        .await
        .unwrap()
        .replication_state
        .epoch;
    let (mut done, mut more, mut images) = (None, true, 0);
    while more {
        let page = from.read(ReadImages::new(cursor, 7)).await.unwrap();
        images += page.images.len();
        more = page.more;
        let position = if more { Position::ZERO } else { page.position };
        let apply = ApplyImages {
            epoch,
            from: done,
            to: page.cursor,
            images: page.images,
            position,
            kept_after: page.kept_after,
        };
        // A repeated page is recognized as applied.
        let again = apply.clone();
        if done != Some(page.cursor) {
            assert!(!to.on_replica(apply).await.unwrap().already);
            assert!(to.on_replica(again).await.unwrap().already);
        }
        (done, cursor) = (Some(page.cursor), page.cursor);
    }
    assert!(images > 2 * 60, "{images} images: no row image was repeated");
    equal(&from, &to).await;
    assert_eq!(read_all(&to).await, read_all(&from).await);
    assert_counts_are_right(&database).await;
}

/// Two processes with four writers each write one hash chain, while the test terminates connections.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn audit_records_of_many_writers_form_one_chain_despite_terminated_connections() {
    let Some(database) = Database::fresh().await else { return };
    let mut stores = Vec::new();
    for _ in 0..2 {
        let options = PostgresBackend::builder().writers(2).wait_limit(Duration::from_secs(60));
        let backend = options.open(&database.url).await.unwrap();
        stores.push(Persistence::builder().layer(AuditLayer::new(key())).backend(backend).build().unwrap());
    }
    let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (thread, sender) = (stores[writer % 2].thread(format!("t{}", writer / 2)), sender.clone());
            tokio::spawn(async move {
                for n in 0..20 {
                    let id = format!("{writer}.{n}").parse().unwrap();
                    thread.add(NewMessage::user("x").with_id(id)).await.unwrap();
                    sender.send(()).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let (mut terminated, mut answered) = (0, 0);
    while answers.recv().await.is_some() {
        answered += 1;
        if answered % 20 == 0 {
            terminated += database.count(KILL).await;
        }
    }
    assert!(terminated > 0);
    for writer in writers {
        writer.await.unwrap();
    }
    let report = verify(&stores[0], &key(), &[]).await.unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.intact.get(), report.comparison.unwrap().changes), (160, 160));
    // No other commit occurred, so the records follow each other without a gap.
    let mut reached = Position::ZERO;
    for entry in log(&stores[0]).await {
        let AuditOutcome::Applied { after, position } = entry.record.outcome else { panic!("{entry:?}") };
        assert_eq!(after, reached);
        reached = position;
    }
    assert_eq!(reached, Position::new(160));
}

/// The table accepts only inserts. A forced change is detected, and does not stop the copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_audit_record_is_named_and_does_not_stop_the_copy() {
    let Some(database) = Database::fresh().await else { return };
    let backend = PostgresBackend::open(&database.url).await.unwrap();
    let db = Persistence::builder().layer(AuditLayer::new(key())).backend(backend).build().unwrap();
    for id in ["a", "b", "c"] {
        add_and_refuse(&db, id).await;
    }
    let mut owner = database.connect().await;
    for sql in [
        "UPDATE throughline.audit SET body = 'x'",
        "DELETE FROM throughline.audit",
        "TRUNCATE throughline.audit",
    ] {
        assert!(sqlx::raw_sql(sql).execute(&mut owner).await.is_err(), "{sql}");
    }
    database
        .run(
            "ALTER TABLE throughline.audit DISABLE TRIGGER audit_stays; \
             UPDATE throughline.audit SET body = 'x' WHERE number = 2; \
             UPDATE throughline.messages SET content = '[' WHERE id = 'b'",
        )
        .await;
    let from = database.db().await;
    let to = memory("b");
    let mirror = copy(&from, &to).await;
    let mut damaged = mirror.stop().await.damaged;
    damaged.sort();
    assert_eq!(damaged, ["entry 2 of `audit`", "row `default/t/b` of `messages`"]);
    let numbers: Vec<u64> = log(&to).await.iter().map(|entry| entry.number.get()).collect();
    assert_eq!(numbers, [1, 3, 4, 5, 6]);
    for store in [&from, &to] {
        let flaw = verify(store, &key(), &[]).await.unwrap().flaw;
        let number = AuditNumber::new(2);
        let missing = numbers.len() == 5 && std::ptr::eq(store, &to);
        let expected = if missing { Flaw::Missing { number } } else { Flaw::Edited { number } };
        assert_eq!(flaw, Some(expected));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_of_another_engine_accounts_for_commits_without_a_change_event() {
    let (Some(one), Some(other)) = (Database::fresh().await, Database::fresh().await) else { return };
    super::feed_positions::assert_feed_complete_after_switchover(memory("a"), one.db().await).await;
    super::feed_positions::assert_feed_complete_after_switchover(other.db().await, memory("b")).await;
    let Some(replica) = Database::fresh().await else { return };
    super::feed_positions::assert_page_positions_fit_the_feed(memory("a"), replica.db().await).await;
}
