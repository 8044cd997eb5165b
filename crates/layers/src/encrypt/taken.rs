//! Decrypts each message that a call takes, before the store deletes it.

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

/// The messages that the [`TakeLastMessage`] operations of a call will take, as read before the call.
#[derive(Default)]
pub(super) struct TakenMessages {
    /// The index in the batch, and the required sequence number of the message. With [`Seq::ZERO`], which no message
    /// has, the store replays an earlier call or refuses this one.
    expected: Vec<(usize, Seq)>,
    /// The error of the first message that cannot be decrypted.
    unreadable: Option<PersistError>,
}

impl TakenMessages {
    /// Makes the store take exactly the messages that were read.
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

    /// Returns true if the layer requires no message.
    pub(super) const fn is_empty(&self) -> bool {
        self.expected.is_empty()
    }

    /// Returns the error for a call that the store refused.
    pub(super) const fn unreadable(&mut self) -> Option<PersistError> {
        self.unreadable.take()
    }

    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.expected == other.expected
    }
}

/// The last messages of a thread, updated with each item of the call; `None` is a message that the call itself creates.
type Last = Vec<Option<Message>>;

impl<S: PersistService<Error = PersistError>> Work<S> {
    /// Reads and decrypts each message that `args` takes, because the store deletes the messages that it returns.
    ///
    /// # Errors
    /// The errors of the reads. A message that cannot be decrypted fails the call, and stays.
    pub(super) async fn read_taken(
        &self,
        context: &Context,
        args: &PersistArgs,
        key_set: &mut KeySet<'_>,
    ) -> Result<TakenMessages> {
        let mut taken = TakenMessages::default();
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

    /// Returns the last messages of a thread, the oldest first, up to the message that the caller expects.
    async fn last_messages(&self, context: &Context, take: &TakeLastMessage, limit: u32) -> Result<Last> {
        let from = take.expected.map_or(PageFrom::End, |seq| PageFrom::Before(seq.next()));
        let read = ReadPage::new(take.thread.clone(), from, limit).with_max_bytes(ReadPage::MAX_BYTES);
        let PersistResult::Read(ReadResult::Page(page)) = self.inner.call(context, read).await?.result else {
            return Err(other_answer());
        };
        // A store does not take a message that it cannot read.
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

/// Returns the most messages of a thread that `args` takes or deletes.
fn removals(args: &PersistArgs, thread: &ThreadId) -> u32 {
    let removes = |item: &&PersistArgs| match item {
        PersistArgs::Delete(delete) => delete.thread == *thread,
        item => take_of(item).is_some_and(|take| take.thread == *thread),
    };
    let removals = u32::try_from(args.each().filter(removes).count()).unwrap_or(u32::MAX);
    removals.clamp(1, ReadPage::MAX_LIMIT)
}
