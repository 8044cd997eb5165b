//! Row-level security on the connections of a store, with statements that lack the condition on the tenant.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use throughline_core::{
    ErrorKind, NewMessage, Persistence, Position, TenantId,
    changes::{ChangeScope, ReadChanges},
    messages::{Batch, PageFrom},
    threads::LabelPatch,
};
use throughline_postgres_cluster::{Cluster, Installation};

use super::Reach;
use crate::{
    OpenError, PostgresBackend, PostgresOptions,
    options::Settings,
    transaction::{Of, begin},
};

/// A name that would end an SQL string, and one that would add a tenant to the setting.
const ONE: &str = "o'n\\e";
const OTHER: &str = "x\\nother";

struct Scene {
    cluster: Cluster,
}

impl Scene {
    #[allow(clippy::print_stdout, reason = "a skip is to be seen")]
    fn start() -> Option<Self> {
        let Some(installation) = Installation::find() else {
            println!("SKIPPED: row security (PostgreSQL 15 or newer is not installed)");
            return None;
        };
        let cluster = Cluster::start(&installation).unwrap();
        let role = "CREATE ROLE walled LOGIN PASSWORD 'p'; GRANT CREATE ON DATABASE postgres TO walled; \
            CREATE ROLE guest LOGIN PASSWORD 'p'";
        cluster.run("postgres", role).unwrap();
        Some(Self { cluster })
    }

    fn url(&self, role: &str) -> String {
        format!("postgres://{role}:p@{}/postgres", self.cluster.address())
    }

    async fn open(&self, options: PostgresOptions, role: &str) -> Result<PostgresBackend, OpenError> {
        options.open(&self.url(role)).await
    }

    /// Counts as a superuser, to whom no policy applies.
    fn count(&self, sql: &str) -> u64 {
        self.cluster.run("postgres", sql).unwrap().parse().unwrap()
    }

    fn run(&self, sql: &str) {
        self.cluster.run("postgres", sql).unwrap();
    }
}

fn walled() -> PostgresOptions {
    PostgresBackend::builder().row_security()
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// Creates two tenants with rows in most tables.
async fn filled(db: &Persistence) {
    for name in [ONE, OTHER] {
        let db = db.for_tenant(tenant(name));
        let thread = db.thread("t");
        thread.add(NewMessage::user("hello")).key("k").await.unwrap();
        thread.label(LabelPatch::new().set("kind", "x").unwrap()).await.unwrap();
        let mut draft = thread.reserve(throughline_core::Role::Assistant).await.unwrap();
        draft.append("chunk").await.unwrap();
        draft.finish().await.unwrap();
    }
}

/// Opens a connection of the store, in a writing transaction with this reach.
async fn connection(settings: &Settings, reach: Reach) -> PgConnection {
    let limit = settings.options.answer_limit;
    let mut db = settings.servers.connect(limit).await.unwrap().connection;
    let begun = begin(settings, &mut db, Of::Writes, || reach, limit).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(begun.first)).execute(&mut db).await.unwrap();
    db
}

async fn seen(db: &mut PgConnection, sql: String) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(db).await.unwrap()
}

async fn refused(db: &mut PgConnection, sql: &str) {
    sqlx::raw_sql("SAVEPOINT s").execute(&mut *db).await.unwrap();
    let error = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *db).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("42501"), "{sql}: {error}");
    sqlx::raw_sql("ROLLBACK TO s").execute(db).await.unwrap();
}

const TABLES: &str = "SELECT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
    WHERE a.attname = 'tenant' AND c.relnamespace = 'throughline'::regnamespace AND c.relkind = 'r' ORDER BY 1";

#[tokio::test]
async fn statement_without_a_tenant_condition_cannot_access_other_tenants() {
    let Some(scene) = Scene::start() else { return };
    let backend = scene.open(walled(), "walled").await.unwrap();
    let settings = backend.reader.settings.clone();
    let store = Persistence::builder().backend(backend).build().unwrap();
    filled(&store).await;
    let mut db = connection(&settings, Reach::Tenants(BTreeSet::from([tenant(ONE)]))).await;
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut db).await.unwrap();
    let mut filled_tables = Vec::new();
    for table in &tables {
        let (mine, all) = (
            scene.count(&format!("SELECT count(*) FROM throughline.{table} WHERE tenant = E'o''n\\\\e'")),
            scene.count(&format!("SELECT count(*) FROM throughline.{table}")),
        );
        let found = seen(&mut db, format!("SELECT count(*) FROM throughline.{table}")).await;
        assert_eq!(found, i64::try_from(mine).unwrap(), "{table}");
        if mine > 0 {
            assert!(all > mine, "{table}");
            filled_tables.push(table.as_str());
        }
    }
    assert_eq!(filled_tables, ["changes", "keys", "labels", "messages", "threads"]);
    // Statements without a condition change only rows of this tenant.
    for (sql, reached) in
        [("UPDATE throughline.messages SET role = 'tool'", 2), ("DELETE FROM throughline.threads", 1)]
    {
        let done = sqlx::raw_sql(sql).execute(&mut db).await.unwrap();
        assert_eq!(done.rows_affected(), reached, "{sql}");
    }
    // A row of another tenant cannot be inserted, taken over or given away.
    for sql in [
        "INSERT INTO throughline.labels (tenant, thread, name, value) VALUES ('other', 't', 'n', 'v')",
        "UPDATE throughline.labels SET tenant = 'other'",
        "INSERT INTO throughline.labels SELECT E'x\\\\nother', thread, name, value FROM throughline.labels \
         ON CONFLICT (tenant, thread, name) DO UPDATE SET value = 'taken over'",
        "INSERT INTO throughline.changes (position, tenant, thread, at, kind) VALUES (99, 'other', 't', 0, '')",
    ] {
        refused(&mut db, sql).await;
    }
    drop(db);
    // Without a setting, or with the setting of an earlier transaction, no row is visible.
    let mut db = connection(&settings, Reach::none()).await;
    assert_eq!(seen(&mut db, "SELECT count(*) FROM throughline.messages".to_owned()).await, 0);
    sqlx::raw_sql(AssertSqlSafe(format!("COMMIT; BEGIN; {}COMMIT", Reach::Store.statement())))
        .execute(&mut db)
        .await
        .unwrap();
    assert_eq!(seen(&mut db, "SELECT count(*) FROM throughline.messages".to_owned()).await, 0);
    // The reach `store` spans the tenants.
    let mut db = connection(&settings, Reach::Store).await;
    assert_eq!(seen(&mut db, "SELECT count(*) FROM throughline.messages".to_owned()).await, 4);
}

#[tokio::test]
async fn tenants_share_transactions_and_trimming_spans_tenants() {
    const EACH: usize = 2100;
    let Some(scene) = Scene::start() else { return };
    let backend = scene.open(walled().writers(1).kept_changes(10), "walled").await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..40 {
        let name = if n % 2 == 0 { ONE } else { OTHER };
        let thread = db.for_tenant(tenant(name)).thread(format!("t{n}"));
        calls.spawn(async move { thread.add(NewMessage::user("x")).await.map(drop) });
    }
    while let Some(called) = calls.join_next().await {
        called.unwrap().unwrap();
    }
    let transactions = scene.count("SELECT max(batch) FROM throughline.writers");
    assert!(transactions < 40, "{transactions}");
    let read = |scope: ChangeScope| ReadChanges::new(scope, Position::ZERO, 100);
    let one = db.for_tenant(tenant(ONE));
    assert_eq!(one.read(read(ChangeScope::Store)).await.unwrap().changes.len(), 40);
    let changes = one.read(read(ChangeScope::Tenant)).await.unwrap();
    assert_eq!((changes.changes.len(), changes.position.get()), (20, 40));
    // Enough writes to trim changes of both tenants.
    for name in [ONE, OTHER] {
        let db = db.for_tenant(tenant(name));
        for _ in 0..EACH / 350 {
            let mut batch = Batch::new();
            for _ in 0..350 {
                batch = batch
                    .with(throughline_core::messages::Add::new("t".parse().unwrap(), NewMessage::user("x")));
            }
            db.run(batch).await.unwrap();
        }
    }
    let gone = "SELECT kept_after FROM throughline.store";
    assert!(scene.count(gone) > 4000);
    let left =
        "SELECT count(*) FROM throughline.changes c, throughline.store s WHERE c.position <= s.kept_after";
    assert_eq!(scene.count(left), 0);
    let error = db.read(read(ChangeScope::Store)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooOld);
}

#[tokio::test]
async fn row_security_is_created_on_request_and_refused_if_it_was_changed() {
    let Some(scene) = Scene::start() else { return };
    let refusal = |opened: Result<PostgresBackend, OpenError>| match opened {
        Err(OpenError::RowSecurity { reason }) => reason,
        other => panic!("{other:?}"),
    };
    let free = walled().open(&scene.cluster.url("postgres")).await;
    assert!(refusal(free).contains("superuser"));
    // Without the option, there is no policy.
    drop(scene.open(PostgresBackend::builder(), "walled").await.unwrap());
    assert_eq!(scene.count("SELECT count(*) FROM pg_policy"), 0);
    // A role that does not own the tables cannot create the policies.
    scene.run(
        "GRANT USAGE ON SCHEMA throughline TO guest; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA throughline TO guest",
    );
    assert!(refusal(scene.open(walled(), "guest").await).contains("does not own"));
    let owner = scene.open(walled(), "walled").await.unwrap();
    let owner = Persistence::builder().backend(owner).build().unwrap();
    let guest = Persistence::builder().backend(scene.open(walled(), "guest").await.unwrap()).build().unwrap();
    guest.thread("t").add(NewMessage::user("x")).await.unwrap();
    assert!(
        refusal(scene.open(PostgresBackend::builder(), "walled").await)
            .contains("`PostgresOptions::row_security`")
    );
    // Changed policies fail the call as denied: missing rows would look like rows that do not exist.
    for (change, back) in [
        (
            "CREATE POLICY less ON throughline.messages AS RESTRICTIVE USING (false)",
            "DROP POLICY less ON throughline.messages",
        ),
        (
            "ALTER TABLE throughline.keys NO FORCE ROW LEVEL SECURITY",
            "ALTER TABLE throughline.keys FORCE ROW LEVEL SECURITY",
        ),
        (
            "ALTER TABLE throughline.labels DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE throughline.labels ENABLE ROW LEVEL SECURITY",
        ),
    ] {
        scene.run(change);
        let thread = owner.thread("t");
        for kind in [
            thread.page(PageFrom::End, 10).await.unwrap_err().kind(),
            thread.add(NewMessage::user("x")).await.unwrap_err().kind(),
        ] {
            assert_eq!(kind, ErrorKind::Denied, "{change}");
        }
        scene.run(back);
        assert_eq!(thread.page(PageFrom::End, 10).await.unwrap().messages.len(), 1, "{back}");
    }
    scene.run("CREATE POLICY more ON throughline.messages USING (true)");
    assert!(refusal(scene.open(walled(), "walled").await).contains("another policy than"));
}

#[tokio::test]
async fn transactions_without_row_security_do_not_set_the_reach() {
    let Some(scene) = Scene::start() else { return };
    let backend = scene.open(PostgresBackend::builder(), "walled").await.unwrap();
    let limit = backend.reader.settings.options.answer_limit;
    let mut db = PgConnection::connect(&scene.url("walled")).await.unwrap();
    let begun = begin(&backend.reader.settings, &mut db, Of::Reads, || Reach::Store, limit).await.unwrap();
    assert_eq!(begun.first, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ");
    assert!(begun.is_optional);
}
