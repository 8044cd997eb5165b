//! The messages that a call takes: each is decrypted before the store deletes it.

use std::collections::HashMap;

use super::{
    key_set::KeySet,
    open,
    work::{Work, other_answer},
};
use throughline_core::{
    Context, Effect, Message, PersistArgs, PersistError, PersistResult, ReadResult, Result, Seq, ThreadId,
    messages::{Add, Delete, Import, PageFrom, ReadPage, Reserve, TakeLastMessage},
    pipeline::PersistService,
    threads::{ClearThread, ThreadArgs},
};

/// What each [`TakeLastMessage`] of a call takes, as far as the store says before the call.
#[derive(Default)]
pub(super) struct Taken {
    /// The index in the batch, and the sequence number that the message has to have. [`Seq::ZERO`] has none: the store replays an earlier
    /// call, or refuses this one.
    expected: Vec<(usize, Seq)>,
    /// Why the first message that cannot be decrypted is not taken.
    unreadable: Option<PersistError>,
}

impl Taken {
    /// Has the store take the messages that were read, and no others.
    pub(super) fn pin(&self, args: &mut PersistArgs) {
        for (index, seq) in &self.expected {
            let item = match &mut *args {
                PersistArgs::Batch(batch) => batch.items.get_mut(*index),
                item => Some(item),
            };
            if let Some(PersistArgs::Thread(ThreadArgs::TakeLast(take))) = item {
                take.expected = Some(*seq);
            }
        }
    }

    /// Whether the layer itself says which message is taken.
    pub(super) const fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }

    /// The error of the call where the store refused it.
    pub(super) const fn unreadable(&mut self) -> Option<PersistError> {
        self.unreadable.take()
    }

    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.expected == other.expected
    }
}

/// The last messages of a thread while the items of a call are gone through: none is one that the call itself makes.
type Last = Vec<Option<Message>>;

impl<S: PersistService<Error = PersistError>> Work<S> {
    /// Reads and decrypts each message that `args` takes: the store deletes what it answers.
    ///
    /// # Errors
    /// What the reads answer. A message that cannot be decrypted refuses the call, and stays.
    pub(super) async fn read_taken(
        &self,
        context: &Context,
        args: &PersistArgs,
        key_set: &mut KeySet<'_>,
    ) -> Result<Taken> {
        let mut taken = Taken::default();
        let mut threads: HashMap<&ThreadId, Last> = HashMap::new();
        for item in args.each() {
            if let Some(take) = take_of(item)
                && !threads.contains_key(&take.thread)
            {
                key_set.fetch([take.thread.clone()], false).await?;
                let last = self.last_messages(context, take, removals(args, &take.thread)).await?;
                threads.insert(&take.thread, last);
            }
        }
        for (index, item) in args.each().enumerate() {
            match item {
                PersistArgs::Add(Add { thread, .. })
                | PersistArgs::Reserve(Reserve { thread, .. })
                | PersistArgs::Import(Import { thread, .. }) => {
                    threads.entry(thread).and_modify(|last| last.push(None));
                }
                PersistArgs::Delete(Delete { thread, id, .. }) => {
                    let is_other =
                        |message: &Option<Message>| message.as_ref().is_none_or(|message| message.id != *id);
                    threads.entry(thread).and_modify(|last| last.retain(is_other));
                }
                PersistArgs::Thread(ThreadArgs::Clear(ClearThread { thread, .. })) => {
                    threads.entry(thread).and_modify(Vec::clear);
                }
                _ => {}
            }
            let Some(take) = take_of(item) else { continue };
            let Some(Some(mut message)) = threads.get_mut(&take.thread).and_then(Vec::pop) else { continue };
            if take.expected.is_some_and(|seq| seq != message.seq) {
                // The store refuses it.
                continue;
            }
            let seq = match open::open_message(&mut message, key_set) {
                Ok(()) => message.seq,
                Err(error) => {
                    let error = error.with_effect(Effect::NotApplied);
                    let error = match args {
                        PersistArgs::Batch(_) => error.with_batch_index(index),
                        _ => error,
                    };
                    if context.idempotency().is_none() {
                        return Err(error);
                    }
                    taken.unreadable.get_or_insert(error);
                    Seq::ZERO
                }
            };
            taken.expected.push((index, seq));
        }
        Ok(taken)
    }

    /// The last messages of a thread, the oldest first; up to the one that the caller expects, where it expects one.
    async fn last_messages(&self, context: &Context, take: &TakeLastMessage, limit: u32) -> Result<Last> {
        let from = take.expected.map_or(PageFrom::End, |seq| PageFrom::Before(seq.next()));
        let read = ReadPage::new(take.thread.clone(), from, limit).with_max_bytes(ReadPage::MAX_BYTES);
        let PersistResult::Read(ReadResult::Page(page)) = self.here.call(context, read).await?.result else {
            return Err(other_answer());
        };
        // A store that cannot read a message does not take it.
        let damaged = page.damaged.iter().filter_map(|damaged| damaged.seq).max();
        let behind = |message: &Message| damaged.is_none_or(|damaged| message.seq > damaged);
        Ok(page.messages.into_iter().filter(behind).map(Some).collect())
    }
}

fn take_of(args: &PersistArgs) -> Option<&TakeLastMessage> {
    match args {
        PersistArgs::Thread(ThreadArgs::TakeLast(take)) => Some(take),
        _ => None,
    }
}

/// How many messages of a thread `args` takes or deletes at most.
fn removals(args: &PersistArgs, thread: &ThreadId) -> u32 {
    let removes = |item: &&PersistArgs| match item {
        PersistArgs::Delete(delete) => delete.thread == *thread,
        item => take_of(item).is_some_and(|take| take.thread == *thread),
    };
    let removals = u32::try_from(args.each().filter(removes).count()).unwrap_or(u32::MAX);
    removals.clamp(1, ReadPage::MAX_LIMIT)
}
