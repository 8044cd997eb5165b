//! Databases of their own, in the cluster of this process.

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use throughline::{Persistence, postgres::PostgresBackend};
use throughline_postgres_cluster::{Installation, URL_VARIABLE, shared};

/// A fresh database.
pub(crate) struct Database {
    pub(crate) url: String,
}

impl Database {
    /// Nothing, and a notice, where there is no PostgreSQL.
    #[allow(clippy::print_stdout, reason = "a skip is to be seen")]
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

    /// Another hold on the store in it.
    pub(crate) async fn db(&self) -> Persistence {
        let backend = PostgresBackend::builder().writers(2).readers(3).open(&self.url).await.unwrap();
        Persistence::builder().backend(backend).build().unwrap()
    }
}
