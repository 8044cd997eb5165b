//! The loaded and changed rows of a transaction, until the backend writes them.
//!
//! Every table, list and chunk can be undone to the last savepoint, which is the beginning of the current write.

mod changed;
mod chunks;
mod list;
mod table;

use std::collections::HashMap;

use throughline_core::{
    Content, Labels, MessageId, OwnerId, Position, Seq,
    backend::{
        names::KnownName,
        sessions::{AgentRecord, AttemptRecord, KnownSession, SessionHead},
    },
    changes::QuarantinedChange,
};

pub use self::{
    changed::ChangedRow,
    chunks::{StagedChunk, StagedChunks},
    list::StagedList,
    table::StagedTable,
};
use crate::rows::{
    AgentKey, AliasQuery, AliasRow, AttemptKey, ChangeEvent, ConsumerKey, ConsumerRow, IdempotencyRow,
    IdempotencyRowKey, IndexedMessage, LeftoverPurge, LeftoverQuery, MessageKey, MessageRow, QuarantineCount,
    QuarantineKey, RangeKind, RuntimeKey, SessionHeadKey, SessionKey, SessionQuery, ThreadKey, ThreadRow,
};

/// The rows of a transaction: the loaded rows, and the rows to write.
#[derive(Debug, Default)]
pub struct StagedRows {
    /// Threads.
    pub threads: StagedTable<ThreadKey, ThreadRow>,
    /// Messages and tombstones. The store removes the content of a message with its tombstone; [`contents`](Self::contents) has
    /// none then.
    pub messages: StagedTable<MessageKey, MessageRow>,
    /// The whole content of messages, loaded or to be written. For an open message, without the staged chunks.
    pub contents: StagedTable<MessageKey, Content>,
    /// The entries of messages in the index of metadata, if names are [declared](crate::Transaction::with_indexed_metadata). They
    /// replace the earlier entries of the message; only an [added](StagedTable::added) message has none.
    pub indexed: StagedTable<MessageKey, IndexedMessage>,
    /// Chunks of open messages to insert, and to delete.
    pub chunks: StagedChunks,
    /// Idempotency keys.
    pub idempotency: StagedTable<IdempotencyRowKey, IdempotencyRow>,
    /// Recorded aliases, in order: see [`inserted_aliases`](Self::inserted_aliases).
    pub aliases: StagedList<AliasRow>,
    /// Threads whose labels or owner changed.
    pub relabeled: StagedList<ThreadKey>,
    /// Threads whose leftovers are removed: see [`leftover_limits`](Self::leftover_limits).
    pub leftover_purges: StagedList<LeftoverPurge>,
    /// Agents as a whole.
    pub agents: StagedTable<AgentKey, AgentRecord>,
    /// The drop counters of runtimes.
    pub runtimes: StagedTable<RuntimeKey, u64>,
    /// Session heads.
    pub session_heads: StagedTable<SessionHeadKey, SessionHead>,
    /// Sessions.
    pub sessions: StagedTable<SessionKey, KnownSession>,
    /// Attempts.
    pub attempts: StagedTable<AttemptKey, AttemptRecord>,
    /// Consumers. A changed row can be new or not: [`reset`](throughline_core::changes::ResetCursor) writes it without a look-up.
    pub consumers: StagedTable<ConsumerKey, ConsumerRow>,
    /// Quarantined changes.
    pub quarantine: StagedTable<QuarantineKey, QuarantinedChange>,
    /// Consumers whose quarantined changes after a position are removed, except those that [`quarantine`](Self::quarantine) has.
    pub quarantine_cuts: StagedList<(ConsumerKey, Position)>,
    /// The change events, in order.
    pub events: StagedList<ChangeEvent>,
    /// The answered queries.
    pub(crate) alias_queries: StagedTable<AliasQuery, Vec<KnownName>>,
    pub(crate) session_queries: StagedTable<SessionQuery, ()>,
    pub(crate) leftovers: StagedTable<LeftoverQuery, u64>,
    pub(crate) quarantine_counts: StagedTable<QuarantineCount, u64>,
    pub(crate) recovered_labels: StagedTable<ThreadKey, (Labels, Option<OwnerId>)>,
    /// The loaded part of each range above or below a floor.
    pub(crate) message_ranges: HashMap<(ThreadKey, RangeKind, Seq), LoadedRange>,
}

/// The loaded part of a range of messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadedRange {
    /// The largest limit of its loads.
    pub(crate) limit: u64,
    /// Whether the store has no more rows of the range.
    pub(crate) is_complete: bool,
}

macro_rules! each_part {
    ($rows:ident.$call:ident()) => {
        $rows.threads.$call();
        $rows.messages.$call();
        $rows.contents.$call();
        $rows.indexed.$call();
        $rows.chunks.$call();
        $rows.idempotency.$call();
        $rows.aliases.$call();
        $rows.relabeled.$call();
        $rows.leftover_purges.$call();
        $rows.agents.$call();
        $rows.runtimes.$call();
        $rows.session_heads.$call();
        $rows.sessions.$call();
        $rows.attempts.$call();
        $rows.consumers.$call();
        $rows.quarantine.$call();
        $rows.quarantine_cuts.$call();
        $rows.events.$call();
        $rows.alias_queries.$call();
        $rows.session_queries.$call();
        $rows.leftovers.$call();
        $rows.quarantine_counts.$call();
        $rows.recovered_labels.$call();
    };
}

impl StagedRows {
    /// Sets a savepoint: earlier changes can no longer be undone.
    pub fn set_savepoint(&mut self) {
        each_part!(self.set_savepoint());
    }

    /// Undoes every change since the last savepoint. Loaded rows remain loaded.
    pub fn undo(&mut self) {
        each_part!(self.undo());
    }

    /// The threads whose leftovers are removed, each with its row after the transaction, and the largest limit of its purges.
    #[must_use]
    pub fn leftover_limits(&self) -> HashMap<&ThreadKey, (&ThreadRow, u64)> {
        let mut limits = HashMap::new();
        for LeftoverPurge { thread, limit } in self.leftover_purges.items() {
            let Some(Some(row)) = self.threads.known(thread) else { continue };
            let (_, most) = limits.entry(thread).or_insert((row, *limit));
            *most = (*most).max(*limit);
        }
        limits
    }

    /// The number of stored messages of a thread that the transaction has changed.
    pub(crate) fn updated_messages_in(&self, thread: &ThreadKey) -> u64 {
        self.messages.updated().filter(|(key, _)| key.thread == *thread).count() as u64
    }

    /// The loaded and staged messages of a thread that are no tombstones, by sequence number.
    pub(crate) fn messages_in(
        &self,
        thread: &ThreadKey,
        is_wanted: impl Fn(Seq) -> bool,
    ) -> Vec<(&MessageId, Seq, &MessageRow)> {
        let in_thread = self.messages.rows().filter(|(key, _)| key.thread == *thread);
        let with_seq = in_thread.filter_map(|(key, row)| Some((&key.id, row.seq?, row)));
        let mut found: Vec<_> = with_seq.filter(|(_, seq, _)| is_wanted(*seq)).collect();
        found.sort_unstable_by_key(|(_, seq, _)| *seq);
        found
    }

    /// The aliases to insert: those that no purge of the transaction removes.
    pub fn inserted_aliases(&self) -> impl Iterator<Item = &AliasRow> {
        let limits = self.leftover_limits();
        let is_removed = move |alias: &AliasRow| {
            let thread = limits.get(&alias.thread);
            thread.is_some_and(|(row, _)| row.deleted || alias.generation < row.generation)
        };
        self.aliases.items().iter().filter(move |alias| !is_removed(alias))
    }
}
