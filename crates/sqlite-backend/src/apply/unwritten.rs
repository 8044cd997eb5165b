//! Partial writes that share a transaction.
//!
//! Several may be about one message, and then only what they come to together has to be in the file: of two that
//! replace the content only the later one, of two that append text one piece of both. So what they change is kept here
//! until something else is written, and at the latest until the transaction commits. Each is answered as if it were
//! alone.

use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    mem,
};

use rusqlite::{Connection, ffi, params};
use throughline_core::{
    ContentUpdated, Happened, MessageId, MessageState, TenantId, ThreadId, Timestamp, UpdateContent,
    backend::rules,
};

use super::{
    Applied, Scope,
    content::{Step, answer},
    row::{clear_appends, find_or_refuse, write_head, write_state},
    threads::{changed, tell},
};
use crate::record::{Append, AppendKind, Record};

/// What the partial writes of a transaction have changed, and nobody has written yet.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    messages: RefCell<HashMap<(TenantId, ThreadId, MessageId), OpenMessage>>,
}

impl Unwritten {
    /// Writes everything.
    pub(crate) fn flush(&self, db: &Connection) -> rusqlite::Result<()> {
        if !self.messages.borrow().is_empty() {
            for (_, mut message) in self.messages.borrow_mut().drain() {
                message.write(db)?;
            }
        }
        Ok(())
    }

    /// Applies a partial write and leaves the writing for later.
    pub(super) fn update_content(scope: Scope<'_>, update: &UpdateContent) -> Applied<ContentUpdated> {
        let mut messages = scope.unwritten.messages.borrow_mut();
        let place = (scope.tenant.clone(), update.thread.clone(), update.id.clone());
        let message = match messages.entry(place) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let record = find_or_refuse(scope, &update.thread, &update.id)?;
                entry.insert(OpenMessage::new(scope, record)?)
            }
        };
        let step = Step::of(scope, update, &message.record)?;
        message.take(scope, update, step);
        Ok(answer(update, &message.record))
    }
}

/// An open message, with what it has grown by and is not in the file.
#[derive(Debug)]
pub(super) struct OpenMessage {
    record: Record,
    /// The state that the file has.
    state: MessageState,
    /// What is in the file is to go.
    begins_anew: bool,
    pieces: Vec<(AppendKind, String)>,
    changed: bool,
    thread_pk: i64,
    /// The last change of the content that nobody was told of: its position, and when it was.
    untold: Option<(i64, Timestamp)>,
}

impl OpenMessage {
    /// A message whose row was found.
    pub(super) fn new(scope: Scope<'_>, record: Record) -> Applied<Self> {
        let state = record.message.state;
        let thread = &record.message.thread;
        let thread_pk = match scope.living(thread)? {
            Some(state) => state.thread_pk,
            None => return Err(rules::no_such_thread(thread).into()),
        };
        let pieces = Vec::new();
        Ok(Self { record, state, begins_anew: false, pieces, changed: false, thread_pk, untold: None })
    }

    pub(super) const fn record(&self) -> &Record {
        &self.record
    }

    /// Takes what was found to be allowed.
    pub(super) fn take(&mut self, scope: Scope<'_>, update: &UpdateContent, step: Step) {
        self.changed = true;
        step.apply(&mut self.record);
        if update.change.is_none() {
            return;
        }
        self.untold = Some((self.record.position, scope.now));
        let Append { kind, delta } = Append::of(&update.change);
        if kind == AppendKind::Base {
            self.begins_anew = true;
            self.pieces.clear();
        }
        match self.pieces.last_mut() {
            Some((AppendKind::Text, text)) if kind == AppendKind::Text => text.push_str(delta),
            _ => self.pieces.push((kind, delta.to_owned())),
        }
    }

    /// Brings it to the file.
    pub(super) fn write(&mut self, db: &Connection) -> rusqlite::Result<()> {
        if !mem::take(&mut self.changed) {
            return Ok(());
        }
        if mem::take(&mut self.begins_anew) {
            clear_appends(db, &self.record)?;
            (self.record.appends, self.record.last_append) = (0, None);
        }
        let message_pk = self.record.message_pk;
        for (kind, delta) in self.pieces.drain(..) {
            self.record.appends += 1;
            let n = self.record.appends;
            let piece = Append { kind, delta: &delta };
            db.prepare_cached(
                "INSERT INTO appends (message_pk, n, prev, kind, checksum, delta) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                message_pk,
                n,
                self.record.last_append,
                kind.code(),
                piece.checksum(message_pk, n),
                delta
            ])?;
            let append_pk = Some(db.last_insert_rowid());
            if append_pk <= self.record.last_append {
                // The table is damaged. The piece would not be found again.
                return Err(keys_do_not_grow());
            }
            self.record.last_append = append_pk;
        }
        if mem::replace(&mut self.state, self.record.message.state) != self.record.message.state {
            write_state(db, &self.record)?;
        }
        write_head(db, &self.record)?;
        if let Some((position, at)) = self.untold.take() {
            let what = Happened::Written(changed(&self.record.message));
            tell(db, position, self.thread_pk, at, &what)?;
        }
        Ok(())
    }
}

fn keys_do_not_grow() -> rusqlite::Error {
    let told = "the keys of `appends` are out of order".to_owned();
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(told))
}
