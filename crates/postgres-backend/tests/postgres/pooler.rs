//! The store behind PgBouncer: it needs no session settings, names the pooler's own errors, and checks the server
//! in each transaction.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use throughline_core::{
    Effect, ErrorKind, Message, NewMessage, Persistence, Position, Result, Thread, changes::ChangeScope,
    messages::PageFrom,
};
use throughline_postgres::{OpenError, PostgresBackend, PostgresOptions};
use throughline_postgres_cluster::{Cluster, Installation, Pooler};

use crate::{settings::SETTINGS, support::everything};

pub(crate) struct Scene {
    pub(crate) cluster: Cluster,
    pub(crate) pooler: Pooler,
    /// Whether the stores keep prepared statements.
    keeps_statements: bool,
}

impl Scene {
    /// A pooler that keeps no prepared statements. Returns `None` and prints a notice if PostgreSQL or PgBouncer is not installed.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Option<Self> {
        // An older PgBouncer keeps none, and does not know the setting.
        let none = [("max_prepared_statements", "0")];
        let none = if Pooler::can_keep_statements() { &none[..] } else { &[] };
        Self::start_with(&[none, settings].concat(), false)
    }

    /// The same with a pooler and with stores that keep prepared statements.
    #[allow(clippy::print_stdout, reason = "a skip is to be seen")]
    pub(crate) fn start_with_prepared_statements(settings: &[(&str, &str)]) -> Option<Self> {
        if !Pooler::can_keep_statements() {
            println!(
                "SKIPPED: prepared statements behind PgBouncer (PgBouncer 1.22 or newer is not installed)"
            );
            return None;
        }
        Self::start_with(&[&[("max_prepared_statements", "200")], settings].concat(), true)
    }

    #[allow(clippy::print_stdout, reason = "a skip is to be seen")]
    fn start_with(settings: &[(&str, &str)], keeps_statements: bool) -> Option<Self> {
        let Some(installation) = Installation::find() else {
            println!(
                "SKIPPED: the Postgres backend behind PgBouncer (PostgreSQL 15 or newer is not installed)"
            );
            return None;
        };
        if !Pooler::is_installed() {
            println!("SKIPPED: the Postgres backend behind PgBouncer (PgBouncer is not installed)");
            return None;
        }
        let cluster = Cluster::start(&installation).unwrap();
        let pooler = Pooler::start(&cluster, settings).unwrap();
        Some(Self { cluster, pooler, keeps_statements })
    }

    fn behind_it(&self, options: PostgresOptions) -> PostgresOptions {
        if self.keeps_statements { options.prepared_statements() } else { options.pgbouncer() }
    }

    pub(crate) fn url(&self) -> String {
        self.cluster.url_at(&self.pooler.address(), "postgres")
    }

    pub(crate) async fn open(&self, options: PostgresOptions) -> Persistence {
        built(self.behind_it(options).open(&self.url()).await.unwrap())
    }

    /// Connects a client other than the store.
    pub(crate) async fn connect(&self) -> PgConnection {
        let options: PgConnectOptions = self.url().parse().unwrap();
        PgConnection::connect_with(&options.extra_float_digits(None)).await.unwrap()
    }

    /// Takes a connection out of the pool until it is dropped.
    async fn occupy(&self) -> PgConnection {
        let mut taken = self.connect().await;
        sqlx::raw_sql("BEGIN").execute(&mut taken).await.unwrap();
        taken
    }
}

fn built(backend: PostgresBackend) -> Persistence {
    Persistence::builder().backend(backend).build().unwrap()
}

async fn refused(options: PostgresOptions, scene: &Scene) -> String {
    match options.open(&scene.url()).await {
        Err(OpenError::Pooler { reason }) => reason.to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn wrong_pooler_settings_are_named_in_the_error() {
    let Some(scene) = Scene::start(&[]) else { return };
    let reason = refused(PostgresBackend::builder(), &scene).await;
    assert!(reason.contains("`PostgresOptions::pgbouncer`"), "{reason}");
    // A pooler that silently ignores startup parameters.
    let ignores = [("ignore_startup_parameters", "options,extra_float_digits")];
    let deaf = Scene::start(&ignores).unwrap();
    let reason = refused(PostgresBackend::builder(), &deaf).await;
    assert!(reason.contains("`PostgresOptions::pgbouncer`"), "{reason}");
    let single = Scene::start(&[("pool_mode", "statement")]).unwrap();
    let reason = refused(PostgresBackend::builder().pgbouncer(), &single).await;
    assert!(reason.contains("`pool_mode = statement`"), "{reason}");
    let made = "SELECT count(*) FROM pg_namespace WHERE nspname = 'throughline'";
    for scene in [scene, deaf, single] {
        assert_eq!(scene.cluster.run("postgres", made).unwrap(), "0");
    }
    // Session mode works without the option too.
    let session = Scene::start(&[("pool_mode", "session")]).unwrap();
    let db = session.open(PostgresBackend::builder()).await;
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    assert_eq!(everything(&db, "t").await.len(), 1);
}

/// Several hosts share a pool that assigns another connection to each transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_behind_one_pool_write_and_read_under_every_setting_of_the_role() {
    hosts_under_every_setting(Scene::start(&[("default_pool_size", "4")])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_with_prepared_statements_behind_one_pool_write_and_read_under_every_setting_of_the_role() {
    hosts_under_every_setting(Scene::start_with_prepared_statements(&[("default_pool_size", "4")])).await;
}

async fn hosts_under_every_setting(scene: Option<Scene>) {
    const HOSTS: usize = 3;
    const ROUNDS: usize = 6;
    let Some(scene) = scene else { return };
    for (number, setting) in SETTINGS.iter().enumerate() {
        let name = format!("d{number}");
        scene.cluster.run("postgres", &format!("CREATE DATABASE {name}")).unwrap();
        scene.cluster.run("postgres", &format!("ALTER DATABASE {name} SET {setting}")).unwrap();
        let url = scene.cluster.url_at(&scene.pooler.address(), &name);
        let mut hosts = Vec::new();
        for _ in 0..HOSTS {
            let options = scene.behind_it(PostgresBackend::builder().wait_limit(Duration::from_secs(60)));
            hosts.push(built(options.open(&url).await.unwrap_or_else(|error| panic!("{setting}: {error}"))));
        }
        let writers: Vec<_> = hosts
            .iter()
            .map(|db| {
                let thread = db.thread("t");
                tokio::spawn(async move {
                    for _ in 0..ROUNDS {
                        let written =
                            thread.add(NewMessage::user("\u{0} \\' \u{1F600}")).await.unwrap().message;
                        let read = thread.get(written.id.clone()).await.unwrap();
                        assert_eq!(read, Some(written));
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap_or_else(|error| panic!("{setting}: {error}"));
        }
        assert_eq!(everything(&hosts[0], "t").await.len(), HOSTS * ROUNDS, "{setting}");
        // The settings of a transaction do not stay on its server connection.
        let left = "SELECT concat_ws(' ', current_setting('lock_timeout'), current_setting('enable_seqscan'), \
            current_setting('row_security'), current_setting('idle_in_transaction_session_timeout'))";
        for _ in 0..4 {
            let left = scene.cluster.run_at(&scene.pooler.address(), &name, left).unwrap();
            assert_eq!(left, "0 on on 0", "{setting}");
        }
    }
}

/// The message that begins a transaction waits for no lock; a second one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addition_behind_a_pooler_waits_for_a_host_that_writes_to_the_thread() {
    let Some(scene) = Scene::start(&[]) else { return };
    let options = || PostgresBackend::builder().wait_limit(Duration::from_secs(60));
    let direct = built(options().open(&scene.cluster.url("postgres")).await.unwrap());
    let pooled = scene.open(options()).await;
    direct.thread("t").add(NewMessage::user("first")).await.unwrap();
    let mut blocker = PgConnection::connect(&scene.cluster.url("postgres")).await.unwrap();
    let lock = "BEGIN; LOCK TABLE throughline.messages IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut blocker).await.unwrap();
    let add = |db: &Persistence, text| {
        let thread = db.thread("t");
        tokio::spawn(async move { thread.add(NewMessage::user(text)).await.unwrap().message.seq.get() })
    };
    // Holds the lock of the thread, and waits for the table.
    let second = add(&direct, "second");
    let waiting = "SELECT string_agg(wait_event, ' ' ORDER BY wait_event) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    scene.cluster.wait_until(waiting, "relation").unwrap();
    let third = add(&pooled, "third");
    scene.cluster.wait_until(waiting, "advisory relation").unwrap();
    sqlx::raw_sql("COMMIT").execute(&mut blocker).await.unwrap();
    assert_eq!((second.await.unwrap(), third.await.unwrap()), (2, 3));
    let texts: Vec<_> = everything(&pooled, "t").await.iter().map(Message::text).collect();
    assert_eq!(texts, ["first", "second", "third"]);
}

#[tokio::test]
async fn pool_without_a_free_connection_is_overloaded() {
    let pool = [("default_pool_size", "1"), ("reserve_pool_size", "0")];
    let Some(scene) = Scene::start(&pool) else { return };
    let options = PostgresBackend::builder().wait_limit(Duration::from_millis(300)).pgbouncer();
    let db = scene.open(options.clone()).await;
    db.thread("t").add(NewMessage::user("before")).await.unwrap();
    let overloaded = (ErrorKind::Overloaded, Effect::NotApplied);
    let taken = scene.occupy().await;
    let error = db.thread("t").add(NewMessage::user("x")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), overloaded, "{error}");
    assert!(error.to_string().contains("the pooler gave no connection to a server in time"), "{error}");
    let error = db.thread("t").page(PageFrom::End, 10).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), overloaded, "{error}");
    assert!(error.to_string().contains("the pooler gave no connection to a server in time"), "{error}");
    let opened = options.answer_limit(Duration::from_millis(300)).open(&scene.url()).await;
    assert!(matches!(opened, Err(OpenError::Pooler { reason }) if reason.contains("in time")));
    drop(taken);
    db.thread("t").add(NewMessage::user("after")).await.unwrap();
    assert_eq!(everything(&db, "t").await.len(), 2);
}

#[tokio::test]
async fn query_wait_timeout_of_the_pooler_is_overloaded_and_named() {
    let pool = [("default_pool_size", "1"), ("query_wait_timeout", "1"), ("max_client_conn", "4")];
    let Some(scene) = Scene::start(&pool) else { return };
    // Longer than the pooler waits.
    let options = PostgresBackend::builder().writers(1).wait_limit(Duration::from_secs(2));
    let db = scene.open(options).await;
    db.thread("t").add(NewMessage::user("before")).await.unwrap();
    let overloaded = (ErrorKind::Overloaded, Effect::NotApplied);
    let taken = scene.occupy().await;
    let error = db.thread("t").page(PageFrom::End, 10).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), overloaded, "{error}");
    drop(taken);
    // One connection writes, one reads, and these two use the rest of the limit.
    db.thread("t").page(PageFrom::End, 10).await.unwrap();
    let others = [scene.connect().await, scene.connect().await];
    let refused = PostgresBackend::builder().pgbouncer().open(&scene.url()).await;
    assert!(matches!(refused, Err(OpenError::Pooler { reason }) if reason.contains("`max_client_conn`")));
    drop(others);
    assert_eq!(everything(&db, "t").await.len(), 1);
}

/// The pooler is killed during writes and restarted. No outcome is unknown, since the server can be asked, and no
/// write exists twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_exists_once_although_the_pooler_is_killed() {
    write_while_the_pooler_is_killed(Scene::start(&[("default_pool_size", "4")])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_exists_once_although_a_pooler_with_prepared_statements_is_killed() {
    write_while_the_pooler_is_killed(Scene::start_with_prepared_statements(&[("default_pool_size", "4")]))
        .await;
}

async fn write_while_the_pooler_is_killed(scene: Option<Scene>) {
    const WRITERS: usize = 6;
    const EACH: usize = 30;
    let Some(mut scene) = scene else { return };
    let options = PostgresBackend::builder().wait_limit(Duration::from_secs(60));
    let db = scene.open(options).await;
    let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let sender = sender.clone();
            let thread = db.thread(format!("{}", writer % 3));
            tokio::spawn(async move {
                for number in 0..EACH {
                    let id = format!("{writer}.{number}").parse().unwrap();
                    thread.add(NewMessage::user("x").with_id(id)).await.unwrap();
                    sender.send(()).unwrap();
                }
            })
        })
        .collect();
    drop(sender);
    let mut answered = 0;
    while answers.recv().await.is_some() {
        answered += 1;
        if answered % 20 == 0 {
            scene.pooler.kill().unwrap();
            scene.pooler.start_again().unwrap();
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let mut stored = 0;
    for thread in ["0", "1", "2"] {
        let messages = everything(&db, thread).await;
        let seqs: Vec<u64> = messages.iter().map(|message| message.seq.get()).collect();
        assert_eq!(seqs, (1..=messages.len() as u64).collect::<Vec<_>>());
        stored += messages.len();
    }
    assert_eq!(stored, WRITERS * EACH);
}

/// A write through a pooler that does not come back is unknown to its caller; its idempotency key resolves it
/// later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commit_through_a_lost_pooler_is_unknown_and_resolved_by_its_key() {
    let Some(mut scene) = Scene::start(&[]) else { return };
    let options = PostgresBackend::builder()
        .wait_limit(Duration::from_millis(500))
        .resolve_limit(Duration::from_millis(300));
    let db = scene.open(options).await;
    let thread = db.thread("t");
    thread.add(NewMessage::user("before")).await.unwrap();
    // The commit waits for a standby that does not exist, so `COMMIT` was certainly sent.
    scene.cluster.synchronous_standbys("absent").unwrap();
    let call = {
        let thread = db.thread("t");
        tokio::spawn(async move { thread.add(NewMessage::user("x")).key("k").await })
    };
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    scene.cluster.wait_until(waiting, "1").unwrap();
    scene.pooler.kill().unwrap();
    let error = call.await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Unknown), "{error}");
    let error = thread.add(NewMessage::user("y")).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied), "{error}");
    scene.cluster.synchronous_standbys("").unwrap();
    scene.pooler.start_again().unwrap();
    let again = thread.add(NewMessage::user("x")).key("k").await.unwrap();
    assert!(again.deduplicated);
    assert_eq!(everything(&db, "t").await.len(), 2);
}

/// The pooler switches to another server between two transactions of one connection.
#[tokio::test]
async fn switched_server_behind_a_pooler_is_detected_in_the_next_transaction() {
    switch_the_server(Scene::start(&[("server_lifetime", "0")])).await;
}

#[tokio::test]
async fn switched_server_is_detected_with_prepared_statements() {
    switch_the_server(Scene::start_with_prepared_statements(&[("server_lifetime", "0")])).await;
}

async fn switch_the_server(scene: Option<Scene>) {
    let Some(scene) = scene else { return };
    let options = PostgresBackend::builder().writers(1).wait_limit(Duration::from_secs(3));
    let db = scene.open(options).await;
    let thread = db.thread("t");
    thread.add(NewMessage::user("of the first")).await.unwrap();
    let standby = scene.cluster.replica("s").unwrap();
    scene.cluster.wait_for_replica("s", "async").unwrap();
    let has_it = "SELECT count(*) FROM throughline.messages";
    standby.wait_until(has_it, "1").unwrap();
    // A standby accepts no writes, and the store does not read from it.
    route_to(&scene, &standby);
    for error in [
        thread.add(NewMessage::user("x")).await.unwrap_err(),
        thread.page(PageFrom::End, 10).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied), "{error}");
        assert!(error.to_string().contains("the server that answered is a standby"), "{error}");
    }
    standby.promote().unwrap();
    thread.add(NewMessage::user("of the second")).await.unwrap();
    // Back to the replaced primary, which never stopped.
    route_to(&scene, &scene.cluster);
    for error in [
        thread.add(NewMessage::user("x")).await.unwrap_err(),
        thread.page(PageFrom::End, 10).await.unwrap_err(),
    ] {
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied), "{error}");
        assert!(error.to_string().contains("was replaced by another"), "{error}");
    }
    assert_eq!(scene.cluster.run("postgres", has_it).unwrap(), "1");
    route_to(&scene, &standby);
    assert_eq!(everything(&db, "t").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_that_met_a_standby_reports_it_although_the_pool_is_exhausted_later() {
    interrupted(async |thread| thread.add(NewMessage::user("x")).await.map(drop)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_that_met_a_standby_reports_it_although_the_pool_is_exhausted_later() {
    interrupted(async |thread| thread.page(PageFrom::End, 10).await.map(drop)).await;
}

/// Reads wait for the end of a failover like writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_that_met_a_standby_is_answered_after_its_promotion() {
    let Some(scene) = Scene::start(&[("server_lifetime", "0")]) else { return };
    let db = scene.open(PostgresBackend::builder().readers(1).wait_limit(Duration::from_secs(60))).await;
    let thread = db.thread("t");
    thread.add(NewMessage::user("kept")).await.unwrap();
    let standby = scene.cluster.replica("s").unwrap();
    scene.cluster.wait_for_replica("s", "async").unwrap();
    standby.wait_until("SELECT count(*) FROM throughline.messages", "1").unwrap();
    route_to(&scene, &standby);
    let call = tokio::spawn(async move { thread.page(PageFrom::End, 10).await });
    // More attempts than after a lost connection.
    let failed = "SELECT xact_rollback > 9 FROM pg_stat_database WHERE datname = 'postgres'";
    standby.wait_until(failed, "t").unwrap();
    standby.promote().unwrap();
    assert_eq!(call.await.unwrap().unwrap().messages.len(), 1);
}

/// The last wait of the call does not hide the reason of the outage.
async fn interrupted(call: impl AsyncFn(Thread) -> Result<()>) {
    let Some(scene) = Scene::start(&[("server_lifetime", "0"), ("default_pool_size", "1")]) else { return };
    let db = scene.open(PostgresBackend::builder().writers(1).wait_limit(Duration::from_secs(5))).await;
    let thread = db.thread("t");
    thread.add(NewMessage::user("kept")).await.unwrap();
    let standby = scene.cluster.replica("s").unwrap();
    scene.cluster.wait_for_replica("s", "async").unwrap();
    route_to(&scene, &standby);
    let taken = async {
        let standby = tokio::task::spawn_blocking(move || {
            // Only a transaction of the store fails there.
            let failed = "SELECT xact_rollback > 0 FROM pg_stat_database WHERE datname = 'postgres'";
            standby.wait_until(failed, "t").unwrap();
            standby
        });
        (standby.await.unwrap(), scene.occupy().await)
    };
    let (answer, _taken) = tokio::join!(call(thread.clone()), taken);
    let error = answer.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied), "{error}");
    assert!(error.to_string().contains("the server that answered is a standby"), "{error}");
    // A call that reached no server does not report a standby.
    let error = call(thread).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Overloaded, Effect::NotApplied), "{error}");
}

/// Routes the pooler to a server and waits until it takes effect.
fn route_to(scene: &Scene, cluster: &Cluster) {
    scene.pooler.route_to(cluster).unwrap();
    let port = cluster.address().rsplit_once(':').unwrap().1.to_owned();
    let asked = || scene.cluster.run_at(&scene.pooler.address(), "postgres", "SHOW port");
    while asked().ok().as_ref() != Some(&port) {}
}

/// A pooler forwards no notifications. The store polls for commits of others, or listens at the server itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_of_other_processes_are_reported_by_polling_and_by_listening() {
    let Some(scene) = Scene::start(&[]) else { return };
    let writes = scene.open(PostgresBackend::builder()).await;
    let past = format!("{}?application_name=ear", scene.cluster.url("postgres"));
    let ears = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ear'";
    for (listens, name) in [(false, "looked"), (true, "listened")] {
        let options = PostgresBackend::builder();
        let db = scene.open(if listens { options.listen_at(&past) } else { options }).await;
        let mut feed = db.changes(ChangeScope::Store, Position::ZERO);
        while feed.next_now().await.unwrap().is_some() {}
        scene.cluster.wait_until(ears, if listens { "1" } else { "0" }).unwrap();
        writes.thread(name).add(NewMessage::user("x")).await.unwrap();
        let change = tokio::time::timeout(Duration::from_secs(60), feed.next()).await.unwrap().unwrap();
        assert_eq!(change.thread.as_str(), name);
        db.close().await.unwrap();
    }
    let nowhere = PostgresBackend::builder().pgbouncer().listen_at("nowhere").open(&scene.url()).await;
    assert!(matches!(nowhere, Err(OpenError::ListenUrl)));
}
