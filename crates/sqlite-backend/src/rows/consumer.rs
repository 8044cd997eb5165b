//! Consumers of the change feed: the rows of `consumers`, and of `quarantine`.

use rusqlite::{OptionalExtension, params};
use throughline_core::{Position, ThreadId, Timestamp, changes::QuarantinedChange, ids::ConsumerName};
use throughline_engine::{
    StagedRows,
    rows::{ConsumerKey, ConsumerRow, QuarantineCount, QuarantineKey},
};

use super::{Source, corrupt};
use crate::{
    failure::Applied,
    record::{Cursor, QuarantineRow, cursor_columns, number, quarantine_columns},
};

const FIND: &str =
    concat!("SELECT ", cursor_columns!(), " FROM consumers k WHERE k.tenant = ?1 AND k.consumer = ?2");
const FIND_QUARANTINED: &str = concat!(
    "SELECT ",
    quarantine_columns!(),
    ", k.consumer_pk FROM consumers k JOIN quarantine q ON q.consumer_pk = k.consumer_pk \
     WHERE k.tenant = ?1 AND k.consumer = ?2 AND q.position = ?3"
);

/// Returns the error text for a cursor whose checksum does not match.
pub(crate) fn damaged(consumer: &ConsumerName) -> String {
    format!("the cursor of the consumer `{consumer}` is damaged; reset it to any position to repair it")
}

impl Source<'_> {
    pub(super) fn find_consumer(&mut self, key: &ConsumerKey) -> Applied<Option<ConsumerRow>> {
        let (tenant, name) = (key.tenant.as_str(), key.consumer.as_str());
        let found = self
            .db
            .prepare_cached(FIND)?
            .query_row(params![tenant, name], |row| Ok(Cursor::read(row, 0, tenant, name)))
            .optional()?;
        match found {
            Some(None) => Err(corrupt(damaged(&key.consumer)).into()),
            Some(Some(cursor)) => {
                let position = Position::new(u64::try_from(cursor.position).unwrap_or_default());
                Ok(Some(ConsumerRow { position }))
            }
            None => Ok(None),
        }
    }

    pub(super) fn find_quarantined(&mut self, key: &QuarantineKey) -> Applied<Option<QuarantinedChange>> {
        let ConsumerKey { tenant, consumer } = &key.consumer;
        let found = self
            .db
            .prepare_cached(FIND_QUARANTINED)?
            .query_row(params![tenant.as_str(), consumer.as_str(), number(key.position.get())], |row| {
                let consumer_pk = row.get(5)?;
                Ok(QuarantineRow::read(row, 0, consumer_pk).and_then(|passed| {
                    Some(QuarantinedChange {
                        position: key.position,
                        thread: ThreadId::new(passed.thread).ok()?,
                        at: Timestamp::from_micros(passed.at),
                        why: passed.why.to_owned(),
                    })
                }))
            })
            .optional()?;
        match found {
            Some(None) => {
                let position = key.position.get();
                let detail =
                    format!("the change {position} that the consumer `{consumer}` quarantined is damaged");
                Err(corrupt(detail).into())
            }
            found => Ok(found.flatten()),
        }
    }

    pub(super) fn quarantine_len(&self, query: &QuarantineCount) -> Applied<u64> {
        let QuarantineCount { consumer: ConsumerKey { tenant, consumer }, through } = query;
        let count: i64 = self
            .db
            .prepare_cached(
                "SELECT count(*) FROM consumers k JOIN quarantine q ON q.consumer_pk = k.consumer_pk \
                 WHERE k.tenant = ?1 AND k.consumer = ?2 AND q.position <= ?3",
            )?
            .query_row(params![tenant.as_str(), consumer.as_str(), number(through.get())], |row| {
                row.get(0)
            })?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    fn consumer_pk(&self, key: &ConsumerKey) -> Applied<Option<i64>> {
        let found = self
            .db
            .prepare_cached("SELECT consumer_pk FROM consumers WHERE tenant = ?1 AND consumer = ?2")?
            .query_row(params![key.tenant.as_str(), key.consumer.as_str()], |row| row.get(0))
            .optional()?;
        Ok(found)
    }
}

/// Writes cursors and quarantined changes.
pub(super) fn write(source: &mut Source<'_>, staged: &StagedRows) -> Applied<()> {
    let db = source.db;
    for (key, row) in staged.consumers.changed() {
        let (tenant, name, position) =
            (key.tenant.as_str(), key.consumer.as_str(), number(row.position.get()));
        // The row may exist: a damaged cursor is reset without a look-up.
        db.prepare_cached(
            "INSERT INTO consumers (tenant, consumer, position, checksum) VALUES (?1, ?2, ?3, ?4) \
             ON CONFLICT (tenant, consumer) DO UPDATE SET position = excluded.position, checksum = excluded.checksum",
        )?
        .execute(params![tenant, name, position, Cursor::checksum(tenant, name, position)])?;
    }
    for (consumer, after) in staged.quarantine_cuts.items() {
        let Some(consumer_pk) = source.consumer_pk(consumer)? else { continue };
        db.prepare_cached("DELETE FROM quarantine WHERE consumer_pk = ?1 AND position > ?2")?
            .execute(params![consumer_pk, number(after.get())])?;
    }
    for (key, change) in staged.quarantine.changed() {
        let Some(consumer_pk) = source.consumer_pk(&key.consumer)? else { continue };
        let passed = QuarantineRow {
            position: number(change.position.get()),
            at: change.at.as_micros(),
            thread: change.thread.as_str(),
            why: &change.why,
        };
        db.prepare_cached(
            "INSERT INTO quarantine (consumer_pk, position, at, checksum, thread, why) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (consumer_pk, position) DO UPDATE \
             SET at = excluded.at, checksum = excluded.checksum, thread = excluded.thread, why = excluded.why",
        )?
        .execute(params![
            consumer_pk,
            passed.position,
            passed.at,
            passed.checksum(consumer_pk),
            passed.thread,
            passed.why
        ])?;
    }
    for key in staged.quarantine.removed() {
        let Some(consumer_pk) = source.consumer_pk(&key.consumer)? else { continue };
        db.prepare_cached("DELETE FROM quarantine WHERE consumer_pk = ?1 AND position = ?2")?
            .execute(params![consumer_pk, number(key.position.get())])?;
    }
    Ok(())
}
