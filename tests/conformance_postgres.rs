//! The checks of the conformance kit against the backend on Postgres: in a cluster of their own, each in a database of its own.
//!
//! With `THROUGHLINE_POSTGRES_POOLER=start` they reach it through a PgBouncer of their own, in its transaction mode. With
//! `THROUGHLINE_POSTGRES_ROW_SECURITY=1` the stores have row security, and the role is one that it holds.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    process::{Command, ExitCode},
    sync::LazyLock,
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use throughline::{
    Backend as _, BoxError,
    backend::search::Tokenizer,
    postgres::{PostgresBackend, PostgresOptions},
};
use throughline_conformance::{Fixture, Place, Profile};
use throughline_postgres_cluster::{
    Cluster, Installation, POOLER_VARIABLE, Pooler, URL_VARIABLE, behind_pooler, shared,
};
use tokio::sync::OnceCell;

struct Postgres {
    /// A database with the schema in it, which others are copied from.
    template: OnceCell<()>,
}

/// The databases of the checks are copies of it. Its name goes with the schema: a cluster may be older than that.
static TEMPLATE: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    include_str!("../crates/postgres-backend/migrations/0001_initial.sql").hash(&mut hasher);
    let walled = if has_row_security() { "_walled" } else { "" };
    format!("conformance_{:016x}{walled}", hasher.finish())
});

fn has_row_security() -> bool {
    env::var_os("THROUGHLINE_POSTGRES_ROW_SECURITY").is_some()
}

/// The URL for the role that the stores are opened as: a superuser, or one that row security holds.
fn as_role(url: &str) -> String {
    match url.split_once('@') {
        Some((_, address)) if has_row_security() => format!("postgres://walled:walled@{address}"),
        _ => url.to_owned(),
    }
}

fn options() -> PostgresOptions {
    if has_row_security() { PostgresBackend::builder().row_security() } else { PostgresBackend::builder() }
}

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
                run(format!("CREATE DATABASE {} TEMPLATE {}", place.name(), *TEMPLATE)).await?;
                let url = shared(place.name())?;
                // A copy has the key of the template. A store that is made has a key of its own.
                let own_key = "UPDATE throughline.store SET fingerprint_key = DEFAULT";
                run_in(&url, own_key.to_owned()).await?;
                let url = as_role(&url);
                fs::write(&known, &url)?;
                url
            }
        };
        // A limit that the checks can reach, a full-text index, and few connections: many stores are open at once.
        let options = options().max_content_bytes(1 << 20).writers(2).readers(3).search(true);
        let options = options.tokenizer(Tokenizer::Cjk);
        Ok(match behind_pooler(&url) {
            Some(url) => options.pgbouncer().open(&url).await?,
            None => options.open(&url).await?,
        })
    }

    async fn clean(&self, place: &Place) {
        // The end of the cluster removes a database that could not be dropped.
        drop(run(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", place.name())).await);
    }
}

/// Made once, whichever process comes first, and under its name only when it is whole.
async fn make_template() -> Result<(), BoxError> {
    let mut db = PgConnection::connect(&shared("postgres")?).await?;
    sqlx::raw_sql("SELECT pg_advisory_lock(1)").execute(&mut db).await?;
    let name = &*TEMPLATE;
    let made = sqlx::query("SELECT 1 FROM pg_database WHERE datname = $1")
        .bind(name)
        .fetch_optional(&mut db)
        .await?;
    if made.is_none() {
        let draft = format!("{name}_draft");
        for sql in
            [format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)"), format!("CREATE DATABASE {draft}")]
        {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await?;
        }
        if has_row_security() {
            let sql = format!(
                "DROP ROLE IF EXISTS walled; CREATE ROLE walled LOGIN PASSWORD 'walled'; GRANT CREATE ON DATABASE {draft} TO walled"
            );
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await?;
        }
        options().open(&as_role(&shared(&draft)?)).await?.close().await?;
        let sql = format!("ALTER DATABASE {draft} RENAME TO {name}");
        // The server may need a moment to end the closed connections.
        while sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut db).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    // Ends the lock.
    Ok(db.close().await?)
}

async fn run(sql: String) -> Result<(), BoxError> {
    run_in(&shared("postgres")?, sql).await
}

async fn run_in(url: &str, sql: String) -> Result<(), BoxError> {
    let mut db = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await?;
    Ok(db.close().await?)
}

#[allow(clippy::print_stdout, reason = "a skip is to be seen")]
fn main() -> ExitCode {
    if env::var_os(URL_VARIABLE).is_some() {
        return throughline_conformance::main(Postgres { template: OnceCell::new() });
    }
    let Some(installation) = Installation::find() else {
        println!("SKIPPED: the checks of the Postgres backend (PostgreSQL 15 or newer is not installed)");
        return ExitCode::SUCCESS;
    };
    match in_own_cluster(&installation) {
        Ok(code) => code,
        Err(error) => {
            println!("the checks of the Postgres backend were not run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs this program again, with a cluster for it and for the processes that it starts.
fn in_own_cluster(installation: &Installation) -> Result<ExitCode, BoxError> {
    let cluster = Cluster::start(installation)?;
    let mut program = Command::new(env::current_exe()?);
    program.args(env::args_os().skip(1)).env(URL_VARIABLE, cluster.url("postgres"));
    let pooler = match env::var(POOLER_VARIABLE) {
        Ok(wish) if wish == "start" => Some(Pooler::start(&cluster, &[("default_pool_size", "6")])?),
        _ => None,
    };
    if let Some(pooler) = &pooler {
        program.env(POOLER_VARIABLE, pooler.address());
    }
    let status = program.status()?;
    drop(pooler);
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
