//! Answers to reads.

use std::cell::Cell;

use throughline_core::{
    BoxError, Effect, ErrorKind, Message, MessageId, PersistError, Position, ReadArgs, ReadResult, Result,
    Seq, TenantId, ThreadId, Timestamp,
    backend::{
        rules,
        sessions::{AgentRecord, AttemptRecord},
    },
    changes::{Change, ChangeScope, QuarantinedChange, ReadChanges},
    messages::{DamagedMessage, ListOpen, OpenReservations, Page, PageFrom, ReadPage},
    sessions::ListAttempts,
    threads::{ListTenants, Tenants},
};

use super::{OrderedRead, OrderedRows, keys};
use crate::{
    Halt, Limits, Transaction, read,
    rows::{
        AgentKey, AliasRow, ConsumerKey, ConsumerRow, MessageKey, MessageRow, SessionHeadKey, ThreadKey,
        ThreadRow,
    },
};

const LAST: Seq = Seq::new(u64::MAX);

/// The first error of a read.
#[derive(Default)]
struct FirstError(Cell<Option<BoxError>>);

impl FirstError {
    /// Ends an iteration at the first error.
    fn keep<T>(&self, read: Result<T, BoxError>) -> Option<T> {
        read.map_err(|error| self.0.set(Some(error))).ok()
    }

    fn or<T>(self, answer: T) -> Result<T, BoxError> {
        self.0.into_inner().map_or(Ok(answer), Err)
    }
}

impl<S: OrderedRead> OrderedRows<S> {
    /// Answers a read of a tenant on this snapshot. `now` decides which leases have expired. Searches, the audit log and row
    /// images are `Unsupported`: a store with those answers them itself.
    ///
    /// # Errors
    /// `Invalid` if the limit of the read is zero or too large. `TooOld` for a position that the store has not reached.
    /// `Corrupt` for a tail read of an open message whose chunks are not its content. `Unavailable` if the store cannot be read.
    pub fn read(&self, tenant: &TenantId, read: &ReadArgs, now: Timestamp) -> Result<ReadResult> {
        match read {
            ReadArgs::Page(read) => rules::check_page(read.limit, read.max_bytes)?,
            ReadArgs::Content(read) => {
                rules::check_page(1, read.limit)?;
                return self.tail(tenant, read).map(ReadResult::Content);
            }
            ReadArgs::OpenReservations(list) => rules::check_page(list.limit, list.max_bytes)?,
            ReadArgs::Find(find) => {
                rules::check_page(find.limit, find.max_bytes)?;
                return self.find(tenant, find).map(ReadResult::Find);
            }
            ReadArgs::Threads(list) => rules::check_page(list.limit, list.max_bytes)?,
            ReadArgs::Purgeable(list) => rules::check_limit(list.limit)?,
            ReadArgs::Tenants(list) => rules::check_limit(list.limit)?,
            ReadArgs::Quarantined(list) => rules::check_limit(list.limit)?,
            ReadArgs::Aliases(list) => rules::check_limit(list.limit)?,
            ReadArgs::Attempts(list) => rules::check_page(list.limit, list.max_bytes)?,
            ReadArgs::Changes(read) => {
                rules::check_limit(read.limit)?;
                let reached = self.position().map_err(unavailable)?;
                rules::check_after(read.after, Position::ZERO, Some(reached))?;
            }
            ReadArgs::Resolve(read) => {
                let rows = OrderedRows::new(&self.store);
                let resolved = Transaction::new(rows, Limits::default()).resolve_session(tenant, read, now);
                return resolved.map(ReadResult::Resolve).map_err(|halt| match halt {
                    Halt::Refused(error) => error,
                    Halt::Stopped(error) => unavailable(error),
                });
            }
            _ => {}
        }
        match self.answer(tenant, read, now) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(PersistError::unsupported(format_args!("the read `{}`", read.as_str()))),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// `None` for a read that is not supported.
    fn answer(
        &self,
        tenant: &TenantId,
        read: &ReadArgs,
        now: Timestamp,
    ) -> Result<Option<ReadResult>, BoxError> {
        let of = |thread: &ThreadId| ThreadKey::new(tenant, thread);
        Ok(Some(match read {
            ReadArgs::Get(get) => {
                let (thread, key) = (of(&get.thread), MessageKey::new(tenant, &get.thread, &get.id));
                let row: Option<MessageRow> = self.get(&keys::of_message("message", &key))?;
                let floor = self.thread_row(&thread)?.map_or(LAST, |row| row.floor);
                let shown = row.filter(|row| row.seq.is_some_and(|seq| seq > floor));
                ReadResult::Get(shown.map(|row| self.whole(&key, &row)).transpose()?)
            }
            ReadArgs::Page(read) => ReadResult::Page(self.page(&of(&read.thread), read)?),
            ReadArgs::OpenReservations(list) => {
                ReadResult::OpenReservations(self.open_messages(tenant, list, now)?)
            }
            ReadArgs::Thread(get) => {
                let row = self.thread_row(&of(&get.thread))?;
                ReadResult::Thread(row.and_then(|row| row.entry(tenant, &get.thread)))
            }
            ReadArgs::Threads(list) => {
                let rows = self.threads(tenant)?;
                let rows = rows.iter().map(|(id, row)| (id, row));
                ReadResult::Threads(read::threads(list, tenant, rows, self.position()?))
            }
            ReadArgs::PlanPrune(plan) => {
                let key = of(&plan.thread);
                let row = self.thread_row(&key)?;
                let rows: Vec<MessageRow> = match &row {
                    Some(thread) => self
                        .messages(&key, (thread.floor, LAST))?
                        .map(|found| found.map(|(_, row)| row))
                        .collect::<Result<_, _>>()?,
                    None => Vec::new(),
                };
                ReadResult::PlanPrune(read::plan_prune(plan, row.as_ref(), rows.iter()))
            }
            ReadArgs::Purgeable(list) => {
                let rows = self.threads(tenant)?;
                let purgeable = rows.iter().filter(|(_, row)| row.purgeable).map(|(id, _)| id);
                ReadResult::Purgeable(read::purgeable(list, purgeable))
            }
            ReadArgs::Tenants(list) => ReadResult::Tenants(self.tenants(list)?),
            ReadArgs::Changes(read) => ReadResult::Changes(self.changes_after(tenant, read)?),
            ReadArgs::Cursor(read) => {
                let key = ConsumerKey { tenant: tenant.clone(), consumer: read.consumer.clone() };
                let row: Option<ConsumerRow> = self.get(&keys::of_consumer("consumer", &key))?;
                let quarantined = self.quarantine_of(&key, Position::ZERO)?.len() as u64;
                ReadResult::Cursor(read::consumer_cursor(&read.consumer, row.as_ref(), quarantined))
            }
            ReadArgs::Quarantined(list) => {
                let key = ConsumerKey { tenant: tenant.clone(), consumer: list.consumer.clone() };
                let changes = self.quarantine_of(&key, list.after)?;
                ReadResult::Quarantined(read::quarantined(list, changes.iter()))
            }
            ReadArgs::Aliases(list) => {
                let key = of(&list.thread);
                let generation = self.thread_row(&key)?.filter(|row| !row.deleted).map(|row| row.generation);
                let mut aliases: Vec<AliasRow> = self.all(&keys::of_thread("alias", &key))?;
                aliases.retain(|alias| Some(alias.generation) == generation);
                let numbered = aliases.iter().map(|alias| (alias.number, &alias.known.alias));
                ReadResult::Aliases(read::aliases(list, numbered))
            }
            ReadArgs::Attempts(list) => {
                let records = self.attempts_of(tenant, list)?;
                ReadResult::Attempts(read::attempts(list, records.iter()))
            }
            _ => return Ok(None),
        }))
    }

    fn thread_row(&self, key: &ThreadKey) -> Result<Option<ThreadRow>, BoxError> {
        self.get(&keys::of_thread("thread", key))
    }

    /// The tenants of a page. It reads one thread of each.
    fn tenants(&self, list: &ListTenants) -> Result<Tenants, BoxError> {
        let prefix = keys::of_kind("thread");
        let mut from = match &list.after {
            Some(after) => keys::end(&keys::of_tenant("thread", after.as_str())),
            None => prefix.clone(),
        };
        let mut tenants = Vec::new();
        while tenants.len() < list.limit as usize
            && let Some(entry) = self.store.range(&from, &keys::end(&prefix))?.next()
        {
            let (key, _) = entry?;
            let names = key.strip_prefix(&prefix).unwrap_or_default();
            let tenant = TenantId::new(names.split('\0').next().unwrap_or_default())?;
            from = keys::end(&keys::of_tenant("thread", tenant.as_str()));
            tenants.push(tenant);
        }
        Ok(Tenants { tenants })
    }

    /// The threads of a tenant, including deleted ones, in the order of their ids.
    fn threads(&self, tenant: &TenantId) -> Result<Vec<(ThreadId, ThreadRow)>, BoxError> {
        let prefix = keys::of_tenant("thread", tenant.as_str());
        let entries = self.store.range(&prefix, &keys::end(&prefix))?;
        let read = |entry: Result<(String, String), BoxError>| {
            let (key, json) = entry?;
            let id = ThreadId::new(key.strip_prefix(&prefix).unwrap_or_default().trim_end_matches('\0'))?;
            Ok((id, serde_json::from_str(&json)?))
        };
        entries.map(read).collect()
    }

    pub(super) fn whole(&self, key: &MessageKey, row: &MessageRow) -> Result<Message, BoxError> {
        let content = self.find_content(key)?;
        Ok(row.message(&key.thread.tenant, &key.thread.thread, &key.id, content))
    }

    fn page(&self, thread: &ThreadKey, read: &ReadPage) -> Result<Page, BoxError> {
        let (row, position) = (self.thread_row(thread)?, self.position()?);
        let floor = row.as_ref().map_or(LAST, |row| row.floor);
        let seqs = match read.from {
            PageFrom::After(seq) => (seq.max(floor), LAST),
            PageFrom::Before(seq) => (floor, Seq::new(seq.get().saturating_sub(1))),
            PageFrom::Start | PageFrom::End => (floor, LAST),
        };
        let first_open = match self.open_ids(thread, floor)?.next() {
            Some(first) => Some(first?.0),
            None => None,
        };
        let failed = FirstError::default();
        let whole = |(id, row): (MessageId, MessageRow)| {
            let key = MessageKey { thread: thread.clone(), id };
            let damaged_message =
                || DamagedMessage { thread: thread.thread.clone(), seq: row.seq, id: Some(key.id.clone()) };
            failed.keep(self.whole(&key, &row)).ok_or_else(damaged_message)
        };
        let found = self.messages(thread, seqs)?;
        let kept = |found| {
            failed
                .keep(found)
                .map(|(id, row): (MessageId, MessageRow)| (row.seq.unwrap_or(LAST), row.state, (id, row)))
        };
        let page = if read.from.is_forward() {
            read::page(read, row.as_ref(), first_open, position, found.map_while(kept), whole)
        } else {
            read::page(read, row.as_ref(), first_open, position, found.rev().map_while(kept), whole)
        };
        failed.or(page)
    }

    /// The open messages of a thread above a sequence number.
    fn open_ids(
        &self,
        thread: &ThreadKey,
        above: Seq,
    ) -> Result<impl Iterator<Item = Result<(Seq, MessageId), BoxError>> + use<'_, S>, BoxError> {
        let from = keys::of_seq("open", thread, above) + "\0";
        self.range::<(Seq, MessageId)>(&from, &keys::end(&keys::of_thread("open", thread)))
    }

    fn open_messages(
        &self,
        tenant: &TenantId,
        list: &ListOpen,
        now: Timestamp,
    ) -> Result<OpenReservations, BoxError> {
        let failed = FirstError::default();
        let threads = match &list.thread {
            Some(thread) => {
                let row = self.thread_row(&ThreadKey::new(tenant, thread))?;
                row.map(|row| (thread.clone(), row)).into_iter().collect()
            }
            None => self.threads(tenant)?,
        };
        let after = list.after.as_ref();
        let from = |(thread, row): (ThreadId, ThreadRow)| {
            let floor = match after {
                Some(after) if after.thread > thread => return None,
                Some(after) if after.thread == thread => row.floor.max(after.seq),
                _ => row.floor,
            };
            let key = ThreadKey::new(tenant, &thread);
            let seqs = failed.keep(self.open_ids(&key, floor))?;
            Some(seqs.map(move |open| open.map(|(_, id)| MessageKey { thread: key.clone(), id })))
        };
        let keys = threads.into_iter().filter_map(from).flatten();
        let rows = keys.map_while(|key| {
            let found = key.and_then(|key| {
                let row: Option<MessageRow> = self.get(&keys::of_message("message", &key))?;
                let row = row.ok_or("an open message is missing")?;
                Ok((row.lease, (key, row)))
            });
            failed.keep(found)
        });
        let whole = |(key, row): (MessageKey, MessageRow)| {
            let damaged_message = || DamagedMessage {
                thread: key.thread.thread.clone(),
                seq: row.seq,
                id: Some(key.id.clone()),
            };
            failed.keep(self.whole(&key, &row)).ok_or_else(damaged_message)
        };
        let answer = read::open_messages(list, now, rows, whole);
        failed.or(answer)
    }

    fn changes_after(
        &self,
        tenant: &TenantId,
        read: &ReadChanges,
    ) -> Result<throughline_core::changes::Changes, BoxError> {
        let position = self.position()?;
        let from = keys::change(read.after.get().saturating_add(1));
        let found = self.range::<Change>(&from, &keys::change(u64::MAX))?;
        let is_asked_for = |change: &Result<Change, BoxError>| {
            change.as_ref().map_or(true, |change| is_in_scope(&read.scope, tenant, change))
        };
        let wanted = found.filter(is_asked_for).take(read.limit as usize + 1);
        let changes: Vec<Change> = wanted.collect::<Result<_, _>>()?;
        Ok(read::changes(read, tenant, changes.iter(), position))
    }

    fn quarantine_of(
        &self,
        consumer: &ConsumerKey,
        after: Position,
    ) -> Result<Vec<QuarantinedChange>, BoxError> {
        let from = keys::quarantined_behind(consumer, after.get());
        self.range(&from, &keys::end(&keys::of_consumer("quarantine", consumer)))?.collect()
    }

    /// The attempts of an agent in a thread that was not deleted, the latest first.
    fn attempts_of(&self, tenant: &TenantId, list: &ListAttempts) -> Result<Vec<AttemptRecord>, BoxError> {
        let thread = ThreadKey::new(tenant, &list.thread);
        if self.thread_row(&thread)?.is_none_or(|row| row.deleted) {
            return Ok(Vec::new());
        }
        let agent = AgentKey { tenant: tenant.clone(), agent: list.agent.clone() };
        let incarnation = self.get(&keys::agent(&agent))?.map_or(0, |record: AgentRecord| record.incarnation);
        let head = SessionHeadKey { thread, agent: agent.agent, incarnation };
        let mut records: Vec<AttemptRecord> = self.all(&keys::of_head("attempt", &head))?;
        records.retain(|record| list.before.is_none_or(|before| record.attempt.number < before));
        records.sort_by_key(|record| std::cmp::Reverse(record.attempt.number));
        Ok(records)
    }
}

fn is_in_scope(scope: &ChangeScope, tenant: &TenantId, change: &Change) -> bool {
    match scope {
        ChangeScope::Store => true,
        ChangeScope::Tenant => change.tenant == *tenant,
        ChangeScope::Thread(thread) => change.tenant == *tenant && change.thread == *thread,
    }
}

/// Converts the error of the store.
pub(super) fn unavailable(error: BoxError) -> PersistError {
    let error = PersistError::new(ErrorKind::Unavailable, "the store cannot be read").with_source(error);
    error.with_effect(Effect::NotApplied)
}
