//! What each write does to the file, inside the transaction of the writer.
//!
//! A write checks everything before it changes anything, so that one that is refused leaves nothing behind and needs
//! no savepoint. A batch, whose items see each other, has one.

mod audit;
mod batch;
mod consumer;
mod content;
mod delete;
mod idempotency;
mod import;
mod insert;
mod repair;
mod replica;
mod row;
mod session;
mod thread;
mod threads;
mod unwritten;
mod update;

use std::cell::Cell;

pub(crate) use self::{
    audit::AuditLog,
    consumer::damaged as damaged_cursor,
    idempotency::checksum as key_checksum,
    replica::{Part, capture, followed, is_capture_trigger, is_empty},
    row::PIECES,
    threads::Threads,
    unwritten::Unwritten,
};
#[cfg(test)]
pub(crate) use self::{
    row::{CLEAR, FIND, LAST, OF_THE_USER},
    thread::{BY_EVENT, BY_ITEM, BY_TURN, FORGET_ALIASES, OF_MESSAGE},
    threads::FIND_THREAD,
};
use rusqlite::Connection;
use throughline_core::{
    Addressed as _, Effect, ErrorKind, OpKind, PersistArgs, PersistError, PersistResult, TenantId,
    ThreadArgs, ThreadId, Timestamp, UpdateMode, backend::following, replica::Stance,
};

use crate::{error::EngineError, queue::Write};

/// What a write works with.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) db: &'a Connection,
    pub(crate) tenant: &'a TenantId,
    pub(crate) now: Timestamp,
    /// The last place that was taken among all changes of the store.
    pub(crate) position: &'a Cell<i64>,
    pub(crate) max_content_bytes: u64,
    /// Of how many positions a segment of the order is.
    pub(crate) segment_positions: i64,
    /// What the writes before it in the transaction have left to be written.
    pub(crate) unwritten: &'a Unwritten,
    /// What the store is beside another one, as the writes before it have left it.
    pub(crate) stance: &'a Cell<Stance>,
    /// The last change that is not kept any more.
    pub(crate) kept_after: &'a Cell<i64>,
    /// The threads that the writes before it were about.
    pub(crate) threads: &'a Threads,
}

/// Why a write was not applied.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was refused, and changed nothing.
    Refused(PersistError),
    /// A statement failed; what it means for the transaction is for the writer to say.
    Engine(EngineError),
}

impl From<PersistError> for Failure {
    fn from(error: PersistError) -> Self {
        Self::Refused(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error.into())
    }
}

pub(crate) type Applied<T> = Result<T, Failure>;

/// The answer to a write, and whether the write changed the file.
pub(crate) struct Outcome {
    /// Nothing to notes.
    pub(crate) result: Option<PersistResult>,
    pub(crate) changed: bool,
}

/// Applies one write, whole or not at all.
pub(crate) fn apply(scope: Scope<'_>, write: &Write) -> Applied<Outcome> {
    if let PersistArgs::Replica(args) = &write.args {
        scope.unwritten.flush(scope.db)?;
        return replica::apply(scope, args);
    }
    following::expect_leading(scope.stance.get())?;
    if let PersistArgs::Consumer(args) = &write.args {
        return consumer::apply(scope, args);
    }
    if let PersistArgs::Session(args) = &write.args
        && args.thread().is_none()
    {
        return session::apply_to_whole(scope, args);
    }
    // An empty batch speaks of no thread; there is nothing that it could be.
    let Some(thread) = write.args.key_scope() else {
        return Err(refusal(ErrorKind::Invalid, "a batch of no items").into());
    };
    if let (PersistArgs::UpdateContent(update), None) = (&write.args, &write.idempotency)
        && matches!(update.mode, UpdateMode::Partial)
    {
        return Ok(Outcome { result: Some(Unwritten::update_content(scope, update)?.into()), changed: true });
    }
    scope.unwritten.flush(scope.db)?;
    let changes = scope.db.total_changes();
    let applied = apply_at_once(scope, thread, write);
    // A batch undoes itself, and so does what is done to sessions or mends a thread; anything else is refused before it changes
    // anything.
    debug_assert!(
        !matches!(applied, Err(Failure::Refused(_)))
            || matches!(write.args.kind(), OpKind::Batch | OpKind::Session)
            || matches!(&write.args, PersistArgs::Thread(args) if thread::may_mend(args))
            || changes == scope.db.total_changes(),
        "refused after a change"
    );
    applied
}

fn apply_at_once(scope: Scope<'_>, thread: &ThreadId, write: &Write) -> Applied<Outcome> {
    expect_alive(scope, thread, &write.args)?;
    if let Some(idempotency) = &write.idempotency
        && let Some(result) = idempotency::replay(scope, thread, idempotency, &write.args)?
    {
        return Ok(Outcome { result: Some(result), changed: false });
    }
    let result = match &write.args {
        PersistArgs::Batch(batch) => batch::apply(scope, batch, |result| record(scope, write, result))?,
        single => {
            let result = item(scope, single)?;
            record(scope, write, &result)?;
            result
        }
    };
    Ok(Outcome { result: Some(result), changed: true })
}

/// Keeps the idempotency key of a write, if it has one.
fn record(scope: Scope<'_>, write: &Write, result: &PersistResult) -> Applied<()> {
    match (&write.idempotency, write.args.key_scope()) {
        (Some(idempotency), Some(thread)) => idempotency::record(scope, thread, idempotency, result),
        _ => Ok(()),
    }
}

/// Applies a write that is no batch.
fn item(scope: Scope<'_>, args: &PersistArgs) -> Applied<PersistResult> {
    match args {
        PersistArgs::Add(add) => insert::add(scope, add).map(Into::into),
        PersistArgs::Reserve(reserve) => insert::reserve(scope, reserve).map(Into::into),
        PersistArgs::UpdateContent(update) => content::update_content(scope, update).map(Into::into),
        PersistArgs::Update(update) => update::update(scope, update).map(Into::into),
        PersistArgs::Delete(delete) => delete::delete(scope, delete).map(Into::into),
        PersistArgs::Import(import) => import::import(scope, import).map(Into::into),
        PersistArgs::Thread(thread) => thread::apply(scope, thread).map(Into::into),
        PersistArgs::Session(args) => session::apply(scope, args).map(Into::into),
        PersistArgs::Batch(_) | PersistArgs::Read(_) | PersistArgs::Consumer(_) | PersistArgs::Replica(_) => {
            let kind = args.kind();
            Err(refusal(ErrorKind::Invalid, format!("a `{kind}` cannot be an item of a batch")).into())
        }
        _ => Err(PersistError::unsupported(format_args!("`{}`", args.kind())).into()),
    }
}

/// Refuses a write to a thread that was deleted, also one that was made before: what it wrote is gone.
fn expect_alive(scope: Scope<'_>, thread: &ThreadId, args: &PersistArgs) -> Applied<()> {
    let first = match args {
        PersistArgs::Batch(batch) => batch.items.first(),
        single => Some(single),
    };
    if matches!(first, Some(PersistArgs::Thread(ThreadArgs::Delete(_) | ThreadArgs::Purge(_)))) {
        return Ok(());
    }
    match (scope.living(thread), args) {
        (Ok(_), _) => Ok(()),
        (Err(Failure::Refused(error)), PersistArgs::Batch(_)) => Err(error.with_batch_index(0).into()),
        (Err(failure), _) => Err(failure),
    }
}

fn refusal(kind: ErrorKind, detail: impl Into<std::borrow::Cow<'static, str>>) -> PersistError {
    PersistError::new(kind, detail).with_effect(Effect::NotApplied)
}
