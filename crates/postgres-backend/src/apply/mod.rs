//! What each write does, decided by the rules of the core on the [rows](crate::rows) of a transaction.
//!
//! An operation that is refused, or that has to wait for what was not read, is undone as a whole by whoever called it.

mod consumer;
mod content;
mod insert;
mod message;
mod replay;
mod session;
mod thread;
mod update;

use throughline_core::{
    Addressed as _, Batched, Effect, ErrorKind, Happened, MessageId, PersistArgs, PersistError,
    PersistResult, Seq, TenantId, ThreadArgs, ThreadId, Timestamp, backend::rules,
};

pub(crate) use self::{consumer::apply as apply_consumer, session::resolve_session};
use crate::{
    queue::Write,
    rows::{Found, Halt, MessageKey, Rows, ThreadKey, ThreadRow, Told},
};

/// What a write works with.
pub(crate) struct Scope<'a> {
    pub(crate) rows: &'a mut Rows,
    pub(crate) tenant: &'a TenantId,
    pub(crate) now: Timestamp,
    pub(crate) max_content_bytes: u64,
}

/// The answer to a write, and whether the write has changed anything.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) result: PersistResult,
    pub(crate) changed: bool,
}

/// What comes of notes for the log of who did what: they are written behind everything else.
pub(crate) fn noted() -> Outcome {
    Outcome { result: Batched { outputs: Vec::new(), deduplicated: false }.into(), changed: true }
}

/// Whether ids that were made up for a call are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MintedIds {
    /// They are taken for new. Where one is not, the table refuses it, and with it the transaction; and what was decided without
    /// inserting one is decided anew.
    AreNew,
    /// As every other: a call that was made before brings the same one again.
    MayBeKnown,
}

/// Notes what a write will surely look up, so that it is read at once.
pub(crate) fn foresee(rows: &mut Rows, write: &Write, minted: MintedIds) {
    for item in write.args.each() {
        let Some(thread) = item.thread() else { continue };
        let thread = (write.tenant.clone(), thread.clone());
        rows.threads.want(&thread);
        if let Some(id) = item.message() {
            let key = (thread.clone(), id.clone());
            let is_minted = match item {
                PersistArgs::Add(add) => add.is_minted(),
                PersistArgs::Reserve(reserve) => reserve.is_minted(),
                _ => false,
            };
            if is_minted && minted == MintedIds::AreNew {
                rows.messages.assume_missing(key);
            } else {
                rows.messages.want(&key);
            }
        }
        if let PersistArgs::UpdateContent(update) = item
            && !matches!(update.mode, throughline_core::UpdateMode::Partial)
        {
            rows.contents.want(&(thread, update.id.clone()));
        }
    }
    for item in write.args.each() {
        if let PersistArgs::Session(session) = item
            && let Some(agent) = session.agent()
        {
            session::foresee(rows, &write.tenant, agent, session.thread());
        }
    }
    if let (Some(idempotency), Some(thread)) = (&write.idempotency, write.args.key_scope()) {
        rows.keys.want(&((write.tenant.clone(), thread.clone()), idempotency.key.clone()));
    }
}

/// Decides one write.
pub(crate) fn apply(rows: &mut Rows, write: &Write, max_content_bytes: u64) -> Found<Outcome> {
    let mut scope = Scope { rows, tenant: &write.tenant, now: write.now, max_content_bytes };
    let told = scope.rows.told.items().len();
    let outcome = scope.write(write)?;
    // What tells nothing, as a sign of life, has its place among the commits too.
    if outcome.changed && scope.rows.told.items().len() == told {
        scope.rows.told.push(Told { tenant: write.tenant.clone(), at: write.now, what: None });
    }
    Ok(outcome)
}

impl Scope<'_> {
    fn write(&mut self, write: &Write) -> Found<Outcome> {
        if let PersistArgs::Session(args) = &write.args
            && args.thread().is_none()
        {
            return Ok(Outcome { result: self.whole_session(args)?.into(), changed: true });
        }
        // An empty batch speaks of no thread; there is nothing that it could be.
        let Some(thread) = write.args.key_scope() else {
            return Err(refusal(ErrorKind::Invalid, "a batch of no items").into());
        };
        self.expect_alive(thread, &write.args)?;
        let key = write.idempotency.as_ref().map(|used| (self.key(thread), used.key.clone()));
        if let (Some(idempotency), Some(key)) = (&write.idempotency, &key)
            && let Some(result) = self.replay(key, idempotency, &write.args)?
        {
            return Ok(Outcome { result, changed: false });
        }
        let result = match &write.args {
            PersistArgs::Batch(batch) => {
                if batch.after.is_some() {
                    // Of a thread that was deleted, too: what its first item may do then is the item's to say.
                    let last = self.thread(thread)?.map_or(Seq::ZERO, |state| state.last_seq);
                    rules::expect_last(batch.after, last)?;
                }
                let mut outputs = Vec::with_capacity(batch.items.len());
                for (index, item) in batch.items.iter().enumerate() {
                    outputs.push(self.item(item).map_err(|halt| match halt {
                        Halt::Refused(error) => error.with_batch_index(index).into(),
                        Halt::Unread => Halt::Unread,
                    })?);
                }
                Batched { outputs, deduplicated: false }.into()
            }
            single => self.item(single)?,
        };
        if let (Some(idempotency), Some(key)) = (&write.idempotency, key) {
            self.record(key, idempotency, &result);
        }
        Ok(Outcome { result, changed: true })
    }

    /// Applies a write that is no batch.
    fn item(&mut self, args: &PersistArgs) -> Found<PersistResult> {
        match args {
            PersistArgs::Add(add) => self.add(add).map(Into::into),
            PersistArgs::Reserve(reserve) => self.reserve(reserve).map(Into::into),
            PersistArgs::UpdateContent(update) => self.update_content(update).map(Into::into),
            PersistArgs::Update(update) => self.update(update).map(Into::into),
            PersistArgs::Delete(delete) => self.delete(delete).map(Into::into),
            PersistArgs::Import(import) => self.import(import).map(Into::into),
            PersistArgs::Thread(thread) => self.on_thread(thread).map(Into::into),
            PersistArgs::Session(args) => self.session(args).map(Into::into),
            PersistArgs::Batch(_) | PersistArgs::Read(_) | PersistArgs::Consumer(_) => {
                let kind = args.kind();
                Err(refusal(ErrorKind::Invalid, format!("a `{kind}` cannot be an item of a batch")).into())
            }
            _ => Err(PersistError::unsupported(format_args!("`{}`", args.kind())).into()),
        }
    }

    /// Refuses a write to a thread that was deleted, also one that was made before: what it wrote is gone.
    fn expect_alive(&mut self, thread: &ThreadId, args: &PersistArgs) -> Found<()> {
        let first = args.each().next();
        if matches!(first, Some(PersistArgs::Thread(ThreadArgs::Delete(_) | ThreadArgs::Purge(_)))) {
            return Ok(());
        }
        match (self.living(thread), args) {
            (Ok(_), _) => Ok(()),
            (Err(Halt::Refused(error)), PersistArgs::Batch(_)) => Err(error.with_batch_index(0).into()),
            (Err(halt), _) => Err(halt),
        }
    }

    pub(crate) fn key(&self, thread: &ThreadId) -> ThreadKey {
        (self.tenant.clone(), thread.clone())
    }

    pub(crate) fn message_key(&self, thread: &ThreadId, id: &MessageId) -> MessageKey {
        (self.key(thread), id.clone())
    }

    /// The thread, deleted or not.
    fn thread(&mut self, thread: &ThreadId) -> Found<Option<ThreadRow>> {
        let key = self.key(thread);
        Ok(self.rows.threads.get(&key)?.cloned())
    }

    /// The thread, for a write to it; nothing where it was never written to.
    fn living(&mut self, thread: &ThreadId) -> Found<Option<ThreadRow>> {
        match self.thread(thread)? {
            Some(row) if row.deleted => Err(rules::thread_is_gone(thread).into()),
            found => Ok(found),
        }
    }

    /// The thread, for a write that needs it.
    fn existing(&mut self, thread: &ThreadId) -> Found<ThreadRow> {
        self.living(thread)?.ok_or_else(|| rules::no_such_thread(thread).into())
    }

    fn put_thread(&mut self, thread: &ThreadId, row: ThreadRow) {
        let key = self.key(thread);
        self.rows.threads.put(key, row);
    }

    /// Takes down what was changed.
    fn tell(&mut self, thread: &ThreadId, what: Happened) {
        let told = Told { tenant: self.tenant.clone(), at: self.now, what: Some((thread.clone(), what)) };
        self.rows.told.push(told);
    }
}

fn refusal(kind: ErrorKind, detail: impl Into<std::borrow::Cow<'static, str>>) -> PersistError {
    PersistError::new(kind, detail).with_effect(Effect::NotApplied)
}
