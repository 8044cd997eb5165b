//! A thread as the model sees it.

use throughline_core::{
    ErrorKind, Labels, MessageState, Metadata, PersistResult, Revision, Role, Seq, TenantId, Timestamp,
    changes::{ChangeKind, ChangedMessage},
    messages::TakenMessage,
    threads::{Generation, Pruned, ThreadChanged, ThreadDeleted, ThreadResult, ThreadSummary},
};

use super::{
    look::settle,
    row::Row,
    step::{Op, THREADS, TITLES, ThreadOp},
    write::{At, Refusal, Rows, deleted},
};

/// The state of a thread, without its rows.
#[derive(Debug, Clone)]
pub(super) struct Thread {
    tenant: usize,
    thread: usize,
    title: usize,
    archived: bool,
    hidden: bool,
    reuses_ids: bool,
    /// Has or had a settled message.
    begun: bool,
    deleted: bool,
    generation: u64,
    created: i64,
    active: i64,
    /// Further possible times of activity, for a store that counts heartbeats.
    perhaps_active: Vec<i64>,
    changed: i64,
}

impl Thread {
    fn new(tenant: usize, thread: usize, created: i64) -> Self {
        Self {
            tenant,
            thread,
            title: 0,
            archived: false,
            hidden: false,
            reuses_ids: false,
            begun: false,
            deleted: false,
            generation: 1,
            created,
            active: created,
            perhaps_active: Vec::new(),
            changed: created,
        }
    }
}

/// The expected answer to an operation on a thread.
pub(super) fn answered(thread_op: ThreadOp, entry: ThreadSummary, deduplicated: bool) -> PersistResult {
    let changed = ThreadChanged { summary: entry, deduplicated };
    let result = match thread_op {
        ThreadOp::Create { .. } => ThreadResult::Create(changed),
        ThreadOp::Rename { .. } => ThreadResult::Rename(changed),
        ThreadOp::Archive(_) => ThreadResult::Archive(changed),
        ThreadOp::Publish => ThreadResult::Publish(changed),
        ThreadOp::Rebuild => ThreadResult::Rebuild(changed),
        ThreadOp::Clear { .. } => ThreadResult::Clear(changed),
        ThreadOp::Prune { .. } | ThreadOp::TakeLast { .. } | ThreadOp::Delete => {
            unreachable!("they have answers of their own")
        }
    };
    result.into()
}

impl Rows {
    fn known(&self, tenant: usize, thread: usize) -> Option<&Thread> {
        self.threads.iter().find(|known| (known.tenant, known.thread) == (tenant, thread))
    }

    fn known_mut(&mut self, tenant: usize, thread: usize) -> Option<&mut Thread> {
        self.threads.iter_mut().find(|known| (known.tenant, known.thread) == (tenant, thread))
    }

    /// Refuses what is done to a deleted thread.
    pub(super) fn alive(&self, tenant: usize, thread: usize) -> Result<(), Refusal> {
        let deleted = self.known(tenant, thread).is_some_and(|known| known.deleted);
        if deleted { Err(ErrorKind::Gone) } else { Ok(()) }
    }

    pub(super) fn expect_generation(
        &self,
        tenant: usize,
        thread: usize,
        expected: Option<u64>,
    ) -> Result<(), Refusal> {
        let generation = self.known(tenant, thread).map_or(1, |known| known.generation);
        if expected.is_none_or(|expected| expected == generation) { Ok(()) } else { Err(ErrorKind::Stale) }
    }

    /// Whether the ids of deleted messages can be used again.
    pub(super) fn reuses_ids(&self, tenant: usize, thread: usize) -> bool {
        self.known(tenant, thread).is_some_and(|known| known.reuses_ids)
    }

    /// A thread exists from its first row.
    pub(super) fn begin(&mut self, row: &Row) {
        if self.known(row.tenant, row.thread).is_none() {
            self.threads.push(Thread::new(row.tenant, row.thread, row.created));
        }
    }

    /// Something settled was changed.
    pub(super) fn active(&mut self, row: &Row) {
        let known = self.known_mut(row.tenant, row.thread).expect("a row has a thread");
        known.active = known.active.max(row.updated);
        known.perhaps_active.extend(row.renewed);
    }

    /// A row is settled.
    pub(super) fn settled(&mut self, row: &Row) {
        self.active(row);
        self.known_mut(row.tenant, row.thread).expect("a row has a thread").begun = true;
    }

    /// A change of the thread that its rows do not show.
    pub(super) fn changed(&mut self, at: &At<'_>, thread: usize) {
        let known = self.known_mut(at.tenant, thread).expect("it was looked for");
        known.changed = known.changed.max(at.now);
    }

    pub(super) fn emit(&mut self, row: &Row, kind: fn(ChangedMessage) -> ChangeKind) {
        let (id, seq, revision) = (row.id.clone(), Seq::new(row.seq), Revision::new(row.revision));
        self.emitted.push((row.thread, kind(ChangedMessage { id, seq, revision })));
    }

    /// The summary of a thread; `seen` shows which of the possible times of activity the store uses.
    pub(super) fn entry(
        &self,
        (tenant, name): (usize, &TenantId),
        thread: usize,
        seen: &[ThreadSummary],
    ) -> Option<ThreadSummary> {
        let known = self.known(tenant, thread).filter(|known| !known.deleted)?;
        let finals = || {
            let rows = self
                .messages
                .iter()
                .filter(|row| (row.tenant, row.thread, row.dead) == (tenant, thread, false));
            rows.filter(|row| row.state == MessageState::Final)
        };
        let users = || finals().filter(|row| row.role == Role::User);
        let is_stores = |at: &i64| {
            let same = |entry: &&ThreadSummary| entry.thread.as_str() == THREADS[thread];
            seen.iter().filter(same).any(|entry| entry.active_at.as_micros() == *at)
        };
        let perhaps = known.perhaps_active.iter().copied().filter(is_stores).max();
        let active = perhaps.map_or(known.active, |at| at.max(known.active));
        let latest = users().max_by_key(|row| row.seq);
        Some(ThreadSummary {
            tenant: name.clone(),
            thread: THREADS[thread].parse().expect("a valid id"),
            title: TITLES[known.title].parse().expect("a title"),
            owner: None,
            labels: Labels::new(),
            metadata: Metadata::new(),
            archived: known.archived,
            listed: known.begun && !known.hidden,
            reuses_ids: known.reuses_ids,
            generation: Generation::new(known.generation),
            last_seq: Seq::new(self.last_seq(tenant, thread)),
            forked_from: None,
            preview: latest.and_then(|row| row.blocks.preview()),
            messages: finals().count() as u64,
            turns: users().count() as u64,
            bytes: finals().map(|row| row.blocks.json().byte_len() as u64).sum(),
            created_at: Timestamp::from_micros(known.created),
            active_at: Timestamp::from_micros(active),
            updated_at: Timestamp::from_micros(active.max(known.changed)),
        })
    }

    /// Does something to a thread as a whole.
    pub(super) fn thread(
        &mut self,
        at: &At<'_>,
        op: &Op,
        thread_op: ThreadOp,
    ) -> Result<PersistResult, Refusal> {
        let (tenant, thread) = (at.tenant, op.thread);
        let emitted = match thread_op {
            ThreadOp::Delete => return self.delete_thread(at, op),
            ThreadOp::Create { title, hidden, reuses_ids } => {
                self.alive(tenant, thread)?;
                if self.known(tenant, thread).is_some() {
                    return Err(ErrorKind::AlreadyExists);
                }
                self.threads.push(Thread {
                    title,
                    hidden,
                    reuses_ids,
                    ..Thread::new(tenant, thread, at.now)
                });
                Some(ChangeKind::ThreadCreated)
            }
            thread_op => {
                self.alive(tenant, thread)?;
                let known = self.known_mut(tenant, thread).ok_or(ErrorKind::NotFound)?;
                match thread_op {
                    ThreadOp::Rename { title, expected } => {
                        if expected.is_some_and(|expected| expected != known.title) {
                            return Err(ErrorKind::Stale);
                        }
                        known.title = title;
                        Some(ChangeKind::ThreadChanged)
                    }
                    ThreadOp::Archive(archived) => {
                        known.archived = archived;
                        Some(ChangeKind::ThreadChanged)
                    }
                    ThreadOp::Publish => {
                        let was_hidden = std::mem::take(&mut known.hidden);
                        // It is listed from here on, whether anything was said in it or not.
                        known.begun |= was_hidden;
                        was_hidden.then_some(ChangeKind::ThreadPublished)
                    }
                    ThreadOp::Clear { expected } => {
                        if expected.is_some_and(|expected| expected != known.generation) {
                            return Err(ErrorKind::Stale);
                        }
                        known.generation += 1;
                        let generation = Generation::new(known.generation);
                        self.rows_of(tenant, thread).for_each(|row| (row.dead, row.cleared) = (true, true));
                        Some(ChangeKind::ThreadCleared { generation, through: Seq::ZERO })
                    }
                    ThreadOp::Prune { through, generation, limit } => {
                        self.expect_generation(tenant, thread, Some(generation))?;
                        return Ok(self.prune(at, op, through, limit as usize));
                    }
                    ThreadOp::TakeLast { expected } => return self.take_last(at, op, expected),
                    // It comes out the same.
                    _ => None,
                }
            }
        };
        if let Some(kind) = emitted {
            self.changed(at, thread);
            self.emitted.push((thread, kind));
        }
        let entry = self.entry((tenant, at.name), thread, at.seen).expect("it is there");
        Ok(answered(thread_op, entry, false))
    }

    fn rows_of(&mut self, tenant: usize, thread: usize) -> impl Iterator<Item = &mut Row> {
        self.messages
            .iter_mut()
            .filter(move |row| (row.tenant, row.thread, row.dead) == (tenant, thread, false))
    }

    fn delete_thread(&mut self, at: &At<'_>, op: &Op) -> Result<PersistResult, Refusal> {
        let known = self.known_mut(at.tenant, op.thread).ok_or(ErrorKind::NotFound)?;
        let already = std::mem::replace(&mut known.deleted, true);
        if !already {
            self.rows_of(at.tenant, op.thread).for_each(|row| row.dead = true);
            self.emitted.push((op.thread, ChangeKind::ThreadDeleted));
        }
        Ok(ThreadResult::Delete(ThreadDeleted { thread: op.thread(), already, deduplicated: false }).into())
    }

    /// The last sequence number that a thread has ever given; 0 where it is not there.
    pub(super) fn last_seq(&self, tenant: usize, thread: usize) -> u64 {
        if self.known(tenant, thread).is_none_or(|known| known.deleted) {
            return 0;
        }
        let rows = self.messages.iter().filter(|row| (row.tenant, row.thread) == (tenant, thread));
        rows.map(|row| row.seq).max().unwrap_or(0)
    }

    fn take_last(&mut self, at: &At<'_>, op: &Op, expected: Option<u64>) -> Result<PersistResult, Refusal> {
        let last = self.rows_of(at.tenant, op.thread).max_by_key(|row| row.seq);
        let seq = last.as_ref().map(|row| row.seq);
        if expected.is_some_and(|expected| Some(expected) != seq) {
            return Err(ErrorKind::Stale);
        }
        let mut taken =
            TakenMessage { thread: op.thread(), deleted: None, message: None, deduplicated: false };
        if let Some(row) = last {
            row.dead = true;
            let row = row.clone();
            self.changed(at, op.thread);
            self.emit(&row, ChangeKind::Deleted);
            taken.message = Some(Box::new(settle(&row, at.name, at.taken)));
            taken.deleted = Some(deleted(&row, op));
        }
        Ok(ThreadResult::TakeLast(taken).into())
    }

    fn prune(&mut self, at: &At<'_>, op: &Op, through: u64, limit: usize) -> PersistResult {
        let mut rows: Vec<&mut Row> = self.rows_of(at.tenant, op.thread).collect();
        rows.sort_by_key(|row| row.seq);
        let count = rows.iter().take_while(|row| row.seq <= through && !row.is_open()).count();
        let mut pruned = Pruned {
            thread: op.thread(),
            messages: 0,
            bytes: 0,
            attachments: Vec::new(),
            more: count > limit,
            deduplicated: false,
        };
        let mut last = None;
        for row in rows.into_iter().take(count.min(limit)) {
            row.dead = true;
            last = Some(row.seq);
            pruned.messages += 1;
            pruned.bytes += row.blocks.json().byte_len() as u64;
            pruned.attachments.extend(row.attachments.iter().map(|name| name.parse().expect("a valid key")));
        }
        if let Some(last) = last {
            self.changed(at, op.thread);
            self.emitted.push((op.thread, ChangeKind::ThreadPruned { through: Seq::new(last) }));
        }
        ThreadResult::Prune(pruned).into()
    }
}
