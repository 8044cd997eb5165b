//! Keys that were used, in the same commit as what they were used for.

use throughline_core::{
    ErrorKind, Idempotency, IdempotencyKey, Message, MessageId, PersistArgs, PersistError, PersistResult,
    Result, ThreadEntry, ThreadId,
    backend::{LookUp, Replay, rules},
};

use super::{Scope, message::Named};
use crate::rows::{Found, Halt, KeyRow, ThreadKey};

impl Scope<'_> {
    /// Answers a call whose key was used before, as the first one was answered.
    pub(super) fn replay(
        &mut self,
        key: &(ThreadKey, IdempotencyKey),
        idempotency: &Idempotency,
        args: &PersistArgs,
    ) -> Found<Option<PersistResult>> {
        let Some(used) = self.rows.keys.get(key)?.cloned() else { return Ok(None) };
        rules::expect_fingerprint(idempotency, &used.fingerprint)?;
        let tenant = self.tenant;
        let mut present = Present { scope: self, unread: false };
        let answer = used.replay.answer(tenant, args, &mut present);
        if present.unread { Err(Halt::Unread) } else { Ok(Some(answer?)) }
    }

    /// Keeps the key of a write.
    pub(super) fn record(
        &mut self,
        key: (ThreadKey, IdempotencyKey),
        idempotency: &Idempotency,
        result: &PersistResult,
    ) {
        let fingerprint = idempotency.fingerprint;
        let row = KeyRow { fingerprint, replay: Replay::of(result), created_at: self.now };
        self.rows.keys.put(key, row);
    }
}

/// What there is by now, for a replay.
struct Present<'a, 'r> {
    scope: &'a mut Scope<'r>,
    /// A look-up has to wait for what was not read.
    unread: bool,
}

impl Present<'_, '_> {
    fn found<T>(&mut self, found: Found<T>) -> Result<T> {
        found.map_err(|halt| match halt {
            Halt::Refused(error) => error,
            Halt::Unread => {
                self.unread = true;
                PersistError::new(ErrorKind::Internal, "the look-up has to be made again")
            }
        })
    }
}

impl LookUp for Present<'_, '_> {
    fn message(&mut self, thread: &ThreadId, id: &MessageId) -> Result<Option<Message>> {
        let scope = &mut *self.scope;
        let found = scope.living(thread).and_then(|state| {
            let Some(state) = state else { return Ok(None) };
            match scope.named(state.floor, thread, id)? {
                Named::There(row, _) => scope.whole(thread, id, &row).map(Some),
                Named::Nothing | Named::Dead => Ok(None),
            }
        });
        self.found(found)
    }

    fn thread(&mut self, thread: &ThreadId) -> Result<Option<ThreadEntry>> {
        let scope = &mut *self.scope;
        let found = scope.thread(thread).and_then(|state| match state {
            Some(mut state) if !state.deleted => {
                Scope::facts(&mut state, thread)?;
                Ok(state.entry(scope.tenant, thread))
            }
            _ => Ok(None),
        });
        self.found(found)
    }
}
