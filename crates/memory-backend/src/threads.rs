//! What is done to a thread as a whole. Everything is checked before anything is changed.

use throughline_core::{
    Addressed as _, Delete, ErrorKind, Happened, Message, PersistError, PruneThread, Pruned, PurgeThread,
    Purged, Result, Seq, TakeLastMessage, TakenMessage, TenantId, ThreadArgs, ThreadChanged, ThreadDeleted,
    ThreadId, ThreadResult, Timestamp,
    backend::{ThreadFacts, rules},
};

use crate::{facts::Facts, operation::Told, replica::Mark, thread::ThreadLog};

impl ThreadLog {
    pub(crate) fn thread(
        &mut self,
        tenant: &TenantId,
        args: &ThreadArgs,
        now: Timestamp,
        told: &mut Told,
    ) -> Result<ThreadResult> {
        match args {
            ThreadArgs::Delete(delete) => Ok(ThreadResult::Delete(self.delete_thread(&delete.thread, told)?)),
            ThreadArgs::Prune(prune) => Ok(ThreadResult::Prune(self.prune(prune, now, told)?)),
            ThreadArgs::Purge(purge) => Ok(ThreadResult::Purge(self.purge(purge)?)),
            ThreadArgs::TakeLast(take) => Ok(ThreadResult::TakeLast(self.take_last(take, now, told)?)),
            ThreadArgs::Resolve(asked) => Ok(ThreadResult::Resolve(self.resolve(asked, now)?)),
            args => {
                let thread = thread_of(args);
                let what = self.change(thread, args, now)?;
                told.extend(what.map(|what| (thread.clone(), what)));
                let entry = self.entry(tenant, thread).ok_or_else(|| rules::no_such_thread(thread))?;
                let changed = ThreadChanged { entry, deduplicated: false };
                args.changed(changed)
                    .ok_or_else(|| PersistError::unsupported(format_args!("`{}`", args.as_str())))
            }
        }
    }

    /// What leaves the thread in its place. Says what happened, if anything did.
    fn change(&mut self, thread: &ThreadId, args: &ThreadArgs, now: Timestamp) -> Result<Option<Happened>> {
        self.check_alive(thread)?;
        if let ThreadArgs::Create(create) = args {
            if self.facts.is_some() {
                let detail = format!("there is a thread `{thread}`");
                return Err(PersistError::new(ErrorKind::AlreadyExists, detail));
            }
            self.facts = Some(Facts::new(ThreadFacts::created(create, now)));
            return Ok(Some(Happened::ThreadCreated));
        }
        let last_seq = self.last_seq;
        let Some(facts) = &mut self.facts else { return Err(rules::no_such_thread(thread)) };
        let what = match args {
            ThreadArgs::Rename(rename) => {
                rules::expect_title(rename.expected.as_ref(), &facts.said.title)?;
                facts.said.title = rename.title.clone();
                Happened::ThreadChanged
            }
            ThreadArgs::Archive(archive) => {
                facts.said.archived = archive.archived;
                Happened::ThreadChanged
            }
            ThreadArgs::Label(label) => {
                let mut labels = facts.said.labels.clone();
                labels.apply(&label.labels);
                rules::check_labels(&labels)?;
                facts.said.labels = labels;
                facts.said.metadata.apply(&label.metadata);
                if let Some(owner) = &label.owner {
                    facts.said.owner.clone_from(owner);
                }
                Happened::ThreadChanged
            }
            ThreadArgs::Publish(_) => {
                if !facts.said.publish() {
                    return Ok(None);
                }
                Happened::ThreadPublished
            }
            ThreadArgs::Rebuild(_) => {
                self.recount();
                return Ok(None);
            }
            ThreadArgs::Clear(clear) => {
                rules::expect_generation(clear.expected, facts.generation)?;
                facts.generation = facts.generation.next();
                let generation = facts.generation;
                self.forget();
                Happened::ThreadCleared { generation, through: last_seq }
            }
            other => return Err(PersistError::unsupported(format_args!("`{}`", other.as_str()))),
        };
        self.facts_mut().said.changed(now);
        Ok(Some(what))
    }

    /// Takes every message away. Their ids stay dead.
    fn forget(&mut self) {
        let gone: Vec<Message> = self.rows.values().map(|row| row.message.clone()).collect();
        let facts = self.facts_mut();
        // One that was open when it went was never settled, and never counted.
        let settled = gone.iter().filter(|message| !message.state.is_open());
        facts.gone_at = settled.map(|message| message.updated_at).fold(facts.gone_at, Timestamp::max);
        facts.said.tally.cleared();
        self.leave_attachments();
        self.floor = self.last_seq;
        self.rows.clear();
        self.open.clear();
        self.names.clear();
        self.ids.extend(gone.into_iter().map(|message| (message.id, None)));
    }

    /// Of what goes with everything else the attachments are kept: nobody has been told them.
    fn leave_attachments(&mut self) {
        for (seq, row) in &self.rows {
            let Message { id, attachments, .. } = &row.message;
            self.marks.push(Mark::Message(id.clone()));
            self.left.insert(*seq, id.clone(), attachments.clone());
        }
    }

    fn take_last(&mut self, take: &TakeLastMessage, now: Timestamp, told: &mut Told) -> Result<TakenMessage> {
        let thread = take.thread.clone();
        self.check_alive(&thread)?;
        if self.facts.is_none() {
            return Err(rules::no_such_thread(&thread));
        }
        let last = self.rows.values().next_back().map(|row| row.message());
        rules::expect_last_message(take.expected, last.as_ref().map(|message| message.seq))?;
        let Some(message) = last else {
            return Ok(TakenMessage { thread, deleted: None, message: None, deduplicated: false });
        };
        let deleted = self.delete(&Delete::new(thread.clone(), message.id.clone()), now, told)?;
        Ok(TakenMessage { thread, deleted: Some(deleted), message: Some(message), deduplicated: false })
    }

    fn purge(&mut self, purge: &PurgeThread) -> Result<Purged> {
        if self.facts.is_none() {
            return Err(rules::no_such_thread(&purge.thread));
        }
        let count = self.left.len().min(purge.limit as usize);
        let mut attachments = Vec::new();
        for (id, of) in std::iter::from_fn(|| self.left.pop_first()).take(count) {
            self.marks.push(Mark::Message(id.clone()));
            self.ids.insert(id, None);
            attachments.extend(of);
        }
        Ok(Purged {
            thread: purge.thread.clone(),
            messages: count as u64,
            attachments,
            more: !self.left.is_empty(),
            deduplicated: false,
        })
    }

    fn delete_thread(&mut self, thread: &ThreadId, told: &mut Told) -> Result<ThreadDeleted> {
        let already = match &self.facts {
            None => return Err(rules::no_such_thread(thread)),
            Some(facts) => facts.deleted,
        };
        if !already {
            self.leave_attachments();
            self.floor = self.last_seq;
            self.rows.clear();
            self.open.clear();
            self.ids.clear();
            self.names.clear();
            self.sessions.clear();
            let facts = self.facts_mut();
            *facts = Facts { deleted: true, ..Facts::new(ThreadFacts::implied(facts.said.created_at)) };
            told.push((thread.clone(), Happened::ThreadDeleted));
        }
        Ok(ThreadDeleted { thread: thread.clone(), already, deduplicated: false })
    }

    fn prune(&mut self, prune: &PruneThread, now: Timestamp, told: &mut Told) -> Result<Pruned> {
        self.check_alive(&prune.thread)?;
        let Some(facts) = &self.facts else { return Err(rules::no_such_thread(&prune.thread)) };
        rules::expect_generation(Some(prune.generation), facts.generation)?;
        let first_open = self.open.first().copied().unwrap_or(Seq::new(u64::MAX));
        let within = |seq: &Seq| *seq <= prune.through && *seq < first_open;
        let limit = prune.limit as usize;
        let gone: Vec<Message> = self
            .rows
            .iter()
            .take_while(|(seq, _)| within(seq))
            .take(limit)
            .map(|(_, row)| row.message.clone())
            .collect();
        let mut pruned = Pruned {
            thread: prune.thread.clone(),
            messages: gone.len() as u64,
            bytes: 0,
            attachments: Vec::new(),
            more: false,
            deduplicated: false,
        };
        for message in &gone {
            self.remove(message);
            pruned.bytes += message.content.byte_len() as u64;
            pruned.attachments.extend(message.attachments.iter().cloned());
        }
        pruned.more = self.rows.keys().next().is_some_and(within);
        if let Some(last) = gone.last() {
            self.facts_mut().said.changed(now);
            told.push((prune.thread.clone(), Happened::ThreadPruned { through: last.seq }));
        }
        Ok(pruned)
    }
}

fn thread_of(args: &ThreadArgs) -> &ThreadId {
    args.thread().expect("every operation on a thread names it")
}
