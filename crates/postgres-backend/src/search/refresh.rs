//! Updates the index rows of single messages.

use sqlx::{PgConnection, Row as _};
use throughline_core::Content;

use super::{
    state::{Names, TermMaker},
    words::parts,
};
use crate::rows::number;

/// The most bytes of content in one step; one message may exceed them.
const BYTES: u64 = 4 << 20;

/// The most rows that one statement deletes.
pub(super) const ROWS: u64 = 2048;

/// The named messages that exist, are final and not cleared.
macro_rules! found {
    ($columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (tenant, thread, id, n) \
             JOIN throughline.messages m ON m.tenant = k.tenant AND m.thread = k.thread AND m.id = k.id \
             JOIN throughline.threads t ON t.tenant = k.tenant AND t.thread = k.thread \
             WHERE m.state = 'final' AND coalesce(m.seq, 0) > t.floor AND NOT t.deleted ORDER BY k.n"
        )
    };
}

const SIZES: &str = found!("k.n, m.content_bytes");
const CONTENTS: &str = found!("k.tenant, k.thread, k.id, m.seq, m.created_at, m.content");

const DELETE: &str = "DELETE FROM throughline.search s USING unnest($1::text[], $2::text[], $3::text[]) AS k (tenant, thread, id) \
    WHERE s.tenant = k.tenant AND s.thread = k.thread AND s.id = k.id";

const INSERT: &str = "INSERT INTO throughline.search (tenant, thread, id, part, seq, created_at, words) \
    SELECT k.tenant, k.thread, k.id, k.part, k.seq, k.created_at, k.words::tsvector \
    FROM unnest($1::text[], $2::text[], $3::text[], $4::integer[], $5::bigint[], $6::bigint[], $7::text[]) \
    AS k (tenant, thread, id, part, seq, created_at, words)";

fn columns(keys: &[Names]) -> [Vec<&str>; 3] {
    let part = |of: fn(&Names) -> &str| keys.iter().map(of).collect();
    [part(|key| &key.0), part(|key| &key.1), part(|key| &key.2)]
}

/// Returns how many of these messages one step may index: at least one.
pub(super) async fn how_many(db: &mut PgConnection, keys: &[Names]) -> sqlx::Result<usize> {
    let [tenants, threads, ids] = columns(keys);
    let found = sqlx::query(SIZES).bind(tenants).bind(threads).bind(ids).fetch_all(db).await?;
    let mut bytes: u64 = 0;
    for row in &found {
        let (n, size): (i64, i64) = (row.try_get("n")?, row.try_get("content_bytes")?);
        if bytes > 0 && bytes.saturating_add(size.unsigned_abs()) > BYTES {
            // The numbers start at one.
            return Ok(usize::try_from(n).unwrap_or(1).saturating_sub(1));
        }
        bytes = bytes.saturating_add(size.unsigned_abs());
    }
    Ok(keys.len())
}

/// Updates the index rows of these messages. Without terms, it only deletes them.
pub(super) async fn refresh(
    db: &mut PgConnection,
    keys: &[Names],
    term_maker: Option<TermMaker>,
) -> sqlx::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    let [tenants, threads, ids] = columns(keys);
    let bound = sqlx::query(DELETE).bind(&tenants).bind(&threads).bind(&ids);
    bound.execute(&mut *db).await?;
    let Some(term_maker) = term_maker else { return Ok(()) };
    let rows = sqlx::query(CONTENTS).bind(tenants).bind(threads).bind(ids).fetch_all(&mut *db).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let names: Names = (row.try_get("tenant")?, row.try_get("thread")?, row.try_get("id")?);
        let order: (i64, i64) = (row.try_get("seq")?, row.try_get("created_at")?);
        found.push((names, order, row.try_get::<Option<String>, _>("content")?));
    }
    drop(rows);
    // Off the runtime threads, so that neither writers nor readers wait.
    let counted = tokio::task::spawn_blocking(move || {
        found.into_iter().map(|found| Words::of(term_maker, found)).collect::<Vec<_>>()
    });
    let words = counted.await.map_err(|_| sqlx::Error::WorkerCrashed)?;
    insert(db, &words).await
}

/// The index rows of a message.
struct Words {
    names: Names,
    seq: i64,
    created_at: i64,
    parts: Vec<String>,
}

impl Words {
    /// A message that cannot be decoded gets no terms; its readers receive the error.
    fn of(
        term_maker: TermMaker,
        (names, (seq, created_at), content): (Names, (i64, i64), Option<String>),
    ) -> Self {
        let content = content.and_then(|json| Content::from_json(json).ok());
        let terms =
            content.map(|content| term_maker.terms(&content.plain_text(usize::MAX))).unwrap_or_default();
        let parts = parts(&term_maker.prefix(&names.0), &terms);
        Self { names, seq, created_at, parts }
    }
}

async fn insert(db: &mut PgConnection, words: &[Words]) -> sqlx::Result<()> {
    let (mut tenants, mut threads, mut ids) = (vec![], vec![], vec![]);
    let (mut numbers, mut seqs, mut times, mut texts) = (vec![], vec![], vec![], vec![]);
    for message in words {
        for (number, part) in (0_i32..).zip(&message.parts) {
            let (tenant, thread, id) = &message.names;
            tenants.push(tenant.as_str());
            threads.push(thread.as_str());
            ids.push(id.as_str());
            numbers.push(number);
            seqs.push(message.seq);
            times.push(message.created_at);
            texts.push(part.as_str());
        }
    }
    if tenants.is_empty() {
        return Ok(());
    }
    sqlx::query(INSERT)
        .bind(tenants)
        .bind(threads)
        .bind(ids)
        .bind(numbers)
        .bind(seqs)
        .bind(times)
        .bind(texts)
        .execute(db)
        .await
        .map(drop)
}

/// Deletes some index rows of a thread, up to a sequence number. Returns whether there may be more.
pub(super) async fn gone(
    db: &mut PgConnection,
    tenant: &str,
    thread: &str,
    through: u64,
) -> sqlx::Result<bool> {
    let last = "SELECT max(l.id) AS last, count(*) AS gone FROM (SELECT g.id FROM throughline.search g \
        WHERE g.tenant = $1 AND g.thread = $2 AND g.seq <= $3 ORDER BY g.id LIMIT $4) l";
    let bound = sqlx::query(last).bind(tenant).bind(thread).bind(number(through)).bind(number(ROWS));
    let row = bound.fetch_one(&mut *db).await?;
    let (last, going): (Option<String>, i64) = (row.try_get("last")?, row.try_get("gone")?);
    if let Some(last) = last {
        let gone = "DELETE FROM throughline.search s WHERE s.tenant = $1 AND s.thread = $2 AND s.id <= $3 AND s.seq <= $4";
        let bound = sqlx::query(gone).bind(tenant).bind(thread).bind(last).bind(number(through));
        bound.execute(db).await?;
    }
    Ok(going == number(ROWS))
}

/// Deletes some index rows of the store. Returns whether there were any.
pub(super) async fn empty(db: &mut PgConnection) -> sqlx::Result<bool> {
    let last = "SELECT g.tenant, g.thread, g.id FROM throughline.search g ORDER BY g.tenant, g.thread, g.id OFFSET $1 LIMIT 1";
    let last = sqlx::query(last).bind(number(ROWS)).fetch_optional(&mut *db).await?;
    let gone = match last {
        Some(row) => {
            let (tenant, thread, id): Names =
                (row.try_get("tenant")?, row.try_get("thread")?, row.try_get("id")?);
            let up_to = "DELETE FROM throughline.search s WHERE (s.tenant, s.thread, s.id) <= ($1, $2, $3)";
            sqlx::query(up_to).bind(tenant).bind(thread).bind(id).execute(db).await?
        }
        None => sqlx::query("DELETE FROM throughline.search").execute(db).await?,
    };
    Ok(gone.rows_affected() > 0)
}
