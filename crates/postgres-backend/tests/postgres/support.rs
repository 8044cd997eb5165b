//! Test databases in the cluster of this process.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use throughline_core::{
    Message, Persistence,
    messages::{PageFrom, Visibility},
};
use throughline_postgres::{PostgresBackend, PostgresOptions};
use throughline_postgres_cluster::{Installation, URL_VARIABLE, shared};

/// A new database.
pub(crate) struct Database {
    pub(crate) name: String,
    pub(crate) url: String,
}

impl Database {
    /// Creates a database. Returns `None` and prints a notice if PostgreSQL is not installed.
    #[allow(clippy::print_stdout, reason = "a skip is to be seen")]
    pub(crate) async fn fresh(options: &str) -> Option<Self> {
        if std::env::var_os(URL_VARIABLE).is_none() && Installation::find().is_none() {
            println!("SKIPPED: the tests of the Postgres backend (PostgreSQL 15 or newer is not installed)");
            return None;
        }
        let name = format!("t{}", throughline_core::MessageId::mint().as_str().replace('-', ""));
        let server = Self { name: "postgres".to_owned(), url: shared("postgres").unwrap() };
        server.run(&format!("CREATE DATABASE {name} {options}")).await;
        Some(Self { url: shared(&name).unwrap(), name })
    }

    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    pub(crate) async fn run(&self, sql: &str) {
        let mut db = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let mut db = self.connect().await;
        sqlx::query_scalar(sql).fetch_one(&mut db).await.unwrap()
    }

    pub(crate) async fn open(&self, options: PostgresOptions) -> Persistence {
        let backend = options.open(&self.url).await.unwrap();
        Persistence::builder().backend(backend).build().unwrap()
    }

    pub(crate) async fn db(&self) -> Persistence {
        self.open(PostgresBackend::builder()).await
    }
}

/// Returns every message of a thread.
pub(crate) async fn everything(db: &Persistence, thread: &str) -> Vec<Message> {
    let thread = db.thread(thread);
    let mut walk = thread.walk(PageFrom::Start, Visibility::All);
    let mut found = Vec::new();
    while let Some(message) = walk.next().await.unwrap() {
        found.push(message);
    }
    found
}
