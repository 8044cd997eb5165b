//! Consumers of the change feed: their cursors, and their quarantined changes.

use throughline_core::{
    PersistError, Position,
    backend::rules,
    changes::{
        ChangeQuarantined, ChangeReleased, ConsumerArgs, ConsumerResult, CursorMoved, MoveCursor,
        QuarantineChange, QuarantinedChange, ReleaseChange, ResetCursor,
    },
};

use super::{Decided, WriteScope};
use crate::{
    RowSource,
    rows::{ConsumerKey, ConsumerRow, QuarantineKey},
};

impl<S: RowSource> WriteScope<'_, S> {
    /// Applies one operation, and returns whether it changed anything.
    pub(super) fn consumer(&mut self, args: &ConsumerArgs) -> Decided<(ConsumerResult, bool), S> {
        let key = ConsumerKey { tenant: self.tenant.clone(), consumer: args.consumer().clone() };
        match args {
            ConsumerArgs::MoveCursor(moved) => self.move_cursor(key, moved),
            ConsumerArgs::ResetCursor(reset) => Ok((self.reset_cursor(key, reset), true)),
            ConsumerArgs::Quarantine(change) => Ok((self.quarantine(key, change)?, true)),
            ConsumerArgs::Release(change) => self.release(key, change),
            other => {
                let name = format_args!("the operation `{}` of a consumer", other.as_str());
                Err(PersistError::unsupported(name).into())
            }
        }
    }

    fn cursor(&mut self, key: &ConsumerKey) -> Decided<Option<Position>, S> {
        let source = &mut *self.source;
        let found = self.rows.consumers.get_or_load(key, || source.consumer(key))?;
        Ok(found.map(|row| row.position))
    }

    fn move_cursor(&mut self, key: ConsumerKey, moved: &MoveCursor) -> Decided<(ConsumerResult, bool), S> {
        let before = self.cursor(&key)?.unwrap_or(Position::ZERO);
        let position = rules::move_cursor(before, moved.to, moved.expected)?;
        let is_moved = position != before;
        if is_moved {
            self.rows.consumers.put(key, ConsumerRow { position });
        }
        let answer = CursorMoved { consumer: moved.consumer.clone(), position };
        Ok((ConsumerResult::MoveCursor(answer), is_moved))
    }

    /// Sets the cursor without reading it, so that a damaged cursor is repaired.
    fn reset_cursor(&mut self, key: ConsumerKey, reset: &ResetCursor) -> ConsumerResult {
        // The changes after it are delivered again.
        self.cut_quarantine(&key, reset.to);
        self.rows.consumers.put(key, ConsumerRow { position: reset.to });
        ConsumerResult::ResetCursor(CursorMoved { consumer: reset.consumer.clone(), position: reset.to })
    }

    /// Removes the changes after a position from the quarantine of a consumer.
    pub(super) fn cut_quarantine(&mut self, consumer: &ConsumerKey, after: Position) {
        let is_cut = |key: &&QuarantineKey| key.consumer == *consumer && key.position > after;
        let staged: Vec<QuarantineKey> =
            self.rows.quarantine.rows().map(|(key, _)| key).filter(is_cut).cloned().collect();
        for key in staged {
            self.rows.quarantine.remove(key);
        }
        self.rows.quarantine_cuts.push((consumer.clone(), after));
    }

    fn quarantine(&mut self, consumer: ConsumerKey, change: &QuarantineChange) -> Decided<ConsumerResult, S> {
        // A consumer with a quarantined change has a row, independent of its cursor.
        let is_known = match self.cursor(&consumer) {
            Ok(position) => position.is_some(),
            // A damaged cursor stays: a reset repairs it.
            Err(halt) if halt.is_corrupt() => true,
            Err(halt) => return Err(halt),
        };
        if !is_known {
            self.rows.consumers.put(consumer.clone(), ConsumerRow { position: Position::ZERO });
        }
        let QuarantineChange { position, thread, why, .. } = change;
        let row =
            QuarantinedChange { position: *position, thread: thread.clone(), at: self.now, why: why.clone() };
        // The stored row was not looked up: the change can be in the quarantine already, and a release must delete it then.
        self.rows.quarantine.put_over_stored(QuarantineKey { consumer, position: *position }, row);
        let answer = ChangeQuarantined { consumer: change.consumer.clone(), position: *position };
        Ok(ConsumerResult::Quarantine(answer))
    }

    fn release(
        &mut self,
        consumer: ConsumerKey,
        change: &ReleaseChange,
    ) -> Decided<(ConsumerResult, bool), S> {
        let position = change.position;
        let mut cuts = self.rows.quarantine_cuts.items().iter();
        let is_cut = cuts.any(|(of, after)| *of == consumer && position > *after);
        let key = QuarantineKey { consumer, position };
        let was_listed = match self.rows.quarantine.known(&key) {
            Some(staged) => staged.is_some(),
            None if is_cut => false,
            None => {
                let source = &mut *self.source;
                match self.rows.quarantine.get_or_load(&key, || source.quarantined(&key)) {
                    Ok(found) => found.is_some(),
                    // A damaged change is released like any other.
                    Err(halt) if halt.is_corrupt() => true,
                    Err(halt) => return Err(halt),
                }
            }
        };
        if was_listed {
            self.rows.quarantine.remove_stored(key);
        }
        let answer = ChangeReleased { consumer: change.consumer.clone(), position, was_listed };
        Ok((ConsumerResult::Release(answer), was_listed))
    }
}
