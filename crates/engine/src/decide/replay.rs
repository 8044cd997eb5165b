//! Idempotency keys: a repeated call gets the first answer.

use throughline_core::{
    ErrorKind, Idempotency, Message, MessageId, PersistArgs, PersistError, PersistResult, Result, ThreadId,
    backend::{LookUp, Replay, rules},
    threads::ThreadSummary,
};

use super::{
    Decided, WriteScope,
    load::{Named, summary_mut},
};
use crate::{
    Halt, RowSource,
    rows::{IdempotencyRow, IdempotencyRowKey},
};

impl<S: RowSource> WriteScope<'_, S> {
    /// Answers a call whose key was used before.
    pub(super) fn replay(
        &mut self,
        key: &IdempotencyRowKey,
        idempotency: &Idempotency,
        args: &PersistArgs,
    ) -> Decided<Option<PersistResult>, S> {
        let source = &mut *self.source;
        let used = self.rows.idempotency.get_or_load(key, || source.idempotency(key))?.cloned();
        let Some(used) = used else { return Ok(None) };
        rules::expect_fingerprint(idempotency, &used.fingerprint)?;
        let tenant = self.tenant;
        let mut present = Present { scope: self, stopped: None };
        let answer = used.replay.answer(tenant, args, &mut present);
        match present.stopped {
            Some(stop) => Err(Halt::Stopped(stop)),
            None => Ok(Some(answer?)),
        }
    }

    /// Records the key of a write that was applied.
    pub(super) fn record_key(
        &mut self,
        key: IdempotencyRowKey,
        idempotency: &Idempotency,
        result: &PersistResult,
    ) {
        let (fingerprint, replay) = (idempotency.fingerprint, Replay::of(result));
        self.rows.idempotency.put(key, IdempotencyRow { fingerprint, replay, created_at: self.now });
    }
}

/// The current rows, for answers that depend on them.
struct Present<'s, 'a, S: RowSource> {
    scope: &'s mut WriteScope<'a, S>,
    /// The reason why a look-up stopped, which the replay itself cannot return.
    stopped: Option<S::Stop>,
}

impl<S: RowSource> Present<'_, '_, S> {
    fn answer<T>(&mut self, found: Decided<T, S>) -> Result<T> {
        found.map_err(|halt| match halt {
            Halt::Refused(error) => error,
            Halt::Stopped(stop) => {
                self.stopped = Some(stop);
                PersistError::new(ErrorKind::Internal, "a look-up of the replay was stopped")
            }
        })
    }
}

impl<S: RowSource> LookUp for Present<'_, '_, S> {
    fn message(&mut self, thread: &ThreadId, id: &MessageId) -> Result<Option<Message>> {
        let scope = &mut *self.scope;
        let found = scope.floor(thread).and_then(|floor| {
            let Some(floor) = floor else { return Ok(None) };
            match scope.named(floor, thread, id)? {
                Named::There(row, _) => scope.with_content(thread, id, &row).map(Some),
                Named::Nothing | Named::Tombstone(_) => Ok(None),
            }
        });
        self.answer(found)
    }

    fn thread(&mut self, thread: &ThreadId) -> Result<Option<ThreadSummary>> {
        let scope = &mut *self.scope;
        let found = scope.thread(thread).and_then(|state| match state {
            Some(mut state) if !state.deleted => {
                summary_mut(&mut state, thread)?;
                Ok(state.entry(scope.tenant, thread))
            }
            _ => Ok(None),
        });
        self.answer(found)
    }
}
