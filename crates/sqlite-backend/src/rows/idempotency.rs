//! Idempotency keys: the rows of `idempotency`.

use rusqlite::{OptionalExtension, params};
use throughline_core::{Timestamp, backend::Replay, operations::Fingerprint};
use throughline_engine::{
    StagedRows,
    rows::{IdempotencyRow, IdempotencyRowKey},
};

use super::{Source, corrupt};
use crate::{failure::Applied, record::Checksum};

impl Source<'_> {
    pub(super) fn find_idempotency(&mut self, key: &IdempotencyRowKey) -> Applied<Option<IdempotencyRow>> {
        let Some(thread) = self.stored_thread(&key.thread)? else { return Ok(None) };
        let thread_pk = thread.thread_pk;
        let owner = owner(key);
        let found = self
            .db
            .prepare_cached(
                "SELECT checksum, fingerprint, replay, created_at FROM idempotency WHERE key = ?1 AND thread_pk = ?2",
            )?
            .query_row(params![key.key.as_str(), thread_pk], |row| {
                let fingerprint: Option<[u8; 32]> = row.get_ref(1)?.as_blob()?.try_into().ok();
                let (replay, created_at) = (row.get_ref(2)?.as_bytes()?, row.get(3)?);
                let sum = fingerprint.map(|fingerprint| checksum(owner, created_at, &fingerprint, replay));
                let is_whole = sum == Some(row.get(0)?);
                let replay = if is_whole { serde_json::from_slice::<Replay>(replay).ok() } else { None };
                Ok(fingerprint.zip(replay).map(|(fingerprint, replay)| IdempotencyRow {
                    fingerprint: Fingerprint::from_bytes(fingerprint),
                    replay,
                    created_at: Timestamp::from_micros(created_at),
                }))
            })
            .optional()?;
        match found {
            Some(None) => {
                Err(corrupt(format!("the row of the idempotency key `{}` is damaged", key.key)).into())
            }
            found => Ok(found.flatten()),
        }
    }
}

/// Writes the keys that were used.
pub(super) fn write(source: &mut Source<'_>, staged: &StagedRows) -> Applied<()> {
    for (key, row) in staged.idempotency.changed() {
        let thread_pk = source.thread_pk(&key.thread)?;
        let replay = serde_json::to_string(&row.replay).expect("a record of ids and numbers serializes");
        let (created_at, fingerprint) = (row.created_at.as_micros(), row.fingerprint.as_bytes());
        let sum = checksum(owner(key), created_at, fingerprint, replay.as_bytes());
        source
            .db
            .prepare_cached(
                "INSERT INTO idempotency (thread_pk, key, created_at, checksum, fingerprint, replay) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key, thread_pk) DO UPDATE SET \
                 created_at = excluded.created_at, checksum = excluded.checksum, \
                 fingerprint = excluded.fingerprint, replay = excluded.replay",
            )?
            .execute(params![thread_pk, key.key.as_str(), created_at, sum, fingerprint, replay])?;
    }
    Ok(())
}

fn owner(key: &IdempotencyRowKey) -> (&str, &str, &str) {
    (key.thread.tenant.as_str(), key.thread.thread.as_str(), key.key.as_str())
}

/// Returns the checksum of a row of `idempotency`: over every stored column, and its tenant and thread.
pub(crate) fn checksum(
    (tenant, thread, key): (&str, &str, &str),
    created_at: i64,
    fingerprint: &[u8],
    replay: &[u8],
) -> i64 {
    let owner = Checksum::new().text(tenant).text(thread).text(key);
    owner.integer(created_at).bytes(fingerprint).bytes(replay).finish()
}
