use rusqlite::Connection;
use throughline_core::{PersistArgs, TenantId, Timestamp, threads::ThreadArgs};
use throughline_engine::{Limits, Outcome, Transaction, Write};

use super::{Positions, Source, ThreadCache, flush};
use crate::{error::EngineError, failure::Applied};

/// What a transaction has decided and not yet written.
#[derive(Debug)]
pub(crate) struct Staging<'a> {
    transaction: Transaction<Source<'a>>,
    segment_positions: i64,
    /// The last position that was taken before.
    base: i64,
    /// Whether each id that was added so far was looked up.
    ids_are_known: bool,
}

impl<'a> Staging<'a> {
    /// Begins in a store that has come to the position `base`. `segment_positions` says of how many positions a segment of the order is.
    pub(crate) fn new(
        db: &'a Connection,
        threads: &'a mut ThreadCache,
        limits: Limits,
        segment_positions: i64,
        base: i64,
    ) -> Self {
        let transaction = Transaction::new(Source::new(db, threads), limits);
        Self { transaction, segment_positions, base, ids_are_known: true }
    }

    /// The last position that was taken so far.
    pub(crate) fn position(&self) -> i64 {
        self.base + i64::try_from(self.transaction.staged().events.len()).unwrap_or(i64::MAX)
    }

    /// Whether a write may repair what is written already, and so has to find everything written.
    pub(crate) fn has_to_flush_before(args: &PersistArgs) -> bool {
        args.each().any(|item| {
            matches!(
                item,
                PersistArgs::Thread(ThreadArgs::Rebuild(_) | ThreadArgs::Delete(_) | ThreadArgs::Purge(_))
            )
        })
    }

    /// Decides a write. Ids that were minted for it are taken for new, unless `looks_up_ids`: an index refuses one that is not, in the
    /// flush, and then the transaction has to be decided again.
    pub(crate) fn apply(&mut self, write: &Write<'_>, looks_up_ids: bool) -> Applied<Outcome> {
        let minted = write.args.each().filter_map(|item| match item {
            PersistArgs::Add(add) if add.is_minted() => Some(add.id.clone()),
            PersistArgs::Reserve(reserve) if reserve.is_minted() => Some(reserve.id.clone()),
            _ => None,
        });
        if looks_up_ids {
            self.transaction.source_mut().assume_new(None);
        } else {
            self.ids_are_known = false;
            self.transaction.source_mut().assume_new(minted);
        }
        Ok(self.transaction.apply(write)?)
    }

    /// Takes a position for something that the engine does not decide.
    pub(crate) fn take_position(&mut self, tenant: &TenantId) {
        self.transaction.take_position(tenant, Timestamp::from_micros(0));
    }

    /// Writes everything that is staged, and begins anew. After an error the transaction is over.
    pub(crate) fn flush(&mut self) -> Result<(), EngineError> {
        let position = self.position();
        let positions = Positions::new(self.base, self.segment_positions).with_known_ids(self.ids_are_known);
        let staged = self.transaction.take_staged();
        let source = self.transaction.source_mut();
        flush(source, &staged, &positions)?;
        source.written();
        (self.base, self.ids_are_known) = (position, true);
        Ok(())
    }

    /// The threads that the writer keeps. Nothing is staged.
    pub(crate) fn threads(&mut self) -> &mut ThreadCache {
        self.transaction.source_mut().threads
    }

    pub(crate) const fn segment_positions(&self) -> i64 {
        self.segment_positions
    }

    /// Goes on behind this position. Nothing is staged.
    pub(crate) const fn go_on_from(&mut self, position: i64) {
        self.base = position;
    }
}
