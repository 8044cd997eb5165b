//! The decisions of the engine: how each operation changes the rows. The transaction undoes a write that is refused or stopped.

mod add;
mod batch;
mod consumer;
mod delete;
mod event;
mod image;
mod import;
mod load;
mod metadata_index;
mod repair;
mod replay;
mod session;
mod thread;
mod update;
mod update_content;

use std::borrow::Cow;

use throughline_core::{
    Effect, ErrorKind, IndexedMetadata, MessageId, PersistArgs, PersistError, PersistResult, TenantId,
    ThreadId, Timestamp, operations::Addressed as _, threads::ThreadArgs,
};

use crate::{
    Halt, Limits, Outcome, RowSource, StagedRows, Write,
    rows::{IdempotencyRowKey, MessageKey, ThreadKey},
};

/// The state for the decision of one write.
pub(crate) struct WriteScope<'a, S> {
    pub(crate) source: &'a mut S,
    pub(crate) rows: &'a mut StagedRows,
    pub(crate) tenant: &'a TenantId,
    pub(crate) now: Timestamp,
    pub(crate) limits: Limits,
    pub(crate) indexed: &'a IndexedMetadata,
    /// The bytes of stored content that the items so far have rewritten.
    pub(crate) rewritten: u64,
}

pub(crate) type Decided<T, S> = Result<T, Halt<<S as RowSource>::Stop>>;

impl<S: RowSource> WriteScope<'_, S> {
    pub(crate) fn write(&mut self, write: &Write<'_>) -> Decided<Outcome, S> {
        match write.args {
            PersistArgs::Consumer(args) => {
                let (result, changed) = self.consumer(args)?;
                return Ok(Outcome { result: result.into(), changed });
            }
            PersistArgs::Session(args) if args.thread().is_none() => {
                return Ok(Outcome { result: self.whole_session(args)?.into(), changed: true });
            }
            _ => {}
        }
        let Some(thread) = write.args.key_scope() else {
            return Err(refusal(ErrorKind::Invalid, "the batch is empty: add at least one write").into());
        };
        self.expect_alive(thread, write.args)?;
        let key = write
            .idempotency
            .map(|used| (used, IdempotencyRowKey { thread: self.thread_key(thread), key: used.key.clone() }));
        if let Some((idempotency, key)) = &key
            && let Some(result) = self.replay(key, idempotency, write.args)?
        {
            return Ok(Outcome { result, changed: false });
        }
        let result = match write.args {
            PersistArgs::Batch(batch) => self.batch(batch, thread)?.into(),
            single => self.item(single)?,
        };
        if let Some((idempotency, key)) = key {
            self.record_key(key, idempotency, &result);
        }
        Ok(Outcome { result, changed: true })
    }

    /// Applies a write other than a batch.
    fn item(&mut self, args: &PersistArgs) -> Decided<PersistResult, S> {
        match args {
            PersistArgs::Add(add) => self.add(add).map(Into::into),
            PersistArgs::Reserve(reserve) => self.reserve(reserve).map(Into::into),
            PersistArgs::UpdateContent(update) => self.update_content(update).map(Into::into),
            PersistArgs::Update(update) => self.update(update).map(Into::into),
            PersistArgs::Delete(delete) => self.delete(delete).map(Into::into),
            PersistArgs::Import(import) => self.import(import).map(Into::into),
            PersistArgs::Thread(args) => self.on_thread(args).map(Into::into),
            PersistArgs::Session(args) => self.session(args).map(Into::into),
            PersistArgs::Batch(_)
            | PersistArgs::Read(_)
            | PersistArgs::Consumer(_)
            | PersistArgs::Replica(_) => {
                let kind = args.kind();
                Err(refusal(ErrorKind::Invalid, format!("a `{kind}` cannot be an item of a batch")).into())
            }
            _ => Err(PersistError::unsupported(format_args!("`{}`", args.kind())).into()),
        }
    }

    /// Refuses a write to a deleted thread, even a repeated one, because its result is gone.
    fn expect_alive(&mut self, thread: &ThreadId, args: &PersistArgs) -> Decided<(), S> {
        let first = args.each().next();
        if matches!(first, Some(PersistArgs::Thread(ThreadArgs::Delete(_) | ThreadArgs::Purge(_)))) {
            return Ok(());
        }
        let alive = self.check_alive(thread);
        match args {
            PersistArgs::Batch(_) => alive.map_err(|halt| halt.with_batch_index(0)),
            _ => alive,
        }
    }

    pub(crate) fn thread_key(&self, thread: &ThreadId) -> ThreadKey {
        ThreadKey::new(self.tenant, thread)
    }

    pub(crate) fn message_key(&self, thread: &ThreadId, id: &MessageId) -> MessageKey {
        MessageKey::new(self.tenant, thread, id)
    }
}

/// Returns an error with the effect `NotApplied`.
fn refusal(kind: ErrorKind, detail: impl Into<Cow<'static, str>>) -> PersistError {
    PersistError::new(kind, detail).with_effect(Effect::NotApplied)
}
