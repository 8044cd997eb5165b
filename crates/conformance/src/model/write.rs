//! The effect of each write on the model.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use throughline_core::{
    ErrorKind, Message, MessageId, MessageState, PersistArgs, PersistResult, Revision, Role, Seq, TenantId,
    changes::ChangeKind,
    messages::{Added, ContentUpdated, Deleted, Reserved, UpdateMode, Updated},
    threads::ThreadSummary,
};

use super::{
    content::Blocks,
    row::Row,
    step::{ABSENT, ATTACHMENTS, Action, IDS, IMPORTED, METADATA, Op, PATCHES, REASON, mode},
    thread::Thread,
};

/// The rows of the model: all messages ever written, all threads, and the changes since the last comparison.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub(super) messages: Vec<Row>,
    pub(super) threads: Vec<Thread>,
    pub(super) emitted: Vec<(usize, ChangeKind)>,
}

/// Why the model refuses.
pub(super) type Refusal = ErrorKind;

/// The circumstances of a write.
pub(super) struct At<'a> {
    pub(super) tenant: usize,
    pub(super) name: &'a TenantId,
    pub(super) now: i64,
    /// The seqs that the store assigned to new rows; the first one is the next.
    pub(super) seqs: &'a mut Vec<u64>,
    /// The entries in the answer.
    pub(super) seen: &'a [ThreadSummary],
    /// The messages in the answer that were taken.
    pub(super) taken: &'a [Message],
}

fn parse(json: &str) -> BTreeMap<String, String> {
    let facts: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json).expect("an object");
    facts.into_iter().map(|(key, value)| (key, value.get().to_owned())).collect()
}

impl Rows {
    pub(super) fn find(&self, tenant: usize, thread: usize, id: &str) -> Option<&Row> {
        // The last one: an id can be used again.
        let mut rows = self.messages.iter().rev();
        rows.find(|row| (row.tenant, row.thread, row.id.as_str()) == (tenant, thread, id))
    }

    fn living(&mut self, at: &At<'_>, op: &Op, id: usize) -> Result<&mut Row, Refusal> {
        let found = self.messages.iter_mut().find(|row| {
            (row.tenant, row.thread, row.id.as_str()) == (at.tenant, op.thread, IDS[id]) && !row.dead
        });
        found.ok_or(ErrorKind::NotFound)
    }

    /// Applies `op`, whose operation as it was sent is `args`.
    pub(super) fn apply(
        &mut self,
        at: &mut At<'_>,
        op: &Op,
        args: &PersistArgs,
    ) -> Result<PersistResult, Refusal> {
        if let (Action::Thread(thread_op), PersistArgs::Thread(_)) = (&op.action, args) {
            return self.thread(at, op, *thread_op);
        }
        self.alive(at.tenant, op.thread)?;
        match (&op.action, args) {
            (Action::Add { content, metadata, imported, generation, .. }, PersistArgs::Add(add)) => {
                self.expect_generation(at.tenant, op.thread, *generation)?;
                let made = if *imported { IMPORTED } else { at.now };
                let row = Row {
                    state: MessageState::Final,
                    blocks: super::content::whole(*content),
                    attachments: ATTACHMENTS[*metadata].to_vec(),
                    ..blank(at, op, &add.id, Role::User, *metadata, made)
                };
                let row = self.insert(at, row)?.clone();
                self.settled(&row);
                self.emit(&row, ChangeKind::Added);
                let message = row.message(at.name);
                Ok(Added { message, deduplicated: false }.into())
            }
            (Action::Reserve { lease, metadata, .. }, PersistArgs::Reserve(reserve)) => {
                let row = Row {
                    lease: Some((*lease, at.now + lease)),
                    ..blank(at, op, &reserve.id, Role::Assistant, *metadata, at.now)
                };
                let row = self.insert(at, row)?.clone();
                self.emit(&row, ChangeKind::Reserved);
                let message = row.message(at.name);
                Ok(Reserved { message, deduplicated: false }.into())
            }
            (Action::Content { id, .. }, _) => self.content(at, op, *id),
            (Action::Update { id, patch, absent, attachments, expected }, _) => {
                let now = at.now;
                let row = self.living(at, op, *id)?;
                expect(row, *expected)?;
                for (key, value) in parse(PATCHES[*patch]) {
                    if value == "null" {
                        row.metadata.remove(&key)
                    } else {
                        row.metadata.insert(key, value)
                    };
                }
                let absent = parse(ABSENT[*absent]);
                let kept: Vec<String> =
                    absent.keys().filter(|key| row.metadata.contains_key(*key)).cloned().collect();
                let sets_nothing = !absent.is_empty() && kept.len() == absent.len();
                if sets_nothing && parse(PATCHES[*patch]).is_empty() && attachments.is_none() {
                    return Ok(Updated { kept, ..updated(row, op) }.into());
                }
                for (key, value) in absent {
                    row.metadata.entry(key).or_insert(value);
                }
                if let Some(number) = attachments {
                    row.attachments = ATTACHMENTS[*number].to_vec();
                }
                row.touch(now);
                let row = row.clone();
                if !row.is_open() {
                    self.active(&row);
                }
                self.emit(&row, ChangeKind::Patched);
                Ok(Updated { kept, ..updated(&row, op) }.into())
            }
            (Action::Delete { id, expected, after }, _) => {
                let last = self.last_seq(at.tenant, op.thread);
                let row = self.living(at, op, *id)?;
                expect(row, *expected)?;
                if after.is_some_and(|after| after != last) {
                    return Err(ErrorKind::Stale);
                }
                row.dead = true;
                let row = row.clone();
                self.changed(at, op.thread);
                self.emit(&row, ChangeKind::Deleted);
                Ok(deleted(&row, op).into())
            }
            (action, args) => unreachable!("{action:?} is sent as {:?}", args.kind()),
        }
    }

    fn insert(&mut self, at: &mut At<'_>, mut row: Row) -> Result<&Row, Refusal> {
        if let Some(other) = self.find(row.tenant, row.thread, row.id.as_str()) {
            if !other.dead {
                return Err(ErrorKind::AlreadyExists);
            }
            let is_left = other.cleared && !other.attachments.is_empty();
            if is_left || !self.reuses_ids(row.tenant, row.thread) {
                return Err(ErrorKind::Gone);
            }
            // One number is left out.
            row.revision = other.revision + 2;
        }
        let before =
            self.messages.iter().filter(|other| (other.tenant, other.thread) == (row.tenant, row.thread));
        let last = before.map(|other| other.seq).max().unwrap_or(0);
        // Increasing and never given again; how large the steps are is the store's to say.
        row.seq = if at.seqs.is_empty() { last + 1 } else { at.seqs.remove(0) }.max(last + 1);
        self.begin(&row);
        self.messages.push(row);
        Ok(self.messages.last().expect("just pushed"))
    }

    fn content(&mut self, at: &At<'_>, op: &Op, id: usize) -> Result<PersistResult, Refusal> {
        let Action::Content { change, mode: number, expected, only_if_expired, .. } = op.action else {
            unreachable!("a change of content")
        };
        let now = at.now;
        let row = self.living(at, op, id)?;
        let mode = mode(number);
        let edits = mode == UpdateMode::Edit;
        match row.state {
            MessageState::Reserved | MessageState::Streaming if edits => return Err(ErrorKind::Conflict),
            MessageState::Final if !edits => return Err(ErrorKind::Stale),
            MessageState::Abandoned => return Err(ErrorKind::Stale),
            _ => {}
        }
        expect(row, expected)?;
        if only_if_expired && row.lease.is_some_and(|(_, until)| until > now) {
            return Err(ErrorKind::Conflict);
        }
        row.blocks.change(change);
        if let Some((duration, until)) = row.lease {
            row.lease = Some((duration, until.max(now + duration)));
        }
        let is_heartbeat = mode == UpdateMode::Partial && change.is_nothing();
        if is_heartbeat {
            row.renew(now);
        } else {
            row.touch(now);
            row.revision += 1;
            row.state = match &mode {
                UpdateMode::Partial => MessageState::Streaming,
                UpdateMode::Final | UpdateMode::Edit => MessageState::Final,
                UpdateMode::Abandon { .. } => MessageState::Abandoned,
            };
        }
        if let UpdateMode::Abandon { reason } = &mode {
            row.reason = reason.as_ref().map(|_| REASON);
        }
        if !row.is_open() {
            row.lease = None;
        }
        let row = row.clone();
        let kind = match &mode {
            UpdateMode::Partial => ChangeKind::Written,
            UpdateMode::Final => ChangeKind::Finished,
            UpdateMode::Abandon { .. } => ChangeKind::Abandoned,
            UpdateMode::Edit => ChangeKind::Edited,
        };
        if !row.is_open() {
            self.settled(&row);
        }
        if !is_heartbeat {
            self.emit(&row, kind);
        }
        let (revision, state) = (Revision::new(row.revision), row.state);
        let id = row.id;
        Ok(ContentUpdated { thread: op.thread(), id, revision, state, deduplicated: false }.into())
    }
}

/// A reserved row of no content.
fn blank(at: &At<'_>, op: &Op, id: &MessageId, role: Role, metadata: usize, made: i64) -> Row {
    Row {
        tenant: at.tenant,
        thread: op.thread,
        id: id.clone(),
        dead: false,
        cleared: false,
        seq: 0,
        role,
        state: MessageState::Reserved,
        revision: 1,
        blocks: Blocks::default(),
        metadata: parse(METADATA[metadata]),
        attachments: Vec::new(),
        reason: None,
        lease: None,
        created: made,
        updated: made,
        renewed: None,
    }
}

fn expect(row: &Row, expected: Option<u64>) -> Result<(), Refusal> {
    if expected.is_none_or(|expected| expected == row.revision) { Ok(()) } else { Err(ErrorKind::Stale) }
}

/// The answer to a deletion.
pub(super) fn deleted(row: &Row, op: &Op) -> Deleted {
    Deleted {
        thread: op.thread(),
        id: row.id.clone(),
        seq: Seq::new(row.seq),
        revision: Revision::new(row.revision),
        state: row.state,
        attachments: row.attachments.iter().map(|name| name.parse().expect("a valid key")).collect(),
        deduplicated: false,
    }
}

/// The expected answer to a patch: the current row.
pub(super) fn updated(row: &Row, op: &Op) -> Updated {
    Updated {
        thread: op.thread(),
        id: row.id.clone(),
        seq: Seq::new(row.seq),
        metadata: row.facts(),
        kept: Vec::new(),
        attachments: row.attachments.iter().map(|name| name.parse().expect("a valid key")).collect(),
        revision: Revision::new(row.revision),
        deduplicated: false,
    }
}
