//! Keys that were used, in the same commit as what they were used for.

use rusqlite::{OptionalExtension, params};
use throughline_core::{
    ErrorKind, Fingerprint, Idempotency, Message, MessageId, PersistArgs, PersistError, PersistResult,
    Result, ThreadEntry, ThreadId,
    backend::{LookUp, Replay, rules},
};

use super::{Applied, Failure, Scope, refusal, row};
use crate::{error::EngineError, record::Checksum};

/// Answers a call whose key was used before, as the first one was answered.
pub(super) fn replay(
    scope: Scope<'_>,
    thread: &ThreadId,
    idempotency: &Idempotency,
    args: &PersistArgs,
) -> Applied<Option<PersistResult>> {
    let (tenant, key) = (scope.tenant.as_str(), idempotency.key.as_str());
    let found = scope
        .db
        .prepare_cached(
            "SELECT i.checksum, i.fingerprint, i.replay, i.created_at FROM threads t \
             JOIN idempotency i ON i.thread_pk = t.thread_pk \
             WHERE t.tenant = ?1 AND t.thread = ?2 AND i.key = ?3",
        )?
        .query_row(params![tenant, thread.as_str(), key], |row| {
            let fingerprint: Option<[u8; 32]> = row.get_ref(1)?.as_blob()?.try_into().ok();
            let replay = row.get_ref(2)?.as_bytes()?;
            let created_at = row.get(3)?;
            let sum = fingerprint.map(|fingerprint| {
                checksum((tenant, thread.as_str(), key), created_at, &fingerprint, replay)
            });
            let whole = sum == Some(row.get(0)?);
            let replay = if whole { serde_json::from_slice::<Replay>(replay).ok() } else { None };
            Ok(fingerprint.map(Fingerprint::from_bytes).zip(replay))
        })
        .optional()?;
    let Some(record) = found else { return Ok(None) };
    let Some((fingerprint, replay)) = record else {
        return Err(
            refusal(ErrorKind::Corrupt, format!("what is kept under the key `{key}` is damaged")).into()
        );
    };
    rules::expect_fingerprint(idempotency, &fingerprint)?;
    let mut present = Present { scope, failed: None };
    let answer = replay.answer(scope.tenant, args, &mut present);
    match present.failed {
        Some(error) => Err(Failure::Engine(error)),
        None => Ok(Some(answer?)),
    }
}

/// What there is by now, for a replay.
struct Present<'a> {
    scope: Scope<'a>,
    /// What a statement failed with, which is the transaction's.
    failed: Option<EngineError>,
}

impl Present<'_> {
    fn found<T>(&mut self, found: Applied<T>) -> Result<T> {
        found.map_err(|failure| match failure {
            Failure::Refused(error) => error,
            Failure::Engine(error) => {
                self.failed = Some(error);
                PersistError::new(ErrorKind::Internal, "the look-up failed")
            }
        })
    }
}

impl LookUp for Present<'_> {
    fn message(&mut self, thread: &ThreadId, id: &MessageId) -> Result<Option<Message>> {
        let found = row::find(self.scope, thread, id)
            .and_then(|found| found.map(|record| row::message(self.scope, record)).transpose());
        self.found(found)
    }

    fn thread(&mut self, thread: &ThreadId) -> Result<Option<ThreadEntry>> {
        let scope = self.scope;
        let found = scope.thread(thread).and_then(|state| match state {
            Some(state) if !state.head.deleted => state.shown(scope.tenant, thread).map(Some),
            _ => Ok(None),
        });
        self.found(found)
    }
}

/// Keeps the key of a write that is about to be committed. Its thread is there by now.
pub(super) fn record(
    scope: Scope<'_>,
    thread: &ThreadId,
    idempotency: &Idempotency,
    result: &PersistResult,
) -> Applied<()> {
    let replay = serde_json::to_string(&Replay::of(result)).expect("a record of ids and numbers serialises");
    let fingerprint = idempotency.fingerprint.as_bytes();
    let (tenant, key) = (scope.tenant.as_str(), idempotency.key.as_str());
    let created_at = scope.now.as_micros();
    let sum = checksum((tenant, thread.as_str(), key), created_at, fingerprint, replay.as_bytes());
    scope
        .db
        .prepare_cached(
            "INSERT INTO idempotency (thread_pk, key, created_at, checksum, fingerprint, replay) \
             SELECT thread_pk, ?3, ?4, ?5, ?6, ?7 FROM threads WHERE tenant = ?1 AND thread = ?2",
        )?
        .execute(params![tenant, thread.as_str(), key, created_at, sum, fingerprint, replay])?;
    Ok(())
}

/// The checksum of a row of `idempotency`: every column that is stored, and the tenant and thread that it belongs to.
pub(crate) fn checksum(
    (tenant, thread, key): (&str, &str, &str),
    created_at: i64,
    fingerprint: &[u8],
    replay: &[u8],
) -> i64 {
    let owner = Checksum::new().text(tenant).text(thread).text(key);
    owner.integer(created_at).bytes(fingerprint).bytes(replay).finish()
}
