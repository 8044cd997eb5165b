//! The threads that a transaction is about.
//!
//! Each is read when it is first needed, and what is counted of it is written once, at the end: writes to one thread that
//! share a commit share that too. What was read is good for the next transaction as well, as long as nobody else has
//! committed between the two.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::{HashMap, hash_map::Entry as Place},
};

use rusqlite::{Connection, OptionalExtension, Row, params};
use throughline_core::{
    ChangedMessage, ErrorKind, Generation, Happened, Message, MessageState, Role, Seq, TenantId, ThreadEntry,
    ThreadId, Timestamp,
    backend::{Removed, ThreadFacts, rules},
};

use super::{Applied, Scope, refusal, row};
use crate::record::{
    ENTRY_COLUMNS, EntryRow, HEAD_COLUMNS, Head, Listed, ThreadSegment, Told, by_place, entry_columns,
    head_columns, messages_behind, number,
};

/// A thread, the last place that a message of it has or had, and the segment in which its messages end.
pub(crate) const FIND_THREAD: &str = concat!(
    "SELECT ",
    head_columns!(),
    ", c.thread_pk, ",
    entry_columns!(),
    ", max(t.deleted_seq, t.floor, coalesce((SELECT m.seq FROM ",
    messages_behind!("t.thread_pk", "t.floor"),
    by_place!("DESC"),
    " LIMIT 1), 0), coalesce(e.first_seq, 0)), e.first_seq, e.segment, e.previous, e.checksum \
     FROM threads t LEFT JOIN catalogue c ON c.thread_pk = t.thread_pk \
     LEFT JOIN thread_segments e ON e.thread_pk = t.thread_pk AND e.first_seq = \
     (SELECT max(l.first_seq) FROM thread_segments l WHERE l.thread_pk = t.thread_pk) \
     WHERE t.tenant = ?1 AND t.thread = ?2"
);
/// The columns of [`FIND_THREAD`].
const HAS_ENTRY: usize = HEAD_COLUMNS;
const ENTRY: usize = HAS_ENTRY + 1;
const LAST_SEQ: usize = ENTRY + ENTRY_COLUMNS;
const SEGMENT: usize = LAST_SEQ + 1;

/// How many threads are kept from one transaction to the next: about a kilobyte each, and [`LARGE`] at most of what the host says.
const KEPT: usize = 4096;
/// A thread of which the host says more bytes than this is not kept.
const LARGE: usize = 4096;

/// The threads that were read.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    read: RefCell<HashMap<(TenantId, ThreadId), Option<ThreadState>>>,
    /// Those that were handed out since the last flush, each once: all that there may be to write.
    touched: RefCell<Vec<(TenantId, ThreadId)>>,
    /// Those of this transaction that are not kept for the next one.
    large: RefCell<Vec<(TenantId, ThreadId)>>,
    /// The position of the commit that they are of; none while a transaction is under way, and after one that was not
    /// committed.
    as_of: Cell<Option<i64>>,
}

/// A thread as the transaction has left it so far.
#[derive(Debug, Clone)]
pub(crate) struct ThreadState {
    pub(super) thread_pk: i64,
    pub(super) head: Head,
    /// Nothing where it cannot be read.
    entry: Option<ThreadFacts>,
    /// How the row of the entry stands in the index of the lists.
    listed: Option<Listed>,
    pub(super) last_seq: i64,
    /// The segment in which its messages end, if it has or had any.
    pub(super) segment: Option<i64>,
    /// Whether that can be believed, and with it the last place.
    is_ordered: bool,
    unwritten: Unwritten,
    is_touched: bool,
}

/// What of a thread is not in the file yet.
#[derive(Debug, Clone, Copy, Default)]
struct Unwritten {
    head: bool,
    purgeable: bool,
    entry: bool,
}

impl Threads {
    /// A transaction begins, in a store that has come to this position.
    pub(crate) fn begin(&self, position: i64) {
        let is_current = self.as_of.take() == Some(position);
        if !is_current || self.read.borrow().len() > KEPT {
            self.forget();
        }
    }

    /// It was committed, at this position.
    pub(crate) fn committed(&self, position: i64) {
        let mut read = self.read.borrow_mut();
        for key in self.large.borrow_mut().drain(..) {
            read.remove(&key);
        }
        self.as_of.set(Some(position));
    }

    /// Writes what is not in the file yet.
    pub(crate) fn flush(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut read = self.read.borrow_mut();
        for key in self.touched.borrow_mut().drain(..) {
            let Some(Some(state)) = read.get_mut(&key) else { continue };
            state.is_touched = false;
            state.write(db, &key.0, &key.1)?;
            if state.is_large() {
                self.large.borrow_mut().push(key);
            }
        }
        Ok(())
    }

    /// Forgets what was read: what follows a change that was undone reads anew.
    pub(crate) fn forget(&self) {
        self.read.borrow_mut().clear();
        self.touched.borrow_mut().clear();
        self.large.borrow_mut().clear();
    }

    /// Takes down that there may be something to write of a thread.
    fn touch(&self, state: &mut ThreadState, tenant: &TenantId, thread: &ThreadId) {
        if !std::mem::replace(&mut state.is_touched, true) {
            self.touched.borrow_mut().push((tenant.clone(), thread.clone()));
        }
    }
}

impl ThreadState {
    fn read(row: &Row<'_>, tenant: &TenantId, thread: &ThreadId) -> rusqlite::Result<Option<Self>> {
        let Some((thread_pk, head)) = Head::read(row, 0, tenant.as_str(), thread.as_str()) else {
            return Ok(None);
        };
        // The head tells where the last segment begins: without it, or with another one, places would be given again.
        let (segment, is_ordered) = match row.get::<_, Option<i64>>(SEGMENT)? {
            None => (None, head.last_segment == 0),
            Some(first_seq) => {
                let last = ThreadSegment::read(row, SEGMENT, thread_pk)?;
                let is_last = last.is_some() && first_seq == head.last_segment;
                (Some(row.get(SEGMENT + 1)?), is_last)
            }
        };
        let has_entry = row.get::<_, Option<i64>>(HAS_ENTRY)?.is_some();
        let entry =
            if has_entry { EntryRow::read(row, ENTRY, tenant.as_str(), thread.as_str()) } else { None };
        let entry = entry.map(|entry| entry.facts);
        Ok(Some(Self {
            thread_pk,
            head,
            listed: entry.as_ref().map(Listed::of),
            entry,
            last_seq: row.get(LAST_SEQ)?,
            segment,
            is_ordered,
            unwritten: Unwritten::default(),
            is_touched: false,
        }))
    }

    fn is_large(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.metadata.byte_len() > LARGE)
    }

    fn write(&mut self, db: &Connection, tenant: &TenantId, thread: &ThreadId) -> rusqlite::Result<()> {
        let Unwritten { head, purgeable, entry } = std::mem::take(&mut self.unwritten);
        let (tenant, thread) = (tenant.as_str(), thread.as_str());
        if head {
            self.head.update(db, self.thread_pk, tenant, thread)?;
        }
        if purgeable {
            self.head.write_purgeable(db, self.thread_pk)?;
        }
        if let (true, Some(entry)) = (entry, &self.entry) {
            EntryRow::write((entry, self.last_seq), db, self.thread_pk, (tenant, thread), self.listed)?;
            self.listed = Some(Listed::of(entry));
        }
        Ok(())
    }

    /// What lists show of it.
    pub(super) fn entry(&self, thread: &ThreadId) -> Applied<&ThreadFacts> {
        self.entry.as_ref().ok_or_else(|| entry_is_damaged(thread).into())
    }

    /// What lists show of it, to be changed.
    pub(super) fn entry_mut(&mut self, thread: &ThreadId) -> Applied<&mut ThreadFacts> {
        self.unwritten.entry = true;
        self.entry.as_mut().ok_or_else(|| entry_is_damaged(thread).into())
    }

    /// Refuses what depends on the last place of a thread, if that is not known.
    pub(super) fn expect_ordered(&self, thread: &ThreadId) -> Applied<()> {
        if self.is_ordered { Ok(()) } else { Err(order_is_damaged(thread).into()) }
    }

    /// What can be read of the entry, for one that is made again.
    pub(super) const fn readable_entry(&self) -> Option<&ThreadFacts> {
        self.entry.as_ref()
    }

    pub(super) fn set_entry(&mut self, entry: Option<ThreadFacts>) {
        self.unwritten.entry = true;
        // The row goes, or was damaged.
        self.listed = None;
        self.entry = entry;
    }

    pub(super) const fn head_mut(&mut self) -> &mut Head {
        self.unwritten.head = true;
        &mut self.head
    }

    pub(super) const fn set_purgeable(&mut self, purgeable: bool) {
        self.unwritten.head = true;
        self.unwritten.purgeable = true;
        self.head.purgeable = purgeable;
    }

    pub(super) fn generation(&self) -> Generation {
        self.head.generation()
    }

    /// The last sequence number that it has given.
    pub(super) fn last_seq(&self) -> Seq {
        Seq::new(u64::try_from(self.last_seq).unwrap_or_default())
    }

    /// Refuses a caller who saw the thread up to another sequence number.
    pub(super) fn expect_last(&self, thread: &ThreadId, after: Option<Seq>) -> Applied<()> {
        if after.is_some() {
            self.expect_ordered(thread)?;
        }
        Ok(rules::expect_last(after, self.last_seq())?)
    }

    pub(super) fn shown(&self, tenant: &TenantId, thread: &ThreadId) -> Applied<ThreadEntry> {
        Ok(self.entry(thread)?.entry(tenant, thread, self.generation(), self.last_seq()))
    }

    /// Counts a message that became settled.
    pub(super) fn count(&mut self, message: &Message) -> Applied<()> {
        self.entry_mut(&message.thread)?.count(message);
        Ok(())
    }

    /// Takes a message that goes out of the count. Its row must not be found any more.
    pub(super) fn uncount(&mut self, scope: Scope<'_>, gone: &Message, bytes: u64) -> Applied<()> {
        let seq = number(gone.seq.get());
        let head = self.head_mut();
        head.deleted_seq = head.deleted_seq.max(seq);
        if !gone.state.is_open() {
            head.gone_at = head.gone_at.max(gone.updated_at.as_micros());
        }
        if (gone.role, gone.state) == (Role::User, MessageState::Final) {
            head.gone_question = head.gone_question.max(seq);
        }
        let entry = self.entry_mut(&gone.thread)?;
        let removed = entry.tally.removed(gone.seq, gone.role, gone.state, bytes, gone.updated_at);
        if removed == Removed::PreviewIsDue {
            let latest = row::latest_of_the_user(scope, self.thread_pk, self.head.floor, &gone.thread)?;
            let tally = &mut self.entry_mut(&gone.thread)?.tally;
            match latest {
                Some(message) => tally.show(&message),
                None => tally.show_none(),
            }
        }
        Ok(())
    }
}

/// What is said where it is not known in which segments the messages of a thread lie.
pub(super) fn order_is_damaged(thread: &ThreadId) -> throughline_core::PersistError {
    refusal(ErrorKind::Corrupt, format!("the order of the thread `{thread}` is damaged"))
}

fn entry_is_damaged(thread: &ThreadId) -> throughline_core::PersistError {
    refusal(ErrorKind::Corrupt, format!("what lists show of the thread `{thread}` is damaged"))
}

impl<'a> Scope<'a> {
    /// The thread, if there is one, deleted or not.
    pub(super) fn thread(self, thread: &ThreadId) -> Applied<Option<RefMut<'a, ThreadState>>> {
        let mut read = self.threads.read.borrow_mut();
        if let Place::Vacant(place) = read.entry((self.tenant.clone(), thread.clone())) {
            let found = self
                .db
                .prepare_cached(FIND_THREAD)?
                .query_row(params![self.tenant.as_str(), thread.as_str()], |row| {
                    ThreadState::read(row, self.tenant, thread)
                })
                .optional()?;
            match found {
                None => place.insert(None),
                Some(None) => {
                    let detail = format!("the row of the thread `{thread}` is damaged");
                    return Err(refusal(ErrorKind::Corrupt, detail).into());
                }
                Some(state) => place.insert(state),
            };
        }
        let key = (self.tenant.clone(), thread.clone());
        let mut found = RefMut::filter_map(read, |read| read.get_mut(&key).and_then(Option::as_mut)).ok();
        if let Some(state) = &mut found {
            self.threads.touch(state, self.tenant, thread);
        }
        Ok(found)
    }

    /// The thread, for a write to it; nothing where it was never written to.
    pub(super) fn living(self, thread: &ThreadId) -> Applied<Option<RefMut<'a, ThreadState>>> {
        match self.thread(thread)? {
            Some(state) if state.head.deleted => Err(rules::thread_is_gone(thread).into()),
            found => Ok(found),
        }
    }

    /// Makes a thread that there is not.
    pub(super) fn begin(self, thread: &ThreadId, entry: ThreadFacts) -> Applied<RefMut<'a, ThreadState>> {
        let head = Head::new(entry.created_at.as_micros());
        let thread_pk = head.insert(self.db, self.tenant.as_str(), thread.as_str())?;
        let unwritten = Unwritten { entry: true, ..Unwritten::default() };
        let mut state = ThreadState {
            thread_pk,
            head,
            entry: Some(entry),
            listed: None,
            last_seq: 0,
            segment: None,
            is_ordered: true,
            unwritten,
            is_touched: false,
        };
        self.threads.touch(&mut state, self.tenant, thread);
        let read = self.threads.read.borrow_mut();
        let key = (self.tenant.clone(), thread.clone());
        Ok(RefMut::map(read, |read| {
            let place = read.entry(key).or_default();
            place.insert(state)
        }))
    }

    /// The thread, for a write that it begins with if there is none.
    pub(super) fn living_or_begun(
        self,
        thread: &ThreadId,
        created_at: Timestamp,
    ) -> Applied<RefMut<'a, ThreadState>> {
        match self.living(thread)? {
            Some(state) => Ok(state),
            None => self.begin(thread, ThreadFacts::implied(created_at)),
        }
    }

    /// The segment of what is written at a position.
    pub(super) const fn segment_at(self, position: i64) -> i64 {
        position / self.segment_positions
    }

    /// The place of the next change among all of the store.
    pub(crate) fn take_position(self) -> i64 {
        let position = self.position.get() + 1;
        self.position.set(position);
        position
    }

    /// Takes down what was changed.
    pub(super) fn tell(self, position: i64, thread_pk: i64, what: &Happened) -> Applied<()> {
        Ok(tell(self.db, position, thread_pk, self.now, what)?)
    }
}

/// Takes down what was changed then.
pub(super) fn tell(
    db: &Connection,
    position: i64,
    thread_pk: i64,
    at: Timestamp,
    what: &Happened,
) -> rusqlite::Result<()> {
    match Told::new(position, thread_pk, at.as_micros(), what) {
        Some(told) => told.insert(db),
        None => Ok(()),
    }
}

/// What a change says of the message that it is about.
pub(super) fn changed(message: &Message) -> ChangedMessage {
    ChangedMessage { id: message.id.clone(), seq: message.seq, revision: message.revision }
}

#[cfg(test)]
mod tests {
    use throughline_core::{Metadata, replica::Stance};

    use super::*;
    use crate::apply::Unwritten;

    #[test]
    fn a_commit_writes_what_was_handed_out_and_keeps_no_large_thread() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("../../migrations/0001_initial.sql")).unwrap();
        let (threads, unwritten, position) = (Threads::default(), Unwritten::default(), Cell::new(0));
        let (tenant, now) = (TenantId::new("a").unwrap(), Timestamp::from_micros(0));
        let (stance, kept_after) = (Cell::new(Stance::LEADING), Cell::new(0));
        let scope = Scope {
            stance: &stance,
            kept_after: &kept_after,
            db: &db,
            tenant: &tenant,
            now,
            position: &position,
            max_content_bytes: 0,
            segment_positions: 4096,
            unwritten: &unwritten,
            threads: &threads,
        };
        threads.begin(0);
        for (thread, bytes) in [("small", 1), ("large", LARGE)] {
            let mut metadata = Metadata::new();
            metadata.set("key", "x".repeat(bytes).as_str()).unwrap();
            let entry = ThreadFacts { metadata, ..ThreadFacts::implied(now) };
            drop(scope.begin(&thread.parse().unwrap(), entry).unwrap());
        }
        threads.flush(&db).unwrap();
        threads.committed(1);
        let count: i64 = db.query_row("SELECT count(*) FROM catalogue", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 2);
        let kept = |threads: &Threads| {
            threads.read.borrow().keys().map(|(_, thread)| thread.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(kept(&threads), ["small"]);

        threads.begin(1);
        for thread in ["small", "large"] {
            let thread: ThreadId = thread.parse().unwrap();
            let mut state = scope.living(&thread).unwrap().expect("it was begun");
            state.entry_mut(&thread).unwrap().archived = true;
        }
        assert_eq!(threads.touched.borrow().len(), 2);
        threads.flush(&db).unwrap();
        assert!(threads.touched.borrow().is_empty());
        let archived = "SELECT count(*) FROM catalogue WHERE archived";
        assert_eq!(db.query_row(archived, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
        threads.committed(2);
        assert_eq!(kept(&threads), ["small"]);

        // After a commit by somebody else nothing that was read is good.
        threads.begin(3);
        assert!(kept(&threads).is_empty());
    }
}
