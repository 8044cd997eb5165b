use rusqlite::Connection;
use throughline_core::{IndexedMetadata, PersistArgs, TenantId, Timestamp, threads::ThreadArgs};
use throughline_engine::{Limits, Outcome, Transaction, Write};

use super::{Positions, Source, ThreadCache, flush};
use crate::{
    blob::{BlobRef, BlobWriter},
    error::EngineError,
    failure::Applied,
    obsolete_chunks::Amount,
};

/// The decided but unwritten changes of a transaction.
#[derive(Debug)]
pub(crate) struct Staging<'a> {
    transaction: Transaction<Source<'a>>,
    segment_positions: i64,
    /// The last position that was taken before.
    base: i64,
    /// Whether every id that was added so far was looked up.
    ids_are_known: bool,
}

impl<'a> Staging<'a> {
    /// Begins in a store at the position `base`. `segment_positions` is the number of positions in a segment of the
    /// order.
    pub(crate) fn new(
        db: &'a Connection,
        (threads, blobs): (&'a mut ThreadCache, &'a mut BlobWriter),
        (limits, indexed): (Limits, IndexedMetadata),
        segment_positions: i64,
        base: i64,
    ) -> Self {
        let transaction = Transaction::new(Source::new(db, threads).with_blobs(blobs), limits)
            .with_indexed_metadata(indexed);
        Self { transaction, segment_positions, base, ids_are_known: true }
    }

    /// Records that these blobs were written for the next write.
    pub(crate) fn blobs_were_written(&mut self, written: &[BlobRef]) {
        if let Some(blobs) = &mut self.transaction.source_mut().blobs {
            blobs.were_written(written);
        }
    }

    /// Returns the last position that was taken so far.
    pub(crate) fn position(&self) -> i64 {
        self.base + i64::try_from(self.transaction.staged().events.len()).unwrap_or(i64::MAX)
    }

    /// Returns whether a write may repair stored rows, and so needs all staged changes to be written first.
    pub(crate) fn has_to_flush_before(args: &PersistArgs) -> bool {
        args.each().any(|item| {
            matches!(
                item,
                PersistArgs::Thread(ThreadArgs::Rebuild(_) | ThreadArgs::Delete(_) | ThreadArgs::Purge(_))
            )
        })
    }

    /// Decides a write. Assumes that ids that were minted for it are new, unless `looks_up_ids`. In the flush an index
    /// refuses one that is not new, and then the transaction must be decided again.
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

    /// Writes everything that is staged, and begins again with nothing staged. After an error the transaction is over.
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

    /// Returns the chunks that became obsolete and wait for their deletion.
    pub(crate) fn obsolete_chunks(&mut self) -> Amount {
        self.transaction.source_mut().obsolete_chunks
    }

    /// Returns the thread cache and the blobs of the writer. Nothing is staged.
    pub(crate) fn state(&mut self) -> (&mut ThreadCache, Option<&mut BlobWriter>) {
        let Source { threads, blobs, .. } = self.transaction.source_mut();
        (threads, blobs.as_deref_mut())
    }

    pub(crate) const fn segment_positions(&self) -> i64 {
        self.segment_positions
    }

    /// Continues after this position. Nothing is staged.
    pub(crate) const fn go_on_from(&mut self, position: i64) {
        self.base = position;
    }
}
