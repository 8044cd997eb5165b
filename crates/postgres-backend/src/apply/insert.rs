//! A new message: complete, to come, or written elsewhere.

use throughline_core::{
    Add, Added, Alias, ErrorKind, Generation, Happened, Import, Imported, ImportedRow, Message, MessageId,
    Origin, Reserve, Reserved, Role, Seq, ThreadId,
    backend::{names::KnownName, rules},
};

use super::{
    Scope,
    message::{Named, changed, implied},
    refusal,
};
use crate::rows::{Found, MessageRow, NewName, ThreadRow};

impl Scope<'_> {
    pub(super) fn add(&mut self, add: &Add) -> Found<Added> {
        let (state, seq) = self.next(&add.thread, &add.id, add.generation, add.after)?;
        let message = add.to_message(self.tenant, seq, self.now);
        check_length(self.max_content_bytes, add.content.byte_len() as u64, &add.thread, &add.id)?;
        self.insert(state, &message)?;
        self.tell(&add.thread, Happened::Added(changed(&add.id, &MessageRow::of(&message))));
        Ok(Added { message, deduplicated: false })
    }

    pub(super) fn reserve(&mut self, reserve: &Reserve) -> Found<Reserved> {
        let (state, seq) = self.next(&reserve.thread, &reserve.id, reserve.generation, reserve.after)?;
        let message = reserve.to_message(self.tenant, seq, self.now);
        self.insert(state, &message)?;
        self.tell(&reserve.thread, Happened::Reserved(changed(&reserve.id, &MessageRow::of(&message))));
        Ok(Reserved { message, deduplicated: false })
    }

    /// The thread and the place of a new message, if its id was never used.
    fn next(
        &mut self,
        thread: &ThreadId,
        id: &MessageId,
        generation: Option<Generation>,
        after: Option<Seq>,
    ) -> Found<(Option<ThreadRow>, Seq)> {
        let state = self.living(thread)?;
        let (present, last, floor) = match &state {
            Some(row) => (row.generation, row.last_seq, row.floor),
            None => (Generation::FIRST, Seq::ZERO, Seq::ZERO),
        };
        rules::expect_generation(generation, present)?;
        rules::expect_last(after, last)?;
        let refuse = |kind, detail: &'static str| Err(refusal(kind, detail).about(thread, id).into());
        match self.named(floor, thread, id)? {
            Named::Nothing => Ok((state, last.next())),
            Named::There(..) => refuse(ErrorKind::AlreadyExists, "the thread has a message with this id"),
            Named::Dead => {
                refuse(ErrorKind::Gone, "the thread had a message with this id, and it was deleted")
            }
        }
    }

    /// Writes a message that is new. The thread begins with it if there is none.
    fn insert(&mut self, state: Option<ThreadRow>, message: &Message) -> Found<()> {
        let thread = &message.thread;
        let mut state = state.unwrap_or_else(|| implied(message.created_at));
        state.last_seq = message.seq;
        state.live += 1;
        let facts = Self::facts(&mut state, thread)?;
        if !message.state.is_open() {
            facts.count(message);
        }
        let key = self.message_key(thread, &message.id);
        self.rows.contents.put(key.clone(), message.content.clone());
        self.rows.messages.put(key, MessageRow::of(message));
        self.put_thread(thread, state);
        Ok(())
    }

    /// Adds what is not there yet.
    pub(super) fn import(&mut self, import: &Import) -> Found<Imported> {
        let thread = &import.thread;
        self.living(thread)?;
        rules::check_import(import)?;
        // What was not read is read at once.
        for row in &import.rows {
            let key = self.message_key(thread, &row.id);
            if matches!(self.rows.messages.get(&key), Ok(Some(found)) if found.seq.is_some()) {
                self.rows.contents.want(&key);
            }
        }
        let mut rows = Vec::with_capacity(import.rows.len());
        for row in &import.rows {
            let state = self.living(thread)?;
            let floor = state.as_ref().map_or(Seq::ZERO, |state| state.floor);
            rows.push(match self.named(floor, thread, &row.id)? {
                Named::Dead => ImportedRow::Gone,
                Named::There(found, seq) => {
                    let there = self.whole(thread, &row.id, &found)?;
                    if row.is_same_as(&there) { ImportedRow::Present(seq) } else { ImportedRow::Differs(seq) }
                }
                Named::Nothing => {
                    if !import.is_copy() {
                        let bytes = row.content.byte_len() as u64;
                        check_length(self.max_content_bytes, bytes, thread, &row.id)?;
                    }
                    let last = state.as_ref().map_or(Seq::ZERO, |state| state.last_seq);
                    let message = row.to_message(self.tenant, thread, last.next());
                    self.insert(state, &message)?;
                    self.tell(thread, Happened::Added(changed(&row.id, &MessageRow::of(&message))));
                    self.name(thread, &row.id, row.role, &row.origin)?;
                    ImportedRow::Added(message.seq)
                }
            });
        }
        Ok(Imported { thread: thread.clone(), rows, deduplicated: false })
    }

    /// Takes down what the provider of a message calls it. Its thread is there.
    pub(super) fn name(
        &mut self,
        thread: &ThreadId,
        message: &MessageId,
        role: Role,
        origin: &Origin,
    ) -> Found<()> {
        if origin.is_empty() {
            return Ok(());
        }
        let mut state = self.existing(thread)?;
        state.names += 1;
        let alias = Alias { message: message.clone(), role, origin: origin.clone() };
        let known = KnownName { alias, seen: state.last_seq };
        let (n, generation) = (state.names, state.generation);
        let name = NewName { thread: self.key(thread), n, generation, known };
        self.rows.new_names.push(name);
        self.put_thread(thread, state);
        Ok(())
    }
}

pub(super) fn check_length(max: u64, bytes: u64, thread: &ThreadId, id: &MessageId) -> Found<()> {
    if bytes <= max {
        return Ok(());
    }
    let detail = format!("the content would have {bytes} bytes, and {max} are allowed");
    Err(refusal(ErrorKind::TooLarge, detail).about(thread, id).into())
}
