//! Writes of one statement: decided on the threads of the cache, and committed by the statement itself.
//!
//! The statement takes the advisory locks of its threads, and compares each thread with the row that the decisions are based on. If a
//! lock is taken, or anything has changed, it fails as a whole, and the writer decides the writes again in a transaction.

use sqlx::{PgConnection, Row as _};
use throughline_core::{Effect, ErrorKind, PersistArgs, PersistError, Position};
use throughline_engine::{Limits, StagedRows, Transaction};

use super::{
    Locks,
    attempt::{Events, UNFENCED_WRITER, WriterState, Written, changes_of, setting_off},
    decide::{Decided, decide_on_cached_threads},
    link::in_time,
};
use crate::{
    commits::is_heard,
    error::{Failure, damaged},
    options::Settings,
    queue::{Audit, Pending},
    rows::{Loading, Source, ThreadCache, Writing, counter, number, writing_to_unchanged_threads},
    warnings::listen,
};

/// The decided writes of a batch, and the statement that writes and commits them.
pub(super) struct Optimistic {
    pub(super) decided: Vec<Decided>,
    pub(super) staged: StagedRows,
    writing: Writing,
    metadata_version: i64,
}

/// The result of the statement.
pub(super) enum Answer {
    Committed(Written),
    /// Nothing was applied, because something has changed.
    Stale,
    /// Nothing was applied, and a transaction would fail in the same way.
    Refused(Failure),
    /// Only a fence transaction can determine the outcome.
    Unknown(Failure),
}

/// Returns whether a batch only adds messages. Audit records need a statement of their own before the commit.
fn is_fit(batch: &[Pending]) -> bool {
    let adds = |args: &PersistArgs| matches!(args, PersistArgs::Add(_) | PersistArgs::Reserve(_));
    batch.iter().all(|pending| {
        let write = &pending.write;
        matches!(write.audit, Audit::Nothing) && write.args.each().all(adds)
    })
}

impl Optimistic {
    /// Returns whether a statement may run outside of a transaction: row-level security and a pooler need settings of the transaction.
    pub(super) fn is_possible(settings: &Settings) -> bool {
        !settings.options.pgbouncer && !settings.options.row_security
    }

    /// Decides a batch in memory. `None` if a write of it is not an addition to a thread of the cache, or is refused: a refusal has to be
    /// decided on rows that are surely current.
    pub(super) fn decide(settings: &Settings, cache: &mut ThreadCache, batch: &[Pending]) -> Option<Self> {
        if !Self::is_possible(settings) || !is_fit(batch) {
            return None;
        }
        let names = settings.names.last();
        let limits = Limits::default().with_max_content_bytes(settings.options.max_content_bytes);
        let source = Source::new(Loading::Together, ThreadCache::default());
        let mut transaction = Transaction::new(source, limits).with_indexed_metadata(names.indexed.clone());
        let decided = decide_on_cached_threads(&mut transaction, cache, batch)?;
        let (source, staged) = transaction.into_parts();
        let is_applied = |decided: &Decided| decided.outcome.is_ok() && decided.events.is_some();
        if source.has_assumed(&staged) || !decided.iter().all(is_applied) {
            return None;
        }
        let mut locks = Locks::default();
        for pending in batch {
            locks.extend(&Locks::of(&pending.write));
        }
        let writing = writing_to_unchanged_threads(&staged, &names, cache, locks.exclusive_numbers()?)?;
        Some(Self { decided, staged, writing, metadata_version: names.version })
    }

    /// Runs the statement. It commits only if the row of the writer has this count: a fence transaction that finds no trace of the
    /// statement has increased it.
    pub(super) async fn write(
        &mut self,
        settings: &Settings,
        db: &mut PgConnection,
        state: &WriterState,
        fence_transaction_count: u64,
    ) -> Answer {
        let mut writing = std::mem::take(&mut self.writing);
        writing
            .part(UNFENCED_WRITER)
            .bind(&*state.name)
            .bind(number(state.batch))
            .bind(number(fence_transaction_count))
            .expect_rows(1);
        let events = Events::of(&self.staged);
        let taken = events.taken;
        writing.end(FINISH);
        events.bind(&mut writing);
        writing.bind(self.metadata_version);
        let limit = settings.options.answer_limit + settings.options.wait_limit;
        let mut refused = None;
        let work = async {
            match writing.fetch(db).await {
                Err(error) if Failure::is_refusal(&error) => {
                    refused = Some(Failure::from(error));
                    Ok(None)
                }
                answer => answer,
            }
        };
        let answer = listen(in_time(limit, work)).await;
        if let Some(failure) = refused {
            let is_stale = failure.is_division_by_zero() || failure.is_duplicate();
            return if is_stale { Answer::Stale } else { Answer::Refused(failure) };
        }
        let row = match answer {
            (Ok(Some(row)), false) => row,
            (Ok(_), true) => return Answer::Unknown(Failure::not_replicated()),
            (Ok(None), false) => return Answer::Unknown(damaged("the row of the store".to_owned()).into()),
            (Err(failure), _) => return Answer::Unknown(failure),
        };
        let read = || {
            let base =
                counter(row.try_get("base")?).ok_or_else(|| damaged("the row of the store".to_owned()))?;
            Ok(Written { base, taken, timeline: None, is_heard: row.try_get("is_heard")? })
        };
        read().map_or_else(|error: sqlx::Error| Answer::Unknown(error.into()), Answer::Committed)
    }

    /// Finds the positions of the statement after a fence transaction has shown that it was committed. All its positions are after
    /// `since`, which the writer had seen before.
    pub(super) async fn find(
        &self,
        settings: &Settings,
        db: &mut PgConnection,
        since: Position,
    ) -> Result<Written, PersistError> {
        let events = Events::of(&self.staged);
        let taken = events.taken;
        let work = async {
            sqlx::query(FIND)
                .bind(number(since.get()))
                .bind(events.tenants.first())
                .bind(events.threads.first())
                .bind(events.kinds.first())
                .fetch_optional(db)
                .await
        };
        let found = in_time(settings.options.answer_limit, work).await.and_then(|row| {
            let position = row.map(|row| row.try_get::<i64, _>("position")).transpose()?;
            Ok(position.and_then(counter))
        });
        match found {
            Ok(Some(first)) if first > 0 => {
                Ok(Written { base: first - 1, taken, timeline: None, is_heard: true })
            }
            _ => Err(applied_without_position()),
        }
    }
}

/// Returns the error of a write that was committed, but whose answer cannot be given.
pub(super) fn applied_without_position() -> PersistError {
    PersistError::new(ErrorKind::Unavailable, "the write was committed, and its position could not be read")
        .with_effect(Effect::Applied)
}

/// The first change event of the statement. It contains the id of a message, so no other event equals it.
const FIND: &str = "SELECT position FROM throughline.changes \
    WHERE position > $1 AND tenant = $2 AND thread = $3 AND kind = $4 ORDER BY position LIMIT 1";

/// Takes the positions, like the end of a transaction, and commits. The division fails if a part was not written, if the store became a
/// replica or captures changes, if a host has declared a metadata field, or if commits are not durable.
const FINISH: &str = concat!(
    changes_of!(),
    " SELECT s.base, ",
    is_heard!(),
    " AS is_heard, 1 / CASE WHEN s.base IS NOT NULL AND NOT s.is_replica AND s.capture IS NULL AND s.metadata_version = $7 AND (",
    setting_off!(),
    ") IS NULL THEN 1 ELSE 0 END AS is_whole FROM (SELECT 1) AS one LEFT JOIN s ON true"
);
