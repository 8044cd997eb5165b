//! Consumers of the change feed: their cursors, and their quarantined changes.

use throughline_core::{
    ErrorKind, PersistError, Position,
    backend::rules,
    changes::{
        ChangeQuarantined, ChangeReleased, ConsumerArgs, ConsumerResult, CursorMoved, MoveCursor,
        QuarantineChange, QuarantinedChange, ReleaseChange, ResetCursor,
    },
};

use super::{Decided, WriteScope, refusal};
use crate::{
    RowSource,
    rows::{ConsumerKey, ConsumerRow, QuarantineCount, QuarantineKey},
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
        let key = QuarantineKey { consumer, position: *position };
        match self.is_quarantined(&key) {
            Ok(true) => self.rows.quarantine.put(key, row),
            Ok(false) => {
                self.expect_space(&key.consumer)?;
                self.rows.quarantine.put(key, row);
            }
            // A damaged row is replaced.
            Err(halt) if halt.is_corrupt() => self.rows.quarantine.put_over_stored(key, row),
            Err(halt) => return Err(halt),
        }
        let answer = ChangeQuarantined { consumer: change.consumer.clone(), position: *position };
        Ok(ConsumerResult::Quarantine(answer))
    }

    /// Returns the position after which the transaction has removed the stored changes of a consumer.
    fn cut_after(&self, consumer: &ConsumerKey) -> Option<Position> {
        let cuts = self.rows.quarantine_cuts.items().iter();
        cuts.filter(|(of, _)| of == consumer).map(|(_, after)| *after).min()
    }

    fn is_quarantined(&mut self, key: &QuarantineKey) -> Decided<bool, S> {
        if let Some(staged) = self.rows.quarantine.known(key) {
            return Ok(staged.is_some());
        }
        if self.cut_after(&key.consumer).is_some_and(|after| key.position > after) {
            return Ok(false);
        }
        let source = &mut *self.source;
        Ok(self.rows.quarantine.get_or_load(key, || source.quarantined(key))?.is_some())
    }

    /// Refuses a further change in a full quarantine.
    fn expect_space(&mut self, consumer: &ConsumerKey) -> Decided<(), S> {
        let through = self.cut_after(consumer).unwrap_or(Position::new(u64::MAX));
        let query = QuarantineCount { consumer: consumer.clone(), through };
        let source = &mut *self.source;
        let load = || source.count_quarantined(&query).map(Some);
        let stored = self.rows.quarantine_counts.get_or_load(&query, load)?.copied().unwrap_or_default();
        let is_of = |key: &QuarantineKey| key.consumer == *consumer;
        let quarantine = &self.rows.quarantine;
        let added = quarantine.added().filter(|(key, _)| is_of(key)).count() as u64;
        // Stored, cut and put again.
        let again =
            quarantine.updated().filter(|(key, _)| is_of(key) && key.position > through).count() as u64;
        let removed = quarantine.removed().filter(|key| is_of(key) && key.position <= through).count() as u64;
        if (stored + added + again).saturating_sub(removed) < QuarantineChange::MAX_CHANGES {
            return Ok(());
        }
        let detail = format!(
            "the quarantine of the consumer `{}` has {} changes, which is the limit: \
             repair the consumer, and release changes or reset its cursor",
            consumer.consumer,
            QuarantineChange::MAX_CHANGES
        );
        Err(refusal(ErrorKind::TooLarge, detail).into())
    }

    fn release(
        &mut self,
        consumer: ConsumerKey,
        change: &ReleaseChange,
    ) -> Decided<(ConsumerResult, bool), S> {
        let position = change.position;
        let key = QuarantineKey { consumer, position };
        let was_listed = match self.is_quarantined(&key) {
            Ok(true) => {
                self.rows.quarantine.remove(key);
                true
            }
            Ok(false) => false,
            // A damaged change is released like any other.
            Err(halt) if halt.is_corrupt() => {
                self.rows.quarantine.remove_stored(key);
                true
            }
            Err(halt) => return Err(halt),
        };
        let answer = ChangeReleased { consumer: change.consumer.clone(), position, was_listed };
        Ok((ConsumerResult::Release(answer), was_listed))
    }
}
