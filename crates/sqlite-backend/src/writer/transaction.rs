//! One transaction of the writer: from the lock to the answers.

use std::{sync::atomic::Ordering, time::Instant};

use rusqlite::Connection;
use throughline_core::{
    Effect, ErrorKind, PersistArgs, PersistError,
    backend::replication_rules,
    replication::{ReplicaArgs, ReplicationState},
};
use throughline_engine::{Limits, Write as Decided};

use super::{
    batch::{Batch, Outcome},
    compaction::take_pages,
    fence_transaction::Verdict,
    progress::Progress,
    worker::Worker,
};
use crate::{
    audit_log::AuditLog,
    blob::BlobWriter,
    error::{EngineError, FailureScope, Phase},
    failpoint::Failpoint,
    failure::{Applied, Failure},
    file_guard::WriteLock,
    health::WriterStep,
    queue::{Pending, Work, Write},
    replica::{self, CopyScope},
    rows::{Staging, ThreadCache},
};

/// A transaction that is being filled, with the rows that it has staged.
struct Filling<'a> {
    connection: &'a Connection,
    staging: Staging<'a>,
    replication_state: ReplicationState,
    kept_after: i64,
    log: AuditLog,
}

impl Filling<'_> {
    fn write(&mut self, write: &Write, looks_up_ids: bool) -> Applied<Outcome> {
        let Write { tenant, args, idempotency, now, .. } = write;
        if let PersistArgs::Replica(args) = args {
            return self.copy(args);
        }
        replication_rules::expect_primary(self.replication_state)?;
        if Staging::has_to_flush_before(args) {
            self.flush()?;
        }
        let decided = Decided { tenant, args, idempotency: idempotency.as_ref(), now: *now };
        let outcome = self.staging.apply(&decided, looks_up_ids)?;
        Ok(Outcome { result: Some(outcome.result), changed: outcome.changed })
    }

    /// Writes everything that is staged.
    fn flush(&mut self) -> Result<(), EngineError> {
        self.staging.flush()?;
        Ok(self.log.flush(self.connection)?)
    }

    /// Applies a replication operation, which needs all staged rows to be written.
    fn copy(&mut self, args: &ReplicaArgs) -> Applied<Outcome> {
        self.flush()?;
        let before = self.staging.position();
        let mut position = before;
        let segment_positions = self.staging.segment_positions();
        let (threads, blobs) = self.staging.state();
        let scope = CopyScope {
            db: self.connection,
            segment_positions,
            threads,
            blobs,
            position: &mut position,
            kept_after: &mut self.kept_after,
            replication_state: &mut self.replication_state,
        };
        let (result, changed) = replica::apply(scope, args)?;
        if changed && position == before {
            position += 1;
        }
        self.staging.go_on_from(position);
        Ok(Outcome { result: Some(result.into()), changed })
    }
}

impl Worker {
    /// Applies the waiting writes in the transaction that [`begin`](Self::begin) began, commits and answers. Returns
    /// how many writes it took.
    pub(super) fn transact(&mut self, lock: WriteLock) -> usize {
        let Some(connection) = self.connection.take() else { return 0 };
        let mut batch = Batch::default();
        self.health_state.begin_step(WriterStep::Apply);
        let mut threads = std::mem::take(&mut self.threads);
        // A panic has dropped it.
        let mut blobs = self.blobs.take().unwrap_or_else(|| self.limits.blobs(&self.path));
        let filled = self.fill(&connection, (&mut threads, &mut blobs), &mut batch);
        self.unnamed_blobs.add(blobs.end_transaction());
        if threads.has_found_work() {
            self.metadata.found();
        }
        (self.threads, self.blobs) = (threads, Some(blobs));
        let taken = batch.len();
        match filled {
            Ok(None) => {
                // Nothing was changed, so there is nothing to commit: the answers rest on data that was committed
                // before. If the rollback fails, closing the connection rolls back while the lock is held.
                self.connection =
                    Some(connection).filter(|connection| execute(connection, "ROLLBACK").is_ok());
                drop(lock);
                if batch.compacts() {
                    self.shrink_file();
                }
                batch.deliver();
            }
            Ok(Some(position)) => self.commit(lock, connection, batch, position),
            Err(error) => {
                // Closing the connection rolls back unless SQLite already has; no further statement runs on it.
                drop(connection);
                drop(lock);
                self.broken(batch, error);
            }
        }
        self.health_state.end_step();
        taken
    }

    /// Applies writes until a bound is reached or none waits, and flushes their changes. Returns the position that the
    /// store has then reached, or `None` if nothing was changed.
    ///
    /// # Errors
    /// The reason why the transaction ended. The write that met it is the last of the batch.
    fn fill(
        &self,
        connection: &Connection,
        (threads, blobs): (&mut ThreadCache, &mut BlobWriter),
        batch: &mut Batch,
    ) -> Result<Option<i64>, EngineError> {
        let begun = Instant::now();
        self.failpoints.reach(Failpoint::Begun, connection)?;
        let mut progress = Progress::read(connection)?;
        progress.catch_up(connection)?;
        batch.begun_at = progress.position;
        threads.begin(progress.position);
        let limits = Limits::default().with_max_content_bytes(self.limits.max_content_bytes);
        let indexed = threads.metadata_names(connection)?.indexed.clone();
        let mut filling = Filling {
            connection,
            staging: Staging::new(
                connection,
                (threads, blobs),
                (limits, indexed),
                self.limits.segment,
                progress.position,
            ),
            replication_state: progress.replication_state(),
            kept_after: progress.kept_after,
            log: AuditLog::default(),
        };
        let (mut alone, mut is_staged) = (false, false);
        loop {
            let now = Instant::now();
            let fits = !alone
                && batch.len() < self.limits.operations
                && (batch.len() == 0 || batch.bytes() < self.limits.bytes && now - begun < self.limits.time);
            if !fits {
                break;
            }
            let Some(pending) = self.queue.pop_if(|next| batch.len() == 0 || !next.alone) else {
                if !is_staged {
                    break;
                }
                // Writes arrive while the staged ones are written: they join this transaction, and share its commit.
                filling.flush()?;
                self.failpoints.reach(Failpoint::Flushed, connection)?;
                is_staged = false;
                continue;
            };
            filling.staging.blobs_were_written(pending.blobs());
            if pending.is_abandoned() {
                continue;
            }
            if pending.times.deadline.is_some_and(|deadline| deadline <= now) {
                let late =
                    PersistError::new(ErrorKind::Timeout, "the deadline passed in the queue of the writer");
                pending.answer(Err(late.with_effect(Effect::NotApplied)));
                continue;
            }
            alone = pending.alone;
            match self.apply(&mut filling, &pending) {
                Ok(_) | Err(Failure::Refused(_)) if connection.is_autocommit() => {
                    batch.failed(pending);
                    return Err(EngineError::RolledBack);
                }
                Ok(outcome) => {
                    is_staged |= outcome.changed;
                    batch.applied(pending, outcome, filling.staging.position());
                }
                Err(Failure::Refused(error)) => batch.refused(pending, error),
                Err(Failure::Engine(error)) => {
                    batch.failed(pending);
                    // Outside of its transaction a statement would need the lock that is held for the transaction.
                    let is_outside = error.is_busy() && connection.is_autocommit();
                    return Err(if is_outside { EngineError::RolledBack } else { error });
                }
            }
        }
        if !batch.changed {
            return Ok(None);
        }
        filling.flush()?;
        batch.obsolete_chunks = filling.staging.obsolete_chunks();
        let position = filling.staging.position();
        progress.set_replication_state(filling.replication_state);
        progress.kept_after = filling.kept_after;
        let brought = position - progress.position;
        progress.advance(self.id, position);
        self.trim(connection, &mut progress, brought)?;
        progress.write(connection)?;
        Ok(Some(position))
    }

    /// Removes some of the oldest changes when there are more than the limit: more than a transaction adds, so that the
    /// excess stays small.
    fn trim(&self, connection: &Connection, progress: &mut Progress, brought: i64) -> rusqlite::Result<()> {
        let surplus = progress.position - progress.kept_after - self.limits.changes;
        if surplus > 0 {
            progress.kept_after += surplus.min(2 * brought + 64);
            connection
                .prepare_cached("DELETE FROM changes WHERE position <= ?1")?
                .execute([progress.kept_after])?;
        }
        Ok(())
    }

    /// Applies one write, and records it in the audit log.
    fn apply(&self, filling: &mut Filling<'_>, pending: &Pending) -> Applied<Outcome> {
        let connection = filling.connection;
        self.failpoints.reach(Failpoint::Applying, connection)?;
        let before = filling.staging.position();
        let outcome = match &pending.work {
            Work::Write(write) => filling.write(write, pending.looks_up_ids)?,
            Work::RejectedCalls(records) => {
                replication_rules::expect_primary(filling.replication_state)?;
                filling.log.record_rejected_calls(connection, records)?;
                filling.staging.take_position(&records.tenant());
                Outcome { result: None, changed: true }
            }
            Work::Compact { pages, taken } => {
                let count = take_pages(connection, *pages)?;
                taken.store(count, Ordering::Relaxed);
                Outcome { result: None, changed: count > 0 }
            }
        };
        self.failpoints.reach(Failpoint::Applied, connection)?;
        // If SQLite has rolled back, a statement would commit by itself.
        if let Work::Write(Write { audit: Some(audit), now, .. }) = &pending.work
            && let Outcome { result: Some(result), changed: true } = &outcome
            && !connection.is_autocommit()
        {
            let span = (before, filling.staging.position());
            filling.log.write(connection, audit, *now, span, result)?;
        }
        Ok(outcome)
    }

    /// Commits and answers. Parameters are dropped from the last one on, so after a panic the connection goes before
    /// the lock: it rolls back while the lock is held.
    fn commit(&mut self, lock: WriteLock, connection: Connection, mut batch: Batch, position: i64) {
        batch.committing();
        // If the commit fails, the next pass finds no entry for them.
        self.obsolete_chunks.add(batch.obsolete_chunks);
        self.health_state.begin_step(WriterStep::Commit);
        let commit = || {
            self.failpoints.reach(Failpoint::Committing, &connection)?;
            execute(&connection, "COMMIT")?;
            self.failpoints.reach(Failpoint::Committed, &connection)
        };
        match commit() {
            Ok(()) => {
                drop(lock);
                self.health_state.end_step();
                self.threads.committed(position);
                let bytes = batch.bytes();
                let threads = self.commits.threads_of(&batch);
                batch.deliver();
                self.commits.committed(position, threads);
                self.committed(connection, bytes);
            }
            Err(error) => {
                let error = EngineError::from(error).caused(&self.path);
                drop(connection);
                drop(lock);
                self.failed(&error);
                match self.fence_transaction(position, &error) {
                    Verdict::Applied => {
                        let threads = self.commits.threads_of(&batch);
                        batch.deliver();
                        self.commits.committed(position, threads);
                    }
                    Verdict::NotApplied => batch.fail(&error, Phase::Statement),
                    Verdict::Unknown => batch.fail(&error, Phase::Commit),
                }
            }
        }
    }

    /// Runs the work that follows the answers.
    fn committed(&mut self, connection: Connection, bytes: usize) {
        self.failure_tracker.record_success(&self.health_state);
        self.index.committed();
        let answered = self.failpoints.reach(Failpoint::Answered, &connection);
        let grown = answered
            .map_err(EngineError::from)
            .and_then(|()| self.wal.on_commit(&connection, bytes, &self.health_state, &self.failpoints));
        match grown {
            Ok(()) => self.connection = Some(connection),
            // No write is open that the error could affect; the writer repeats this work on another connection.
            Err(error) => self.failed(&error.caused(&self.path)),
        }
    }

    /// Records a failure that no single operation caused.
    pub(super) fn failed(&mut self, error: &EngineError) {
        self.file_identity.failed(error);
        if error.is_unreadable() {
            self.health_state.set_unreadable(true);
        }
        if error.is_lock() {
            self.failure_tracker.record_lock_failure();
        }
        if error.counts_as_failure() {
            self.failure_tracker.record_failure(&self.health_state, error);
        }
    }

    /// Handles a transaction that was rolled back: answers its writes, or puts them back, so that each gets a
    /// transaction of its own.
    fn broken(&mut self, mut batch: Batch, error: EngineError) {
        if error.is_taken() && !batch.ids_are_known() {
            return self.queue.put_back(batch.into_with_id_look_up());
        }
        if batch.len() > 1 && error.failure_scope() == FailureScope::Operation {
            // Before the search for the cause, so that the others do not wait while the file is read for that.
            return self.queue.put_back(batch.into_separate());
        }
        let error = &error.caused(&self.path);
        self.failed(error);
        if batch.len() == 0 {
            // A transaction that fails before its first write counts as that write's failure. Otherwise the writer
            // would begin it forever.
            self.queue.pop_if(|_| true).into_iter().for_each(|pending| batch.failed(pending));
        }
        // Statements that ran after an unreported rollback by SQLite may each have been committed by themselves.
        let phase = if matches!(error, EngineError::RolledBack) { Phase::Commit } else { Phase::Statement };
        batch.fail(error, phase);
    }
}

pub(super) fn execute(connection: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([])?;
    Ok(())
}
