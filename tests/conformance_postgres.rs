//! The checks of the conformance kit against the backend on Postgres: in a cluster of their own, each in a database of its own.

use std::{fs, process::ExitCode};

use throughline::{Backend as _, BoxError, postgres::PostgresBackend};
use throughline_conformance::{Fixture, Place, Profile};
use throughline_postgres_cluster::{Installation, URL_VARIABLE, shared};
use tokio::sync::OnceCell;

struct Postgres {
    /// A database with the schema in it, which others are copied from.
    template: OnceCell<()>,
}

/// The databases of the checks are copies of it.
const TEMPLATE: &str = "conformance_template";

impl Fixture for Postgres {
    type Backend = PostgresBackend;

    fn profile(&self) -> Profile {
        Profile::new("postgres")
    }

    async fn open(&self, place: &Place) -> Result<PostgresBackend, BoxError> {
        // Left where other processes of the check find it, too.
        let known = place.directory().join("url");
        let url = match fs::read_to_string(&known) {
            Ok(url) => url,
            Err(_) => {
                self.template.get_or_try_init(make_template).await?;
                run(&format!("CREATE DATABASE {} TEMPLATE {TEMPLATE}", place.name())).await?;
                let url = shared(place.name())?;
                fs::write(&known, &url)?;
                url
            }
        };
        // A limit that the checks can reach, and few connections: many stores are open at once.
        let options = PostgresBackend::builder().max_content_bytes(1 << 20).writers(2).readers(3);
        Ok(options.open(&url).await?)
    }

    async fn clean(&self, place: &Place) {
        // What is left goes with the cluster.
        drop(run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", place.name())).await);
    }
}

async fn make_template() -> Result<(), BoxError> {
    // One that a run before has left in a cluster that is shared may have another schema.
    run(&format!("DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")).await?;
    run(&format!("CREATE DATABASE {TEMPLATE}")).await?;
    let backend = PostgresBackend::open(&shared(TEMPLATE)?).await?;
    backend.close().await?;
    Ok(())
}

async fn run(sql: &str) -> Result<(), BoxError> {
    use sqlx::Connection as _;

    let mut db = sqlx::PgConnection::connect(&shared("postgres")?).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut db).await?;
    Ok(db.close().await?)
}

#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
fn main() -> ExitCode {
    if std::env::var_os(URL_VARIABLE).is_none() && Installation::find().is_none() {
        println!("SKIPPED: the checks of the Postgres backend (PostgreSQL 15 or newer is not installed)");
        return ExitCode::SUCCESS;
    }
    throughline_conformance::main(Postgres { template: OnceCell::new() })
}
