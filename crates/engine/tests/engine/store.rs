//! A store of maps for tests, which can load in round trips and can have damaged rows.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Debug,
    hash::Hash,
};

use throughline_core::{
    Content, ErrorKind, Idempotency, Labels, MessageId, OwnerId, PersistArgs, PersistError, PersistResult,
    TenantId, Timestamp,
    backend::{
        names::KnownName,
        sessions::{AgentRecord, AttemptRecord, KnownSession, SessionHead},
    },
    changes::{ChangeKind, QuarantinedChange},
};
use throughline_engine::{
    Halt, Limits, Outcome, RowKey, RowSource, StagedRows, Transaction, Write, prefetch,
    rows::{
        AgentKey, AliasQuery, AliasRow, AttemptKey, ConsumerKey, ConsumerRow, ContentBuilder, DamagedRow,
        IdempotencyRow, IdempotencyRowKey, LeftoverQuery, MessageKey, MessageRange, MessageRow,
        QuarantineCount, QuarantineKey, RangeKind, RuntimeKey, SessionHeadKey, SessionKey, SessionQuery,
        ThreadKey, ThreadRow,
    },
};

pub(crate) type Refused = Result<Outcome, ErrorKind>;

/// A row is not loaded yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotLoaded;

#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) threads: HashMap<ThreadKey, ThreadRow>,
    pub(crate) messages: HashMap<MessageKey, MessageRow>,
    pub(crate) contents: HashMap<MessageKey, ContentBuilder>,
    /// The number of chunk rows that were ever inserted.
    pub(crate) chunk_rows: usize,
    pub(crate) keys: HashMap<IdempotencyRowKey, IdempotencyRow>,
    pub(crate) aliases: Vec<AliasRow>,
    pub(crate) heads: HashMap<SessionHeadKey, SessionHead>,
    pub(crate) consumers: HashMap<ConsumerKey, ConsumerRow>,
    pub(crate) quarantine: BTreeMap<QuarantineKey, QuarantinedChange>,
    pub(crate) events: Vec<ChangeKind>,
    pub(crate) positions: usize,
    /// Damaged messages.
    pub(crate) damaged: HashSet<MessageKey>,
    /// Other damaged rows: see [`Store::damage`].
    pub(crate) damaged_rows: HashSet<String>,
    /// Whether rows are loaded in round trips. Each loaded row is then returned once.
    pub(crate) loads_late: bool,
    /// The rows to load, and the loaded rows.
    pub(crate) wanted: HashSet<String>,
    pub(crate) loaded: HashSet<String>,
    pub(crate) round_trips: usize,
    /// The number of loads of message contents.
    pub(crate) content_loads: usize,
    pub(crate) now: i64,
    pub(crate) limits: Limits,
}

impl Store {
    /// Applies a write and commits it, with as many loads as it needs.
    pub(crate) fn apply(&mut self, args: impl Into<PersistArgs>) -> Refused {
        self.apply_with(args, None)
    }

    pub(crate) fn result(&mut self, args: impl Into<PersistArgs>) -> PersistResult {
        self.apply(args).expect("it is not refused").result
    }

    pub(crate) fn apply_with(&mut self, args: impl Into<PersistArgs>, key: Option<&Idempotency>) -> Refused {
        self.commit(&[args.into()], key).pop().expect("one answer to one write")
    }

    /// Applies writes in one transaction.
    pub(crate) fn commit(&mut self, writes: &[PersistArgs], key: Option<&Idempotency>) -> Vec<Refused> {
        let tenant = TenantId::default();
        self.now += 10;
        let (now, limits) = (Timestamp::from_micros(self.now), self.limits);
        let mut transaction = Transaction::new(&mut *self, limits);
        let mut answers = Vec::new();
        for args in writes {
            let write = Write { tenant: &tenant, args, idempotency: key, now };
            prefetch(&write, |row| transaction.source_mut().expect(row));
            transaction.source_mut().load_wanted();
            answers.push(loop {
                match transaction.apply(&write) {
                    Ok(outcome) => break Ok(outcome),
                    Err(Halt::Refused(error)) => break Err(error.kind()),
                    Err(Halt::Stopped(NotLoaded)) => transaction.source_mut().load_wanted(),
                }
            });
        }
        let (_, staged) = transaction.into_parts();
        self.flush(&staged);
        self.loaded.clear();
        answers
    }

    fn flush(&mut self, staged: &StagedRows) {
        fn put<K: Clone + Eq + Hash, V: Clone>(
            map: &mut HashMap<K, V>,
            rows: &throughline_engine::staged::StagedTable<K, V>,
        ) {
            for (key, row) in rows.added() {
                assert!(map.insert(key.clone(), row.clone()).is_none(), "an added row was there");
            }
            for (key, row) in rows.updated() {
                assert!(map.insert(key.clone(), row.clone()).is_some(), "an updated row was not there");
            }
        }
        put(&mut self.threads, &staged.threads);
        put(&mut self.messages, &staged.messages);
        put(&mut self.keys, &staged.idempotency);
        put(&mut self.heads, &staged.session_heads);
        for (key, _) in staged.messages.changed().filter(|(_, row)| row.is_tombstone()) {
            self.contents.remove(key);
        }
        for (key, content) in staged.contents.changed() {
            self.contents.insert(key.clone(), ContentBuilder::new(content.clone()));
        }
        for (key, chunk) in staged.chunks.inserted() {
            self.chunk_rows += 1;
            self.contents.get_mut(key).expect("an open message").push(&chunk.change);
        }
        let purged = staged.leftover_limits();
        let is_removed = |alias: &AliasRow| {
            let thread = purged.get(&alias.thread);
            thread.is_some_and(|(row, _)| row.deleted || alias.generation < row.generation)
        };
        self.aliases.retain(|alias| !is_removed(alias));
        self.aliases.extend(staged.inserted_aliases().cloned());
        self.heads.retain(|key, _| !purged.get(&key.thread).is_some_and(|(row, _)| row.deleted));
        self.consumers.extend(staged.consumers.changed().map(|(key, row)| (key.clone(), *row)));
        for (consumer, after) in staged.quarantine_cuts.items() {
            self.quarantine.retain(|key, _| key.consumer != *consumer || key.position <= *after);
        }
        for key in staged.quarantine.removed() {
            self.quarantine.remove(key);
        }
        self.quarantine.extend(staged.quarantine.changed().map(|(key, row)| (key.clone(), row.clone())));
        self.positions += staged.events.len();
        let emitted = staged.events.items().iter().filter_map(|event| event.change.clone());
        self.events.extend(emitted.map(|(_, kind)| kind));
    }

    /// Damages the row under a key; the content of a message is under `("content", key)`.
    pub(crate) fn damage(&mut self, key: &impl Debug) {
        self.damaged_rows.insert(format!("{key:?}"));
    }

    /// Stops the look-up of a row that is not loaded, in a store with round trips. Refuses the look-up of a damaged row.
    fn load(&mut self, key: &impl Debug) -> Result<(), Halt<NotLoaded>> {
        let key = format!("{key:?}");
        let is_damaged = self.damaged_rows.contains(&key);
        let is_loaded = !self.loads_late || self.loaded.contains(&key);
        if !is_loaded {
            self.wanted.insert(key);
            return Err(Halt::Stopped(NotLoaded));
        }
        if is_damaged {
            return Err(PersistError::new(ErrorKind::Corrupt, "the row is damaged").into());
        }
        self.loaded.remove(&key);
        Ok(())
    }

    /// Loads every wanted row in one round trip.
    fn load_wanted(&mut self) {
        self.round_trips += usize::from(!self.wanted.is_empty());
        self.loaded.extend(self.wanted.drain());
    }

    fn want(&mut self, key: &impl Debug) {
        if self.loads_late {
            self.wanted.insert(format!("{key:?}"));
        }
    }

    fn damaged_error(key: &MessageKey) -> Halt<NotLoaded> {
        let damaged = PersistError::new(ErrorKind::Corrupt, "the message is damaged");
        damaged.about(&key.thread.thread, &key.id).into()
    }
}

impl RowSource for &mut Store {
    type Stop = NotLoaded;

    fn thread(&mut self, key: &ThreadKey) -> Result<Option<ThreadRow>, Halt<NotLoaded>> {
        self.load(key)?;
        Ok(self.threads.get(key).cloned())
    }

    fn message(&mut self, key: &MessageKey) -> Result<Option<MessageRow>, Halt<NotLoaded>> {
        self.load(key)?;
        if self.damaged.contains(key) {
            return Err(Store::damaged_error(key));
        }
        Ok(self.messages.get(key).cloned())
    }

    fn content(&mut self, key: &MessageKey) -> Result<Option<Content>, Halt<NotLoaded>> {
        self.load(&("content", key))?;
        self.content_loads += 1;
        Ok(self.contents.get(key).map(ContentBuilder::content))
    }

    fn idempotency(&mut self, key: &IdempotencyRowKey) -> Result<Option<IdempotencyRow>, Halt<NotLoaded>> {
        self.load(key)?;
        Ok(self.keys.get(key).cloned())
    }

    fn aliases(&mut self, query: &AliasQuery) -> Result<Vec<KnownName>, Halt<NotLoaded>> {
        self.load(query)?;
        let found = self.aliases.iter().rev().filter(|alias| query.matches(alias));
        Ok(found.map(|alias| alias.known.clone()).take(query.limit()).collect())
    }

    fn messages_in(&mut self, range: &MessageRange) -> Result<Vec<(MessageId, MessageRow)>, Halt<NotLoaded>> {
        self.load(range)?;
        let mut found: Vec<_> = self
            .messages
            .iter()
            .filter(|(key, row)| key.thread == range.thread && !row.is_tombstone())
            .filter(|(key, row)| {
                let is_above = row.seq.is_some_and(|seq| seq > range.floor);
                is_above != (range.kind == RangeKind::Purgeable)
                    && (range.kind != RangeKind::Open || row.state.is_open())
                    && (range.kind != RangeKind::Questions || row.is_question())
                    && !(range.kind.skips_damaged() && self.damaged.contains(key))
            })
            .map(|(key, row)| (key.id.clone(), row.clone()))
            .collect();
        found.sort_by_key(|(_, row)| row.seq);
        if matches!(range.kind, RangeKind::Latest | RangeKind::Questions) {
            found.reverse();
        }
        found.truncate(usize::try_from(range.limit).unwrap_or(usize::MAX));
        if !range.kind.skips_damaged() && range.kind != RangeKind::Purgeable {
            let key = |id: &MessageId| MessageKey { thread: range.thread.clone(), id: id.clone() };
            let mut keys = found.iter().map(|(id, _)| key(id));
            if let Some(key) = keys.find(|key| self.damaged.contains(key)) {
                return Err(Store::damaged_error(&key));
            }
        }
        Ok(found)
    }

    fn agent(&mut self, _: &AgentKey) -> Result<Option<AgentRecord>, Halt<NotLoaded>> {
        Ok(None)
    }

    fn runtime(&mut self, _: &RuntimeKey) -> Result<Option<u64>, Halt<NotLoaded>> {
        Ok(None)
    }

    fn session_head(&mut self, key: &SessionHeadKey) -> Result<Option<SessionHead>, Halt<NotLoaded>> {
        self.load(key)?;
        Ok(self.heads.get(key).cloned())
    }

    fn session(&mut self, _: &SessionKey) -> Result<Option<KnownSession>, Halt<NotLoaded>> {
        Ok(None)
    }

    fn attempt(&mut self, _: &AttemptKey) -> Result<Option<AttemptRecord>, Halt<NotLoaded>> {
        Ok(None)
    }

    fn sessions_in(&mut self, _: &SessionQuery) -> Result<Vec<KnownSession>, Halt<NotLoaded>> {
        Ok(Vec::new())
    }

    fn consumer(&mut self, key: &ConsumerKey) -> Result<Option<ConsumerRow>, Halt<NotLoaded>> {
        self.load(key)?;
        Ok(self.consumers.get(key).copied())
    }

    fn quarantined(&mut self, key: &QuarantineKey) -> Result<Option<QuarantinedChange>, Halt<NotLoaded>> {
        self.load(key)?;
        Ok(self.quarantine.get(key).cloned())
    }

    fn count_quarantined(&mut self, query: &QuarantineCount) -> Result<u64, Halt<NotLoaded>> {
        self.load(query)?;
        let is_of = |key: &&QuarantineKey| key.consumer == query.consumer && key.position <= query.through;
        Ok(self.quarantine.keys().filter(is_of).count() as u64)
    }

    fn leftovers(&mut self, query: &LeftoverQuery) -> Result<u64, Halt<NotLoaded>> {
        self.load(query)?;
        let is_over = |alias: &&AliasRow| {
            alias.thread == query.thread && query.below.is_none_or(|below| alias.generation < below)
        };
        let heads = self.heads.keys().filter(|key| query.below.is_none() && key.thread == query.thread);
        Ok((self.aliases.iter().filter(is_over).count() + heads.count()) as u64)
    }

    fn recovered_labels(&mut self, key: &ThreadKey) -> Result<(Labels, Option<OwnerId>), Halt<NotLoaded>> {
        self.load(&("labels", key))?;
        Ok((Labels::new(), None))
    }

    fn expect(&mut self, row: RowKey<'_>) {
        match row {
            RowKey::Thread(key) => self.want(key),
            RowKey::Message(key) | RowKey::MintedMessage(key) => self.want(key),
            RowKey::Content(key) => self.want(&("content", key)),
            RowKey::Idempotency(key) => self.want(key),
            RowKey::SessionHead(key) => self.want(key),
            RowKey::Consumer(key) => self.want(key),
            RowKey::Quarantined(key) => self.want(key),
            RowKey::Agent(_) | RowKey::Runtime(_) => {}
        }
    }

    fn damaged_message(&mut self, key: &MessageKey) -> Result<Option<DamagedRow>, Halt<NotLoaded>> {
        let found = self.messages.get(key).filter(|_| self.damaged.contains(key));
        Ok(found.and_then(|row| {
            let MessageRow { seq, revision, replaced, state, .. } = *row;
            Some(DamagedRow { seq: seq?, revision, replaced, state: Some(state) })
        }))
    }
}
