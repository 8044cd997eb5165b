//! How many round trips a lone addition takes, once its statements are prepared.

use throughline_core::{NewMessage, Persistence};
use throughline_postgres::{PostgresBackend, PostgresOptions};
use throughline_postgres_cluster::{Cluster, Installation, Pooler, proxy::Proxy};

use crate::support::everything;

/// A store with one writer whose connections pass a proxy, directly or to a pooler.
struct Scene {
    db: Persistence,
    proxy: Proxy,
    _servers: (Cluster, Option<Pooler>),
}

impl Scene {
    /// Returns `None` and prints a notice if PostgreSQL, or PgBouncer, is not installed.
    #[allow(clippy::print_stdout, reason = "a skip is to be seen")]
    async fn start(options: PostgresOptions, pooled: Option<&[(&str, &str)]>) -> Option<Self> {
        let installed = Installation::find().filter(|_| pooled.is_none() || Pooler::is_installed());
        let Some(installation) = installed else {
            println!(
                "SKIPPED: the round trips of an addition (PostgreSQL 15 or newer, or PgBouncer, is not installed)"
            );
            return None;
        };
        let cluster = Cluster::start(&installation).unwrap();
        let pooler = pooled.map(|settings| Pooler::start(&cluster, settings).unwrap());
        let upstream = pooler.as_ref().map_or_else(|| cluster.address(), Pooler::address);
        let proxy = Proxy::start(&upstream).await.unwrap();
        let url = cluster.url_at(&proxy.address(), "postgres");
        let backend = options.writers(1).open(&url).await.unwrap();
        let db = Persistence::builder().backend(backend).build().unwrap();
        Some(Self { db, proxy, _servers: (cluster, pooler) })
    }

    /// Adds a message, and returns the round trips that it took.
    async fn add(&self, thread: &str, key: Option<&str>) -> u64 {
        let before = self.proxy.round_trips();
        let call = self.db.thread(thread).add(NewMessage::user("x"));
        match key {
            Some(key) => call.key(key).await.unwrap(),
            None => call.await.unwrap(),
        };
        self.proxy.round_trips() - before
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addition_to_a_cached_thread_takes_one_round_trip() {
    let Some(scene) = Scene::start(PostgresBackend::builder(), None).await else { return };
    // Connects, and prepares: an inserted thread, an updated thread, and the statement that commits by itself.
    for _ in 0..3 {
        scene.add("t", None).await;
    }
    assert_eq!(scene.add("t", None).await, 1);
    // The locks with the thread, the rows, and the commit.
    assert_eq!(scene.add("u", None).await, 3);
    // Prepares the row of a key.
    scene.add("t", Some("first")).await;
    assert_eq!(scene.add("t", Some("second")).await, 1);
    // Prepares the lookup of a key, and the transaction with it.
    scene.add("v", Some("first")).await;
    assert_eq!(scene.add("w", Some("second")).await, 4);
    assert_eq!(everything(&scene.db, "t").await.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addition_behind_a_pooler_that_keeps_no_statements_takes_four_round_trips() {
    // An older PgBouncer keeps none, and does not know the setting.
    let none: &[_] = if Pooler::can_keep_statements() { &[("max_prepared_statements", "0")] } else { &[] };
    let Some(scene) = Scene::start(PostgresBackend::builder().pgbouncer(), Some(none)).await else { return };
    scene.add("t", None).await;
    // The settings with the locks and the thread, the statement, its execution, and the commit.
    assert_eq!(scene.add("t", None).await, 4);
    assert_eq!(scene.add("u", None).await, 4);
    assert_eq!(everything(&scene.db, "t").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
async fn addition_behind_a_pooler_that_keeps_statements_takes_three_round_trips() {
    if !Pooler::can_keep_statements() {
        println!("SKIPPED: prepared statements behind PgBouncer (PgBouncer 1.22 or newer is not installed)");
        return;
    }
    let keeps: &[_] = &[("max_prepared_statements", "200")];
    let options = PostgresBackend::builder().prepared_statements();
    let Some(scene) = Scene::start(options, Some(keeps)).await else { return };
    // Connects, and prepares: an inserted thread, and an updated one.
    for _ in 0..2 {
        scene.add("t", None).await;
    }
    // The settings with the locks and the thread, the rows, and the commit.
    assert_eq!(scene.add("t", None).await, 3);
    assert_eq!(scene.add("u", None).await, 3);
    // Prepares the lookup of a key, and the transaction with it.
    scene.add("v", Some("first")).await;
    assert_eq!(scene.add("w", Some("second")).await, 4);
    assert_eq!(everything(&scene.db, "t").await.len(), 3);
}
