//! The conformance checks of the backend on Postgres: one cluster, and a database of its own for each check.
//!
//! With `THROUGHLINE_POSTGRES_POOLER=start` the stores connect through a PgBouncer in transaction mode, and with
//! `THROUGHLINE_POSTGRES_PREPARED_STATEMENTS=1` too they keep prepared statements there. With
//! `THROUGHLINE_POSTGRES_ROW_SECURITY=1` the stores use row-level security, and the policies apply to their role.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    process::{Command, ExitCode},
    sync::LazyLock,
};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use throughline::{
    Backend as _, BoxError, IndexedMetadata,
    backend::search::Tokenizer,
    postgres::{PostgresBackend, PostgresOptions},
};
use throughline_conformance::{Fixture, Profile, StoreLocation};
use throughline_postgres_cluster::{
    Cluster, Installation, POOLER_VARIABLE, Pooler, URL_VARIABLE, behind_pooler, shared,
};
use tokio::sync::OnceCell;

struct Postgres {
    /// Set once the template database exists.
    template: OnceCell<()>,
}

/// The template of the databases of the checks. Its name contains a hash of the schema, because a cluster can be older.
static TEMPLATE: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = DefaultHasher::new();
    include_str!("../crates/postgres-backend/migrations/0001_initial.sql").hash(&mut hasher);
    let suffix = if has_row_security() { "_row_security" } else { "" };
    format!("conformance_{:016x}{suffix}", hasher.finish())
});

fn has_row_security() -> bool {
    env::var_os("THROUGHLINE_POSTGRES_ROW_SECURITY").is_some()
}

fn keeps_statements() -> bool {
    env::var_os("THROUGHLINE_POSTGRES_PREPARED_STATEMENTS").is_some()
}

/// The URL for the role that opens the stores: a superuser, or a role that the policies apply to.
fn as_role(url: &str) -> String {
    match url.split_once('@') {
        Some((_, host)) if has_row_security() => format!("postgres://tenant_role:tenant_role@{host}"),
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

    async fn open(&self, location: &StoreLocation) -> Result<PostgresBackend, BoxError> {
        // The other processes of the check read the URL from this file.
        let known = location.directory().join("url");
        let url = match fs::read_to_string(&known) {
            Ok(url) => url,
            Err(_) => {
                self.template.get_or_try_init(make_template).await?;
                run(format!("CREATE DATABASE {} TEMPLATE {}", location.name(), *TEMPLATE)).await?;
                let url = shared(location.name())?;
                // The copy has the key of the template, and every store needs its own.
                let own_key = "UPDATE throughline.store SET fingerprint_key = DEFAULT";
                run_in(&url, own_key.to_owned()).await?;
                let url = as_role(&url);
                fs::write(&known, &url)?;
                url
            }
        };
        // A content limit that the checks can reach, the full-text index, and few connections: many stores are open at once.
        let options = options().max_content_bytes(1 << 20).writers(2).readers(3).search(true);
        let options = options.tokenizer(Tokenizer::Cjk);
        let options = options.index_metadata(IndexedMetadata::new(["kind", "orderId"])?);
        Ok(match behind_pooler(&url) {
            Some(url) if keeps_statements() => options.prepared_statements().open(&url).await?,
            Some(url) => options.pgbouncer().open(&url).await?,
            None => options.open(&url).await?,
        })
    }

    async fn clean(&self, location: &StoreLocation) {
        // A database that stays is removed with the cluster.
        drop(run(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", location.name())).await);
    }
}

/// The first process creates the template. It renames the template only after the migration is complete.
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
                "DROP ROLE IF EXISTS tenant_role; CREATE ROLE tenant_role LOGIN PASSWORD 'tenant_role'; GRANT CREATE ON DATABASE {draft} TO tenant_role"
            );
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut db).await?;
        }
        options().open(&as_role(&shared(&draft)?)).await?.close().await?;
        let sql = format!("ALTER DATABASE {draft} RENAME TO {name}");
        // The server can take a moment to see that the last connection was closed.
        while sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut db).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    // The end of the connection releases the lock.
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

#[allow(clippy::print_stdout, reason = "the user must see a skip")]
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

/// Runs this program again with a cluster, which the program and its child processes use.
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
