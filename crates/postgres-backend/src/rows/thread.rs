//! Rows of threads.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
};

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{
    Labels, Metadata, OwnerId, Seq, Timestamp, Title,
    backend::{ThreadCounters, ThreadStats},
    threads::{ForkPoint, Generation},
};
use throughline_engine::{
    StagedRows,
    rows::{ThreadKey, ThreadRow},
};

use super::{Source, ThreadCache, Writing, counter, number, session::json};
use crate::error::damaged;

/// Decodes [`thread_columns!`]; `None` if columns other than the summary are damaged.
pub(crate) fn decode_thread(row: &PgRow) -> sqlx::Result<Option<ThreadRow>> {
    let count = |column| row.try_get(column).map(counter);
    let fields = (
        count("last_seq")?,
        count("floor")?,
        count("generation")?,
        count("live")?,
        count("names")?,
        count("gone_question")?,
    );
    let (Some(last), Some(floor), Some(generation), Some(live), Some(aliases), Some(question)) = fields
    else {
        return Ok(None);
    };
    let entry: Option<&str> = row.try_get("entry")?;
    let entry = entry.and_then(|json| serde_json::from_str::<Entry<'_>>(json).ok());
    Ok(Some(ThreadRow {
        last_seq: Seq::new(last),
        floor: Seq::new(floor),
        generation: Generation::new(generation),
        live: Some(live),
        aliases,
        removed_at: Timestamp::from_micros(row.try_get("gone_at")?),
        removed_question: (question > 0).then(|| Seq::new(question)),
        deleted: row.try_get("deleted")?,
        purgeable: row.try_get("purgeable")?,
        summary: entry.and_then(Entry::into_stats),
        order_is_damaged: false,
    }))
}

/// The columns of a thread `t`.
macro_rules! thread_columns {
    () => {
        "t.thread, t.last_seq, t.floor, t.generation, t.live, t.names, t.gone_at, t.gone_question, t.deleted, \
         t.purgeable, t.entry"
    };
}
pub(crate) use thread_columns;

/// The summary of a thread and its other facts, as the column `entry` stores them.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    title: String,
    owner: Option<OwnerId>,
    labels: Labels,
    metadata: Metadata,
    archived: bool,
    hidden: bool,
    has_begun: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    reuses_ids: bool,
    forked_from: Option<ForkPoint>,
    created_at: Timestamp,
    changed_at: Timestamp,
    messages: u64,
    turns: u64,
    bytes: u64,
    preview_seq: Option<Seq>,
    #[serde(borrow)]
    preview: Option<std::borrow::Cow<'a, str>>,
    active_at: Timestamp,
}

impl<'a> Entry<'a> {
    fn of(stats: &'a ThreadStats) -> Self {
        let counters = &stats.counters;
        Self {
            title: stats.title.as_str().to_owned(),
            owner: stats.owner.clone(),
            labels: stats.labels.clone(),
            metadata: stats.metadata.clone(),
            archived: stats.archived,
            hidden: stats.hidden,
            has_begun: stats.has_begun,
            reuses_ids: stats.reuses_ids,
            forked_from: stats.forked_from.clone(),
            created_at: stats.created_at,
            changed_at: stats.changed_at,
            messages: counters.messages,
            turns: counters.turns,
            bytes: counters.bytes,
            preview_seq: counters.preview_seq,
            preview: counters.preview.as_deref().map(Into::into),
            active_at: counters.active_at,
        }
    }

    fn into_stats(self) -> Option<ThreadStats> {
        Some(ThreadStats {
            title: Title::new(self.title).ok()?,
            owner: self.owner,
            labels: self.labels,
            metadata: self.metadata,
            archived: self.archived,
            hidden: self.hidden,
            has_begun: self.has_begun,
            reuses_ids: self.reuses_ids,
            forked_from: self.forked_from,
            created_at: self.created_at,
            changed_at: self.changed_at,
            counters: ThreadCounters {
                messages: self.messages,
                turns: self.turns,
                bytes: self.bytes,
                preview_seq: self.preview_seq,
                preview: self.preview.map(Into::into),
                active_at: self.active_at,
            },
        })
    }
}

/// Reads the threads with the keys `k`.
macro_rules! read {
    ($keys:expr) => {
        concat!(
            "SELECT t.tenant, ",
            thread_columns!(),
            " FROM unnest(",
            $keys,
            ") AS k (tenant, thread) JOIN throughline.threads t ON t.tenant = k.tenant AND t.thread = k.thread"
        )
    };
}

const READ: &str = read!("$1::text[], $2::text[]");

/// Returns the query for the recorded threads, for a message of several statements, which has no parameters. The names are in it as the
/// hexadecimal digits of their bytes, so nothing in them has a meaning in SQL.
pub(super) fn query(keys: &[ThreadKey]) -> String {
    let (tenants, threads) = columns(keys.iter());
    format!(read!("ARRAY[{}]::text[], ARRAY[{}]::text[]"), in_digits(&tenants), in_digits(&threads))
}

fn in_digits(names: &[&str]) -> String {
    let mut sql = String::new();
    for name in names {
        sql.push_str(if sql.is_empty() { "convert_from(decode('" } else { ",convert_from(decode('" });
        for byte in name.bytes() {
            // Writing into a string does not fail.
            let _ = write!(sql, "{byte:02x}");
        }
        sql.push_str("','hex'),'UTF8')");
    }
    sql
}

pub(super) async fn load(source: &mut Source, db: &mut PgConnection) -> sqlx::Result<()> {
    let keys = source.threads.take_wanted();
    if !keys.is_empty() {
        let (tenants, threads) = columns(keys.iter());
        let found = sqlx::query(READ).bind(tenants).bind(threads).fetch_all(&mut *db).await?;
        insert_found(source, &keys, &found)?;
    }
    load_labels(source, db).await
}

/// Inserts the rows of [`read!`] for these keys.
pub(super) fn insert_found(source: &mut Source, keys: &[ThreadKey], found: &[PgRow]) -> sqlx::Result<()> {
    let mut loaded = HashMap::with_capacity(found.len());
    for row in found {
        let (tenant, thread): (&str, &str) = (row.try_get("tenant")?, row.try_get("thread")?);
        let Some(state) = decode_thread(row)? else {
            return Err(damaged(format!("the row of the thread `{thread}`")));
        };
        loaded.insert((tenant, thread), state);
    }
    for key in keys {
        let row = loaded.remove(&(key.tenant.as_str(), key.thread.as_str()));
        source.thread_cache.compare(key, row.as_ref());
        source.threads.insert(key.clone(), row);
    }
    Ok(())
}

/// Loads the labels and owners of threads with damaged summaries.
async fn load_labels(source: &mut Source, db: &mut PgConnection) -> sqlx::Result<()> {
    for key in source.labels.take_wanted() {
        let found =
            sqlx::query("SELECT name, value FROM throughline.labels WHERE tenant = $1 AND thread = $2")
                .bind(key.tenant.as_str())
                .bind(key.thread.as_str())
                .fetch_all(&mut *db)
                .await?;
        let (mut labels, mut owner) = (Labels::new(), None);
        for row in &found {
            let (name, value): (&str, &str) = (row.try_get("name")?, row.try_get("value")?);
            if name.is_empty() {
                owner = OwnerId::new(value).ok();
            } else if let (Ok(name), Ok(value)) = (name.parse(), value.parse()) {
                labels.set(name, value);
            }
        }
        source.labels.insert(key, (labels, owner));
    }
    Ok(())
}

/// Returns each part of the keys as a column.
pub(super) fn columns<'k>(keys: impl Iterator<Item = &'k ThreadKey>) -> (Vec<&'k str>, Vec<&'k str>) {
    keys.map(|key| (key.tenant.as_str(), key.thread.as_str())).unzip()
}

/// The parameters of the statements that write threads, in the order of [`bind`], and further ones.
macro_rules! given {
    () => {
        given!("", "")
    };
    ($more:literal, $names:literal) => {
        concat!("unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], \
         $9::bigint[], $10::boolean[], $11::boolean[], $12::boolean[], $13::boolean[], $14::bigint[], $15::bigint[], \
         $16::text[]", $more, ") AS k (tenant, thread, last_seq, floor, generation, live, names, gone_at, gone_question, deleted, \
         purgeable, listed, archived, active_at, created_at, entry", $names, ")")
    };
}

const INSERT: &str = concat!(
    "INSERT INTO throughline.threads (tenant, thread, last_seq, floor, generation, live, names, gone_at, gone_question, \
     deleted, purgeable, listed, archived, active_at, created_at, entry) SELECT k.* FROM ",
    given!()
);

macro_rules! update {
    ($($given:tt)*) => {
        concat!(
            "UPDATE throughline.threads t SET last_seq = k.last_seq, floor = k.floor, generation = k.generation, live = k.live, \
             names = k.names, gone_at = k.gone_at, gone_question = k.gone_question, deleted = k.deleted, purgeable = k.purgeable, \
             listed = k.listed, archived = k.archived, active_at = k.active_at, created_at = k.created_at, entry = k.entry FROM ",
            $($given)*,
            " WHERE t.tenant = k.tenant AND t.thread = k.thread"
        )
    };
}

const UPDATE: &str = update!(given!());

/// Updates the rows that still have the given [text](stored_text), if the advisory locks of all of them are free.
const UPDATE_UNCHANGED: &str = concat!(
    update!(given!(", $17::text[]", ", stored")),
    " AND (SELECT count(*) FROM locked) = $18 AND concat_ws(' ', t.last_seq, t.floor, t.generation, t.live, t.names, t.gone_at, \
     t.gone_question, t.deleted, t.purgeable, t.entry) = k.stored"
);

/// Returns the columns of a row in one text, as `UPDATE_UNCHANGED` compares them. `None` if the row has no summary.
pub(super) fn stored_text(row: &ThreadRow) -> Option<String> {
    let flag = |is_set| if is_set { 't' } else { 'f' };
    let summary = row.summary.as_ref()?;
    Some(format!(
        "{} {} {} {} {} {} {} {} {} {}",
        number(row.last_seq.get()),
        number(row.floor.get()),
        number(row.generation.get()),
        number(row.live.unwrap_or_default()),
        number(row.aliases),
        row.removed_at.as_micros(),
        number(row.removed_question.map_or(0, Seq::get)),
        flag(row.deleted),
        flag(row.purgeable),
        json(&Entry::of(summary)),
    ))
}

/// Writes changed threads, if each is still as the cache has it and the advisory locks with these numbers are free. Returns `None` if
/// the cache lacks a row.
pub(super) fn write_unchanged(
    staged: &StagedRows,
    cache: &ThreadCache,
    locks: Vec<i64>,
    writing: &mut Writing,
) -> Option<()> {
    let changed: Vec<_> = staged.threads.updated().collect();
    if staged.threads.added().next().is_some() || !staged.relabeled.items().is_empty() {
        return None;
    }
    let stored = changed.iter().map(|(key, _)| cache.stored_text(key)).collect::<Option<Vec<_>>>()?;
    let (count, rows) = (number(locks.len() as u64), changed.len());
    writing
        .first(
            "locked AS MATERIALIZED (SELECT 1 FROM unnest($1::bigint[]) AS k (number) \
             WHERE pg_try_advisory_xact_lock(k.number))",
        )
        .bind(locks);
    let part = writing.part(UPDATE_UNCHANGED);
    bind(&changed, part);
    part.bind(stored).bind(count).expect_rows(rows);
    Some(())
}

pub(super) fn write(staged: &StagedRows, writing: &mut Writing) {
    for (changed, sql) in
        [(staged.threads.added().collect::<Vec<_>>(), INSERT), (staged.threads.updated().collect(), UPDATE)]
    {
        if !changed.is_empty() {
            bind(&changed, writing.part(sql));
        }
    }
    write_labels(staged, writing);
}

fn bind(changed: &[(&ThreadKey, &ThreadRow)], part: &mut Writing) {
    let count =
        |of: fn(&ThreadRow) -> u64| changed.iter().map(|(_, row)| number(of(row))).collect::<Vec<_>>();
    let flag = |of: fn(&ThreadRow) -> bool| changed.iter().map(|(_, row)| of(row)).collect::<Vec<_>>();
    let entries: Vec<Option<String>> = changed
        .iter()
        .map(|(_, row)| row.summary.as_ref().map(|summary| json(&Entry::of(summary))))
        .collect();
    let active_at =
        |row: &ThreadRow| row.summary.as_ref().map_or(0, |summary| summary.counters.active_at.as_micros());
    let created_at = |row: &ThreadRow| {
        let shown = row.summary.as_ref().filter(|summary| !summary.hidden);
        shown.map(|summary| summary.created_at.as_micros())
    };
    let (tenants, threads) = columns(changed.iter().map(|(key, _)| *key));
    part.bind(tenants)
        .bind(threads)
        .bind(count(|row| row.last_seq.get()))
        .bind(count(|row| row.floor.get()))
        .bind(count(|row| row.generation.get()))
        .bind(count(|row| row.live.unwrap_or_default()))
        .bind(count(|row| row.aliases))
        .bind(changed.iter().map(|(_, row)| row.removed_at.as_micros()).collect::<Vec<_>>())
        .bind(count(|row| row.removed_question.map_or(0, Seq::get)))
        .bind(flag(|row| row.deleted))
        .bind(flag(|row| row.purgeable))
        .bind(flag(|row| row.summary.as_ref().is_some_and(ThreadStats::is_listed)))
        .bind(flag(|row| row.summary.as_ref().is_some_and(|summary| summary.archived)))
        .bind(changed.iter().map(|(_, row)| active_at(row)).collect::<Vec<_>>())
        .bind(changed.iter().map(|(_, row)| created_at(row)).collect::<Vec<_>>())
        .bind(entries);
}

/// Writes the current labels and deletes the former ones.
fn write_labels(staged: &StagedRows, writing: &mut Writing) {
    let relabeled: BTreeSet<&ThreadKey> = staged.relabeled.items().iter().collect();
    if relabeled.is_empty() {
        return;
    }
    let (mut tenants, mut threads, mut names, mut values) = (vec![], vec![], vec![], vec![]);
    for (key, row) in staged.threads.changed() {
        let Some(summary) = row.summary.as_ref().filter(|_| relabeled.contains(key)) else { continue };
        let labels = summary.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let owner = summary.owner.as_ref().map(|owner| ("", owner.as_str()));
        for (name, value) in labels.chain(owner) {
            tenants.push(key.tenant.as_str());
            threads.push(key.thread.as_str());
            names.push(name);
            values.push(value);
        }
    }
    let (of_tenants, of_threads) = columns(relabeled.iter().copied());
    writing
        .part(
            "DELETE FROM throughline.labels l USING unnest($1::text[], $2::text[]) AS k (tenant, thread) \
             WHERE l.tenant = k.tenant AND l.thread = k.thread \
             AND (l.tenant, l.thread, l.name) NOT IN (SELECT * FROM unnest($3::text[], $4::text[], $5::text[]))",
        )
        .bind(of_tenants)
        .bind(of_threads)
        .bind(&tenants)
        .bind(&threads)
        .bind(&names);
    if !tenants.is_empty() {
        writing
            .part(
                "INSERT INTO throughline.labels (tenant, thread, name, value) \
                 SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) \
                 ON CONFLICT (tenant, thread, name) DO UPDATE SET value = excluded.value",
            )
            .bind(tenants)
            .bind(threads)
            .bind(names)
            .bind(values);
    }
}
