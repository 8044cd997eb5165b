//! Threads: what is kept of one as a whole.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{
    ForkPoint, Generation, Labels, Metadata, OwnerId, Seq, TenantId, ThreadEntry, ThreadId, Timestamp, Title,
    backend::{Tally, ThreadFacts},
};

use super::{Rows, ThreadKey, Writing, counter, number};
use crate::error::damaged;

/// A thread, deleted or not.
#[derive(Debug, Clone)]
pub(crate) struct ThreadRow {
    pub(crate) last_seq: Seq,
    /// Messages up to here went with all others.
    pub(crate) floor: Seq,
    pub(crate) generation: Generation,
    /// How many messages there are.
    pub(crate) live: u64,
    /// How many names of messages were ever taken down.
    pub(crate) names: u64,
    /// When the latest of the settled messages that are gone by now was changed.
    pub(crate) gone_at: Timestamp,
    /// The last place that a question of the user had which was deleted.
    pub(crate) gone_question: Option<Seq>,
    pub(crate) deleted: bool,
    pub(crate) purgeable: bool,
    /// Nothing for a deleted thread, and where it cannot be read.
    pub(crate) facts: Option<ThreadFacts>,
}

impl ThreadRow {
    /// A thread that begins.
    pub(crate) const fn new(facts: ThreadFacts) -> Self {
        Self {
            last_seq: Seq::ZERO,
            floor: Seq::ZERO,
            generation: Generation::FIRST,
            live: 0,
            names: 0,
            gone_at: facts.created_at,
            gone_question: None,
            deleted: false,
            purgeable: false,
            facts: Some(facts),
        }
    }

    pub(crate) fn entry(&self, tenant: &TenantId, thread: &ThreadId) -> Option<ThreadEntry> {
        self.facts.as_ref().map(|facts| facts.entry(tenant, thread, self.generation, self.last_seq))
    }

    /// Reads [`thread_columns!`]; nothing where they are damaged beyond the entry.
    pub(crate) fn decode(row: &PgRow) -> sqlx::Result<Option<Self>> {
        let count = |column| row.try_get(column).map(counter);
        let fields = (
            count("last_seq")?,
            count("floor")?,
            count("generation")?,
            count("live")?,
            count("names")?,
            count("gone_question")?,
        );
        let (Some(last), Some(floor), Some(generation), Some(live), Some(names), Some(question)) = fields
        else {
            return Ok(None);
        };
        let entry: Option<&str> = row.try_get("entry")?;
        let entry = entry.and_then(|json| serde_json::from_str::<Entry<'_>>(json).ok());
        Ok(Some(Self {
            last_seq: Seq::new(last),
            floor: Seq::new(floor),
            generation: Generation::new(generation),
            live,
            names,
            gone_at: Timestamp::from_micros(row.try_get("gone_at")?),
            gone_question: (question > 0).then(|| Seq::new(question)),
            deleted: row.try_get("deleted")?,
            purgeable: row.try_get("purgeable")?,
            facts: entry.and_then(Entry::into_facts),
        }))
    }
}

/// The columns of a thread, as `t`.
macro_rules! thread_columns {
    () => {
        "t.thread, t.last_seq, t.floor, t.generation, t.live, t.names, t.gone_at, t.gone_question, t.deleted, \
         t.purgeable, t.entry"
    };
}
pub(crate) use thread_columns;

/// What lists show of a thread and what is kept beside it, as it stands in the table.
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
    fn of(facts: &'a ThreadFacts) -> Self {
        let tally = &facts.tally;
        Self {
            title: facts.title.as_str().to_owned(),
            owner: facts.owner.clone(),
            labels: facts.labels.clone(),
            metadata: facts.metadata.clone(),
            archived: facts.archived,
            hidden: facts.hidden,
            has_begun: facts.has_begun,
            forked_from: facts.forked_from.clone(),
            created_at: facts.created_at,
            changed_at: facts.changed_at,
            messages: tally.messages,
            turns: tally.turns,
            bytes: tally.bytes,
            preview_seq: tally.preview_seq,
            preview: tally.preview.as_deref().map(Into::into),
            active_at: tally.active_at,
        }
    }

    fn into_facts(self) -> Option<ThreadFacts> {
        Some(ThreadFacts {
            title: Title::new(self.title).ok()?,
            owner: self.owner,
            labels: self.labels,
            metadata: self.metadata,
            archived: self.archived,
            hidden: self.hidden,
            has_begun: self.has_begun,
            forked_from: self.forked_from,
            created_at: self.created_at,
            changed_at: self.changed_at,
            tally: Tally {
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

const READ: &str = concat!(
    "SELECT t.tenant, ",
    thread_columns!(),
    " FROM unnest($1::text[], $2::text[]) AS k (tenant, thread) \
     JOIN throughline.threads t ON t.tenant = k.tenant AND t.thread = k.thread"
);

pub(super) async fn read(rows: &mut Rows, db: &mut PgConnection) -> sqlx::Result<()> {
    let keys = rows.threads.take_unread();
    if keys.is_empty() {
        return Ok(());
    }
    let (tenants, threads) = columns(&keys);
    let found = sqlx::query(READ).bind(tenants).bind(threads).fetch_all(db).await?;
    let mut read = HashMap::with_capacity(found.len());
    for row in &found {
        let (tenant, thread): (&str, &str) = (row.try_get("tenant")?, row.try_get("thread")?);
        let Some(state) = ThreadRow::decode(row)? else {
            return Err(damaged(format!("the row of the thread `{thread}`")));
        };
        read.insert((tenant, thread), state);
    }
    for key in &keys {
        let row = read.remove(&(key.0.as_str(), key.1.as_str()));
        rows.threads.read(key.clone(), row);
    }
    Ok(())
}

/// The parts of keys, each as a column.
pub(super) fn columns(keys: &[ThreadKey]) -> (Vec<&str>, Vec<&str>) {
    keys.iter().map(|(tenant, thread)| (tenant.as_str(), thread.as_str())).unzip()
}

/// What both statements that write threads are given, in the order in which [`bind`] does.
macro_rules! given {
    () => {
        "unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], \
         $9::bigint[], $10::boolean[], $11::boolean[], $12::boolean[], $13::boolean[], $14::bigint[], $15::text[]) \
         AS k (tenant, thread, last_seq, floor, generation, live, names, gone_at, gone_question, deleted, purgeable, listed, \
         archived, active_at, entry)"
    };
}

const INSERT: &str = concat!(
    "INSERT INTO throughline.threads (tenant, thread, last_seq, floor, generation, live, names, gone_at, gone_question, \
     deleted, purgeable, listed, archived, active_at, entry) SELECT k.* FROM ",
    given!()
);

const UPDATE: &str = concat!(
    "UPDATE throughline.threads t SET last_seq = k.last_seq, floor = k.floor, generation = k.generation, live = k.live, \
     names = k.names, gone_at = k.gone_at, gone_question = k.gone_question, deleted = k.deleted, purgeable = k.purgeable, \
     listed = k.listed, archived = k.archived, active_at = k.active_at, entry = k.entry FROM ",
    given!(),
    " WHERE t.tenant = k.tenant AND t.thread = k.thread"
);

pub(super) fn write(rows: &Rows, writing: &mut Writing) {
    for (changed, sql) in rows.threads.added_and_updated().iter().zip([INSERT, UPDATE]) {
        if !changed.is_empty() {
            bind(changed, writing.part(sql));
        }
    }
    write_labels(rows, writing);
}

fn bind(changed: &[(&ThreadKey, &ThreadRow)], part: &mut Writing) {
    let count =
        |of: fn(&ThreadRow) -> u64| changed.iter().map(|(_, row)| number(of(row))).collect::<Vec<_>>();
    let flag = |of: fn(&ThreadRow) -> bool| changed.iter().map(|(_, row)| of(row)).collect::<Vec<_>>();
    let entries: Vec<Option<String>> = changed
        .iter()
        .map(|(_, row)| row.facts.as_ref().map(|facts| super::session::json(&Entry::of(facts))))
        .collect();
    let active_at = |row: &ThreadRow| row.facts.as_ref().map_or(0, |facts| facts.tally.active_at.as_micros());
    part.bind(changed.iter().map(|(key, _)| key.0.as_str()).collect::<Vec<_>>())
        .bind(changed.iter().map(|(key, _)| key.1.as_str()).collect::<Vec<_>>())
        .bind(count(|row| row.last_seq.get()))
        .bind(count(|row| row.floor.get()))
        .bind(count(|row| row.generation.get()))
        .bind(count(|row| row.live))
        .bind(count(|row| row.names))
        .bind(changed.iter().map(|(_, row)| row.gone_at.as_micros()).collect::<Vec<_>>())
        .bind(count(|row| row.gone_question.map_or(0, Seq::get)))
        .bind(flag(|row| row.deleted))
        .bind(flag(|row| row.purgeable))
        .bind(flag(|row| row.facts.as_ref().is_some_and(ThreadFacts::is_listed)))
        .bind(flag(|row| row.facts.as_ref().is_some_and(|facts| facts.archived)))
        .bind(changed.iter().map(|(_, row)| active_at(row)).collect::<Vec<_>>())
        .bind(entries);
}

/// Writes the labels that there are by now, and takes those away that there are not any more.
fn write_labels(rows: &Rows, writing: &mut Writing) {
    let labelled: BTreeSet<&ThreadKey> = rows.labelled.items().iter().collect();
    if labelled.is_empty() {
        return;
    }
    let (mut tenants, mut threads, mut names, mut values) = (vec![], vec![], vec![], vec![]);
    for (key, row) in rows.threads.changed() {
        let Some(facts) = row.facts.as_ref().filter(|_| labelled.contains(key)) else { continue };
        let labels = facts.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let owner = facts.owner.as_ref().map(|owner| ("", owner.as_str()));
        for (name, value) in labels.chain(owner) {
            tenants.push(key.0.as_str());
            threads.push(key.1.as_str());
            names.push(name);
            values.push(value);
        }
    }
    writing
        .part(
            "DELETE FROM throughline.labels l USING unnest($1::text[], $2::text[]) AS k (tenant, thread) \
             WHERE l.tenant = k.tenant AND l.thread = k.thread \
             AND (l.tenant, l.thread, l.name) NOT IN (SELECT * FROM unnest($3::text[], $4::text[], $5::text[]))",
        )
        .bind(labelled.iter().map(|key| key.0.as_str()).collect::<Vec<_>>())
        .bind(labelled.iter().map(|key| key.1.as_str()).collect::<Vec<_>>())
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
