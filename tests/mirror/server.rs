//! New databases in the Postgres cluster of this process.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use throughline::{Persistence, postgres::PostgresBackend};
use throughline_postgres_cluster::{Installation, URL_VARIABLE, shared};

/// A new database.
pub(crate) struct Database {
    pub(crate) url: String,
}

impl Database {
    /// Creates a database. Returns `None` and prints a notice if PostgreSQL is not installed.
    #[allow(clippy::print_stdout, reason = "a skip must be visible")]
    pub(crate) async fn fresh() -> Option<Self> {
        if std::env::var_os(URL_VARIABLE).is_none() && Installation::find().is_none() {
            println!("SKIPPED: copies from and to Postgres (PostgreSQL 15 or newer is not installed)");
            return None;
        }
        let name = format!("t{}", throughline::MessageId::mint().as_str().replace('-', ""));
        let server = Self { url: shared("postgres").unwrap() };
        server.run(&format!("CREATE DATABASE {name}")).await;
        Some(Self { url: shared(&name).unwrap() })
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
        sqlx::query_scalar(sql).fetch_one(&mut self.connect().await).await.unwrap()
    }

    /// Opens the store in the database with a new pool.
    pub(crate) async fn db(&self) -> Persistence {
        let backend = PostgresBackend::builder().writers(2).readers(3).open(&self.url).await.unwrap();
        Persistence::builder().backend(backend).build().unwrap()
    }
}
