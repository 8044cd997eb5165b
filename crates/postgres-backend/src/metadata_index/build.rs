//! Builds the index of a new name from the stored messages, and removes the entries of a dropped one, in small
//! transactions.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};
use throughline_core::{IndexedMetadata, Metadata};
use tokio::time::sleep;

use crate::{
    error::Failure,
    options::Settings,
    row_security::Reach,
    transaction::{Of, begin},
    writer::{Link, Locks, in_time},
};

/// The most messages, or removed entries, of one step.
const MESSAGES: i64 = 256;

/// The pause between two steps, so that the writers of the store are not slowed down.
const REST: Duration = Duration::from_millis(10);

/// The pause while another host does the work.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// The shortest and the longest pause after a failure.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Holds the next incomplete index, unless another host holds it.
const HOLD: &str = "SELECT n, name, recovered_tenant, recovered_thread, recovered_id FROM throughline.metadata_names \
    WHERE NOT is_complete ORDER BY n LIMIT 1 FOR UPDATE SKIP LOCKED";

const HAS_WORK: &str = "SELECT EXISTS (SELECT 1 FROM throughline.metadata_names WHERE NOT is_complete)";

const KEYS: &str = "SELECT m.tenant, m.thread, m.id FROM throughline.messages m \
    WHERE (m.tenant, m.thread, m.id) > ($1, $2, $3) ORDER BY m.tenant, m.thread, m.id LIMIT $4";

const MESSAGES_OF_KEYS: &str = "SELECT m.tenant, m.thread, m.id, m.seq, m.created_at, m.metadata \
    FROM unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, thread, id) \
    JOIN throughline.messages m ON m.tenant = k.tenant AND m.thread = k.thread AND m.id = k.id \
    WHERE m.seq IS NOT NULL AND m.metadata IS NOT NULL";

const INSERT: &str = "INSERT INTO throughline.metadata_values (tenant, thread, id, n, value, created_at, seq) \
    SELECT k.tenant, k.thread, k.id, $1, k.value, k.created_at, k.seq \
    FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[]) \
    AS k (tenant, thread, id, value, created_at, seq) ON CONFLICT (tenant, thread, id, n) DO NOTHING";

const RECORD: &str = "UPDATE throughline.metadata_names SET is_complete = $2, recovered_tenant = $3, recovered_thread = $4, \
    recovered_id = $5 WHERE n = $1";

const ENTRIES: &str = "SELECT DISTINCT v.tenant, v.thread, v.id FROM throughline.metadata_values v \
    WHERE (v.tenant, v.thread, v.id) > ($1, $2, $3) ORDER BY v.tenant, v.thread, v.id LIMIT $4";

const REMOVE: &str = "DELETE FROM throughline.metadata_values v \
    USING unnest($2::text[], $3::text[], $4::text[]) AS k (tenant, thread, id) \
    WHERE v.tenant = k.tenant AND v.thread = k.thread AND v.id = k.id AND v.n = $1";

/// The tenant, the thread and the id of a message.
type Names = (String, String, String);

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Taken,
    /// Another host does the work.
    Elsewhere,
    Done,
}

/// Works until every index is complete.
pub(crate) async fn keep(settings: Settings) {
    let mut link = Link::new(settings.clone());
    let mut pause = PAUSE;
    loop {
        match step(&settings, &mut link).await {
            Ok(Step::Taken) => {
                pause = PAUSE;
                sleep(REST).await;
            }
            Ok(Step::Elsewhere) => sleep(ELSEWHERE).await,
            Ok(Step::Done) => return link.close().await,
            Err(failure) => {
                tracing::debug!(kind = %failure.kind, "the building of a metadata index is interrupted");
                link.lose();
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Performs a step in a transaction of its own, without waiting for its flush. If it is lost, its progress is lost with it.
async fn step(settings: &Settings, link: &mut Link) -> Result<Step, Failure> {
    link.get().await?;
    // Taken out of the link: if this future is dropped in the middle, the connection closes.
    let mut db = link.take().ok_or_else(Failure::lost)?;
    let begun = begin(settings, &mut db, Of::Writes, || Reach::Store, settings.options.wait_limit).await?;
    link.set_timeline(begun.timeline);
    let work = async {
        let first = format!("{}SET LOCAL synchronous_commit = off", begun.first);
        sqlx::raw_sql(AssertSqlSafe(first)).execute(&mut db).await?;
        let step = take(&mut db).await?;
        let end = if step == Step::Taken { "COMMIT" } else { "ROLLBACK" };
        sqlx::raw_sql(end).execute(&mut db).await?;
        Ok(step)
    };
    let step = in_time(settings.options.answer_limit + settings.options.wait_limit, work).await?;
    link.bring_back(db);
    Ok(step)
}

async fn take(db: &mut PgConnection) -> sqlx::Result<Step> {
    let Some(held) = sqlx::query(HOLD).fetch_optional(&mut *db).await? else {
        let has_work: bool = sqlx::query_scalar(HAS_WORK).fetch_one(&mut *db).await?;
        return Ok(if has_work { Step::Elsewhere } else { Step::Done });
    };
    let n: i32 = held.try_get("n")?;
    let after =
        (held.try_get("recovered_tenant")?, held.try_get("recovered_thread")?, held.try_get("recovered_id")?);
    let name: Option<String> = held.try_get("name")?;
    let keys = keys(db, if name.is_some() { KEYS } else { ENTRIES }, &after).await?;
    let Some(last) = keys.last() else {
        match name {
            Some(_) => record(db, n, true, &after).await?,
            None => {
                sqlx::query("DELETE FROM throughline.metadata_names WHERE n = $1")
                    .bind(n)
                    .execute(db)
                    .await?;
            }
        }
        return Ok(Step::Taken);
    };
    match name {
        Some(name) => add(db, n, &name, &keys).await?,
        None => {
            let [tenants, threads, ids] = columns(&keys);
            sqlx::query(REMOVE).bind(n).bind(tenants).bind(threads).bind(ids).execute(&mut *db).await?;
        }
    }
    record(db, n, false, last).await?;
    Ok(Step::Taken)
}

async fn keys(db: &mut PgConnection, sql: &'static str, after: &Names) -> sqlx::Result<Vec<Names>> {
    let (tenant, thread, id) = after;
    let rows = sqlx::query(sql).bind(tenant).bind(thread).bind(id).bind(MESSAGES).fetch_all(&mut *db).await?;
    rows.iter().map(names).collect()
}

fn names(row: &PgRow) -> sqlx::Result<Names> {
    Ok((row.try_get("tenant")?, row.try_get("thread")?, row.try_get("id")?))
}

/// Adds messages to an index. It takes the locks of their threads, as a write does: no write changes a message between the
/// look-up and the commit of its entry.
async fn add(db: &mut PgConnection, n: i32, name: &str, keys: &[Names]) -> sqlx::Result<()> {
    let threads: BTreeSet<(&str, &str)> =
        keys.iter().map(|(tenant, thread, _)| (tenant.as_str(), thread.as_str())).collect();
    sqlx::raw_sql(AssertSqlSafe(Locks::of_threads(threads).statement())).execute(&mut *db).await?;
    let [tenants, threads, ids] = columns(keys);
    let rows =
        sqlx::query(MESSAGES_OF_KEYS).bind(tenants).bind(threads).bind(ids).fetch_all(&mut *db).await?;
    let indexed = IndexedMetadata::new([name]).unwrap_or_default();
    let (mut found, mut values, mut times, mut seqs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        // A damaged row is found when it is read.
        let Ok(metadata) = serde_json::from_str::<Metadata>(row.try_get("metadata")?) else { continue };
        if let Some((_, value)) = indexed.fields(&metadata).next() {
            found.push(names(row)?);
            values.push(value.index_key());
            times.push(row.try_get::<i64, _>("created_at")?);
            seqs.push(row.try_get::<i64, _>("seq")?);
        }
    }
    let [tenants, threads, ids] = columns(&found);
    sqlx::query(INSERT)
        .bind(n)
        .bind(tenants)
        .bind(threads)
        .bind(ids)
        .bind(values)
        .bind(times)
        .bind(seqs)
        .execute(db)
        .await
        .map(drop)
}

async fn record(db: &mut PgConnection, n: i32, is_complete: bool, last: &Names) -> sqlx::Result<()> {
    let (tenant, thread, id) = last;
    let query = sqlx::query(RECORD).bind(n).bind(is_complete).bind(tenant).bind(thread).bind(id);
    query.execute(db).await.map(drop)
}

fn columns(keys: &[Names]) -> [Vec<&str>; 3] {
    [
        keys.iter().map(|(tenant, ..)| tenant.as_str()).collect(),
        keys.iter().map(|(_, thread, _)| thread.as_str()).collect(),
        keys.iter().map(|(.., id)| id.as_str()).collect(),
    ]
}
