//! The state of the open messages of a layer.

use std::{
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::OwnedMutexGuard;

use super::{TextStream, Transform, open_table::Table};
use throughline_core::{Idempotency, Message, MessageId, Revision, TenantId, ThreadId};

/// The key of a message.
pub(super) type Key = (TenantId, ThreadId, MessageId);

/// The text of an open message, at the point where it continues.
#[derive(Debug, Clone)]
pub(super) struct OpenText<St> {
    pub(super) stream: St,
    /// The last revision that the store returned.
    pub(super) revision: Revision,
    /// The number of bytes that were forwarded in another form, since inner layers last buffered nothing.
    pub(super) rewritten: usize,
    /// The key of the last applied call: repeated, it is a replay.
    pub(super) last_key: Option<Idempotency>,
}

impl<St> OpenText<St> {
    pub(super) const fn new(stream: St, revision: Revision) -> Self {
        Self { stream, revision, rewritten: 0, last_key: None }
    }
}

/// The number of bytes of a text that are not in the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct HeldBytes {
    /// The bytes that this layer buffers.
    pub(super) here: usize,
    /// See [`OpenText::rewritten`]: an upper bound on the bytes that inner layers buffer, if they buffer any.
    pub(super) rewritten: usize,
}

/// The state of a message between two calls.
#[derive(Debug, Clone, Default)]
pub(super) enum TextState<St> {
    /// Unknown: the message was begun before a restart, or was evicted.
    #[default]
    Unknown,
    Known(OpenText<St>),
    /// A write runs, or its outcome is unknown: the revision in the store shows whether it was applied.
    InDoubt {
        /// None if the call was to create the message.
        before: Option<OpenText<St>>,
        after: Option<OpenText<St>>,
        /// The key of the call.
        key: Option<Idempotency>,
    },
}

/// The reason why a message cannot be locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoState {
    /// The layer buffers text of too many messages.
    Full,
    /// Buffered text of the message was dropped. Calls fail with this reason until the message is read.
    Dropped,
}

/// The effects of a call on the buffered text of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effects {
    /// The call appends and replaces nothing, such as the renewal of a lease; without an entry it needs none.
    pub(super) is_empty: bool,
    /// The call forwards buffered text, or text after it.
    pub(super) goes_on: bool,
}

impl Effects {
    /// The effects of a call that reserves the message.
    pub(super) const OF_A_NEW_MESSAGE: Self = Self { is_empty: false, goes_on: false };
}

/// A message that no other call changes meanwhile. Dropping the guard removes the entry if the state is `Unknown`.
pub(super) struct Locked<St> {
    state: OwnedMutexGuard<TextState<St>>,
    key: Key,
    open: Arc<OpenMessages<St>>,
}

impl<St> Deref for Locked<St> {
    type Target = TextState<St>;

    fn deref(&self) -> &TextState<St> {
        &self.state
    }
}

impl<St> DerefMut for Locked<St> {
    fn deref_mut(&mut self) -> &mut TextState<St> {
        &mut self.state
    }
}

impl<St> Drop for Locked<St> {
    fn drop(&mut self) {
        let mut table = self.open.table();
        let state = OwnedMutexGuard::mutex(&self.state);
        if table.get(&self.key).is_none_or(|entry| !Arc::ptr_eq(entry, state)) {
            return;
        }
        if matches!(*self.state, TextState::Unknown) {
            table.remove_open(&self.key);
        } else {
            table.set_holds(&self.key, self.state.holds(self.open.holds));
        }
    }
}

pub(super) type Shared<St> = Arc<tokio::sync::Mutex<TextState<St>>>;

impl<St> TextState<St> {
    fn holds(&self, holds: fn(&St) -> bool) -> bool {
        let any = |open: &Option<OpenText<St>>| open.as_ref().is_some_and(|open| holds(&open.stream));
        match self {
            Self::Unknown => false,
            Self::Known(open) => holds(&open.stream),
            Self::InDoubt { before, after, .. } => any(before) || any(after),
        }
    }
}

/// The open messages. Calls that change one of them run one at a time.
#[derive(Debug)]
pub(super) struct OpenMessages<St> {
    table: Mutex<Table<St>>,
    /// Returns true for a state with buffered text.
    holds: fn(&St) -> bool,
}

impl<St> OpenMessages<St> {
    pub(super) fn new(most: usize, idle: Duration, holds: fn(&St) -> bool) -> Self {
        Self { table: Mutex::new(Table::new(most, idle)), holds }
    }

    fn table(&self) -> MutexGuard<'_, Table<St>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of messages.
    pub(super) fn len(&self) -> usize {
        self.table().len()
    }

    /// Waits until no other call changes the message.
    pub(super) async fn lock(self: &Arc<Self>, key: &Key, effects: Effects) -> Result<Locked<St>, NoState> {
        loop {
            let (state, is_entry) = self.state(key, effects)?;
            let guard = Arc::clone(&state).lock_owned().await;
            // The entry may have been removed meanwhile, and other calls may wait for a new one.
            if !is_entry || self.table().get(key).is_some_and(|entry| Arc::ptr_eq(entry, &state)) {
                return Ok(Locked { state: guard, key: key.clone(), open: Arc::clone(self) });
            }
        }
    }

    /// Returns the state of a message, and whether the table has an entry for it.
    fn state(&self, key: &Key, effects: Effects) -> Result<(Shared<St>, bool), NoState> {
        let mut table = self.table();
        let now = Instant::now();
        if effects.goes_on && table.refuse_dropped(key) {
            return Err(NoState::Dropped);
        }
        if let Some(state) = table.touch(key, now) {
            return Ok((state, true));
        }
        let state = Shared::default();
        let has_space = table.make_space(&key.0, now, !effects.is_empty);
        match (has_space, effects.is_empty) {
            (true, _) => {
                table.insert(key, &state, now);
                Ok((state, true))
            }
            (false, true) => Ok((state, false)),
            (false, false) => Err(NoState::Full),
        }
    }

    /// Records that a caller read these messages.
    pub(super) fn read<'k>(&self, messages: impl Iterator<Item = &'k Message>) {
        let mut table = self.table();
        if table.has_dropped() {
            messages.for_each(|message| {
                table.read(&(message.tenant.clone(), message.thread.clone(), message.id.clone()));
            });
        }
    }

    /// Clears the record of dropped text: the whole message is known, or it is settled.
    pub(super) fn forget_dropped(&self, key: &Key) {
        self.table().forget_dropped(key);
    }

    /// Returns the most bytes of a message that the layer buffers, and the buffered text if the message is at this
    /// revision. The text is unknown while a call changes the message.
    pub(super) fn held<T>(&self, key: &Key, revision: Option<Revision>) -> (HeldBytes, Option<String>)
    where
        T: Transform<Stream = St>,
        St: TextStream<T>,
    {
        // The table stays locked, so that two readers never lock one state: one of them would take the other for a
        // writer.
        let table = self.table();
        let Some(state) = table.get(key) else { return Default::default() };
        let held = |open: &OpenText<St>| TextStream::<T>::held(&open.stream).into_owned();
        let bytes = |open: &OpenText<St>| HeldBytes { here: held(open).len(), rewritten: open.rewritten };
        match state.try_lock().as_deref() {
            Err(_) => (HeldBytes { here: usize::MAX, rewritten: 0 }, None),
            Ok(TextState::Unknown) => Default::default(),
            Ok(TextState::Known(open)) => (bytes(open), Some(held(open))),
            Ok(TextState::InDoubt { before, after, .. }) => {
                let is_at = |open: &&OpenText<St>| Some(open.revision) == revision;
                let stored = before.as_ref().filter(is_at).or(after.as_ref().filter(is_at));
                let [before, after] =
                    [before, after].map(|open| open.as_ref().map(bytes).unwrap_or_default());
                let most = HeldBytes {
                    here: before.here.max(after.here),
                    rewritten: before.rewritten.max(after.rewritten),
                };
                (most, stored.map(held))
            }
        }
    }

    /// Starts the state of a new message without content at this revision. If the table is full, the next call reads
    /// the message.
    pub(super) fn begin(&self, key: &Key, revision: Revision)
    where
        St: Default,
    {
        let mut table = self.table();
        let now = Instant::now();
        let state = match table.touch(key, now) {
            Some(state) => state,
            None if table.make_space(&key.0, now, false) => {
                let state = Shared::default();
                table.insert(key, &state, now);
                state
            }
            None => return,
        };
        // A call that changes the message knows its state better.
        if let Ok(mut state) = state.try_lock() {
            *state = TextState::Known(OpenText::new(St::default(), revision));
            table.set_holds(key, false);
        }
    }

    pub(super) fn remove(&self, key: &Key) {
        let mut table = self.table();
        table.remove_open(key);
        table.forget_dropped(key);
    }

    pub(super) fn remove_thread(&self, tenant: &TenantId, thread: &ThreadId) {
        self.table().remove_thread(tenant, thread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tenant: &str, id: usize) -> Key {
        (tenant.parse().unwrap(), "t".parse().unwrap(), format!("m{id}").parse().unwrap())
    }

    fn key(id: usize) -> Key {
        of("a", id)
    }

    fn eight(idle: Duration) -> Arc<OpenMessages<String>> {
        Arc::new(OpenMessages::new(8, idle, |stream| !stream.is_empty()))
    }

    const GOES_ON: Effects = Effects { is_empty: false, goes_on: true };
    const RENEWS: Effects = Effects { is_empty: true, goes_on: false };
    const REPLACES: Effects = Effects { is_empty: false, goes_on: false };

    const HOUR: Duration = Duration::from_secs(3600);

    async fn hold(open: &Arc<OpenMessages<String>>, key: &Key) -> Result<(), NoState> {
        *open.lock(key, GOES_ON).await? = TextState::Known(OpenText::new("tail".to_owned(), Revision::FIRST));
        Ok(())
    }

    async fn holds(open: &Arc<OpenMessages<String>>, key: &Key) -> bool {
        matches!(open.lock(key, GOES_ON).await.as_deref(), Ok(TextState::Known(open)) if open.stream == "tail")
    }

    #[tokio::test]
    async fn the_least_recently_used_unlocked_messages_are_evicted() {
        let open = eight(HOUR);
        let mut locked = open.lock(&key(0), GOES_ON).await.ok().unwrap();
        *locked = TextState::Known(OpenText::new(String::new(), Revision::FIRST));
        for id in 1..100 {
            open.begin(&key(id), Revision::FIRST);
            assert!(open.len() <= 8);
        }
        assert!(matches!(open.lock(&key(99), GOES_ON).await.as_deref(), Ok(TextState::Known(_))));
        assert!(matches!(open.lock(&key(1), GOES_ON).await.as_deref(), Ok(TextState::Unknown)));
        assert!(open.table().get(&key(0)).is_some());
        drop(locked);
        open.remove_thread(&"a".parse().unwrap(), &"t".parse().unwrap());
        assert_eq!(open.len(), 0);
    }

    #[tokio::test]
    async fn an_unknown_message_has_no_entry_after_its_call() {
        let open = eight(HOUR);
        drop(open.lock(&key(0), GOES_ON).await);
        assert_eq!(open.len(), 0);
    }

    #[tokio::test]
    async fn one_tenants_messages_evict_no_held_text_of_another() {
        let open = eight(HOUR);
        for id in 0..3 {
            hold(&open, &of("b", id)).await.unwrap();
        }
        for id in 0..100 {
            open.begin(&of("a", id), Revision::FIRST);
            assert!(matches!(hold(&open, &of("a", id)).await, Ok(()) | Err(NoState::Full)));
        }
        for id in 0..3 {
            assert!(holds(&open, &of("b", id)).await);
        }
        assert_eq!(hold(&open, &of("a", 100)).await, Err(NoState::Full));
        assert_eq!(open.len(), 8);
    }

    #[tokio::test]
    async fn a_tenant_below_its_share_is_served_and_dropped_text_is_reported() {
        let open = eight(HOUR);
        for id in 0..8 {
            hold(&open, &of("b", id)).await.unwrap();
        }
        for id in 0..4 {
            hold(&open, &of("a", id)).await.unwrap();
        }
        assert_eq!(hold(&open, &of("a", 4)).await, Err(NoState::Full));
        for id in 0..4 {
            assert_eq!(open.lock(&of("b", id), GOES_ON).await.err(), Some(NoState::Dropped));
            assert!(holds(&open, &of("b", id + 4)).await && holds(&open, &of("a", id)).await);
        }
        // The refusal lasts until the message is read; then the table is as full as for any other message.
        assert_eq!(open.lock(&of("b", 0), GOES_ON).await.err(), Some(NoState::Dropped));
        open.table().read(&of("b", 0));
        assert_eq!(open.lock(&of("b", 0), GOES_ON).await.err(), Some(NoState::Full));
        open.table().check_counts();
    }

    #[tokio::test]
    async fn only_a_read_after_a_refusal_allows_calls_without_the_dropped_text() {
        let open = eight(Duration::ZERO);
        for id in 0..9 {
            hold(&open, &key(id)).await.unwrap();
        }
        // A read by another caller, before the refusal.
        open.table().read(&key(0));
        for effects in [RENEWS, REPLACES] {
            assert!(matches!(open.lock(&key(0), effects).await.as_deref(), Ok(TextState::Unknown)));
        }
        for _ in 0..2 {
            assert_eq!(open.lock(&key(0), GOES_ON).await.err(), Some(NoState::Dropped));
        }
        open.table().read(&key(0));
        assert!(matches!(open.lock(&key(0), GOES_ON).await.as_deref(), Ok(TextState::Unknown)));
        open.table().check_counts();
    }

    #[tokio::test]
    async fn a_full_table_serves_a_call_without_content() {
        let open = eight(HOUR);
        for id in 0..8 {
            hold(&open, &key(id)).await.unwrap();
        }
        assert_eq!(open.lock(&key(8), REPLACES).await.err(), Some(NoState::Full));
        assert!(matches!(open.lock(&key(8), RENEWS).await.as_deref(), Ok(TextState::Unknown)));
        // Nor does it drop buffered text of another tenant.
        assert!(matches!(open.lock(&of("b", 0), RENEWS).await.as_deref(), Ok(TextState::Unknown)));
        assert_eq!((open.len(), open.table().dropped_len()), (8, 0));
    }

    #[tokio::test]
    async fn the_counts_match_the_maps_and_the_dropped_messages_are_bounded() {
        let open = eight(Duration::ZERO);
        for round in 0..200 {
            let tenant = ["a", "b", "c"][round % 3];
            hold(&open, &of(tenant, round)).await.unwrap();
            open.begin(&of(tenant, round + 1), Revision::FIRST);
            if round % 7 == 0 {
                open.remove(&of(tenant, round));
            }
            let table = open.table();
            table.check_counts();
            assert!(table.dropped_len() <= 9, "{round}");
        }
        open.remove_thread(&"a".parse().unwrap(), &"t".parse().unwrap());
        open.table().check_counts();
    }

    #[tokio::test]
    async fn idle_held_text_is_dropped_first_and_its_next_call_is_refused() {
        let open = eight(Duration::ZERO);
        for id in 0..9 {
            hold(&open, &key(id)).await.unwrap();
        }
        assert_eq!(open.len(), 1);
        assert_eq!(open.lock(&key(0), GOES_ON).await.err(), Some(NoState::Dropped));
        open.table().read(&key(0));
        assert!(matches!(open.lock(&key(0), GOES_ON).await.as_deref(), Ok(TextState::Unknown)));
    }
}
