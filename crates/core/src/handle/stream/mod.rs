//! The stream of one thread: its changes, with the content that they bring.

mod content;
mod cursor;
mod event;

use std::{
    collections::{HashMap, VecDeque},
    fmt, iter,
};

use self::{
    content::{MOST, ReadAhead},
    cursor::ShownContent,
};
pub use self::{
    cursor::{InvalidStreamCursor, StreamCursor},
    event::{AppendedContent, DeletedMessage, EndedMessage, StreamEvent, ThreadEvent},
};
use super::{ChangeFeed, Persistence};
use crate::{
    Content, ErrorKind, Message, PersistError, Result, Revision, Seq, ThreadId,
    change::{Change, ChangeKind, ChangeScope, ChangedMessage},
    message::ContentCursor,
    operation::{ContentTail, DamagedMessage, GetMessage, GetThread, ReadContent, ReadPage},
};

/// A stream of the changes of one thread after a cursor, including future ones, with the content that they bring: see
/// [`Thread::follow`](super::Thread::follow).
///
/// A reader loads pages of the thread, and opens the stream from the [`position`](crate::messages::Page::position) of the first
/// page that it read. It then misses no change and no byte. An event has a [cursor](StreamCursor), from which another stream
/// continues, in any process: no content is lost, and none is shown twice.
///
/// The stream shows the content of an open message as it grows. Many appends become one event if the reader is slower than the
/// writer.
///
/// # Cost
/// The stream reads the content that a change brings with [tail reads](ReadContent) of 256 KiB, and shows each in several events. It
/// reads on after the caller has taken these. So a reader that keeps up costs each byte of a growing message once. A reader that is
/// behind by n bytes of one message costs n / 256 KiB reads of these bytes, because a store reads the rest of a message as a whole. A
/// stream that continues from a cursor reads the answer again in which the cursor is. After a change of metadata the stream reads
/// the whole message.
///
/// # Memory
/// Between two calls the stream keeps at most 256 KiB of content, or one longer block that is not plain text, and the up to 256
/// changes of one read, which have no content. The kept content is shown although the message is deleted meanwhile; the event of
/// the deletion follows.
///
/// # Damage
/// A damaged message, and one whose key was shredded, is a [`Damaged`](ThreadEvent::Damaged) event, and a thread in this state is
/// [`Unreadable`](ThreadEvent::Unreadable). The stream goes on behind it.
///
/// ```no_run
/// use throughline_core::{Persistence, changes::ThreadEvent, messages::PageFrom};
///
/// # async fn example(db: Persistence) -> throughline_core::Result<()> {
/// let thread = db.thread("telegram:42");
/// let page = thread.page(PageFrom::End, 20).await?;
/// let mut stream = thread.follow(page.position);
/// loop {
///     let next = stream.next().await?;
///     match next.event {
///         ThreadEvent::Added(message) => println!("{}: {}", message.id, message.content.as_json()),
///         ThreadEvent::Delta(delta) => println!("{}: {:?}", delta.id, delta.parts),
///         ThreadEvent::Finished(ended) => println!("{} is complete", ended.id),
///         _ => {}
///     }
///     // `next.cursor` continues after this event: store it, or send it to the client.
/// }
/// # }
/// ```
#[must_use = "nothing is read before `next`"]
pub struct ThreadStream {
    db: Persistence,
    thread: Result<ThreadId>,
    feed: ChangeFeed,
    cursor: StreamCursor,
    /// The changes of one read that are not shown yet.
    changes: VecDeque<Change>,
    /// The revisions of the messages that were read as a whole since the last read of changes.
    shown: HashMap<Seq, Revision>,
    /// The rest of a tail read, whose events follow.
    ahead: Option<ReadAhead>,
    limit: u32,
}

/// The bytes of content in one event, unless a stream sets others.
const LIMIT: u32 = 64 << 10;

/// The result of one step.
enum Step {
    Event(ThreadEvent),
    /// The change brings nothing that the reader does not have.
    Nothing,
}

impl ThreadStream {
    pub(super) fn new(db: Persistence, thread: Result<ThreadId>, cursor: StreamCursor) -> Self {
        let scope = match &thread {
            Ok(thread) => ChangeScope::Thread(thread.clone()),
            Err(_) => ChangeScope::Tenant,
        };
        let feed = db.changes(scope, cursor.position);
        Self {
            db,
            thread,
            feed,
            cursor,
            changes: VecDeque::new(),
            shown: HashMap::new(),
            ahead: None,
            limit: LIMIT,
        }
    }

    /// Sets the most bytes of content in one event: 64 KiB by default, and at most 256 KiB. An event has at least one character or one block: text is
    /// divided, a block of another kind is not. A message that was added or edited is one event of any size.
    pub const fn with_limit(mut self, bytes: u32) -> Self {
        self.limit = bytes;
        self
    }

    /// The cursor after the last event, or a later one, if the changes since then bring nothing.
    #[must_use]
    pub const fn cursor(&self) -> &StreamCursor {
        &self.cursor
    }

    /// Returns the next event. Waits until there is one.
    ///
    /// # Errors
    /// [`TooOld`](crate::ErrorKind::TooOld) if the store no longer has all changes after the cursor: load the thread again, and
    /// open a stream from the position of its page. Otherwise the error of a read. The cursor is unchanged after an error: the next
    /// call reads again.
    ///
    /// # Cancel safety
    /// If the future is dropped before it returns, no event is lost, and none is returned twice.
    pub async fn next(&mut self) -> Result<StreamEvent> {
        loop {
            if let Some(event) = self.next_now().await? {
                return Ok(event);
            }
            self.wait_for_commit().await;
        }
    }

    /// Returns the next event, or `None` if there is no further one yet.
    ///
    /// # Errors
    /// As for [`next`](Self::next).
    ///
    /// # Cancel safety
    /// As for [`next`](Self::next).
    pub async fn next_now(&mut self) -> Result<Option<StreamEvent>> {
        let thread = self.thread.clone()?;
        loop {
            let Some(change) = self.changes.front().cloned() else {
                let read = self.feed.next_batch_now().await?;
                self.shown.clear();
                if read.is_empty() {
                    self.cursor.position = self.cursor.position.max(self.feed.position());
                    return Ok(None);
                }
                self.changes = read.into();
                continue;
            };
            // Nothing is changed before the last read of the step, so that a dropped call has no effect.
            if let Step::Event(event) = self.step(&thread, &change).await? {
                return Ok(Some(StreamEvent { cursor: self.cursor.clone(), event }));
            }
        }
    }

    /// Whether the stream has shown all changes that its last read of changes found, and that read reached their end: see
    /// [`ChangeFeed::is_at_end`].
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.changes.is_empty() && self.feed.is_at_end()
    }

    /// Waits for a commit notification: see [`ChangeFeed::wait_for_commit`].
    ///
    /// # Cancel safety
    /// If the future is dropped, no event is lost.
    pub async fn wait_for_commit(&mut self) {
        self.feed.wait_for_commit().await;
    }

    /// Shows the first change, or a part of it.
    async fn step(&mut self, thread: &ThreadId, change: &Change) -> Result<Step> {
        match &change.kind {
            ChangeKind::Added(of) => self.whole(thread, of, ThreadEvent::Added).await,
            ChangeKind::Edited(of) => self.whole(thread, of, ThreadEvent::Edited).await,
            ChangeKind::Reserved(of) => self.reserved(thread, of).await,
            ChangeKind::Patched(of) => self.patched(thread, of).await,
            ChangeKind::Written(of) => {
                if self.is_superseded(of) {
                    return Ok(self.pass());
                }
                Ok(self.content(thread, of).await?.unwrap_or_else(|| self.pass()))
            }
            ChangeKind::Finished(of) => Ok(match self.content(thread, of).await? {
                Some(shown) => shown,
                None => self.settled(of, ThreadEvent::Finished(ended(of, None))),
            }),
            ChangeKind::Abandoned(of) => {
                if let Some(shown) = self.content(thread, of).await? {
                    return Ok(shown);
                }
                let reason = self.reason(thread, of).await?;
                Ok(self.settled(of, ThreadEvent::Abandoned(ended(of, reason))))
            }
            ChangeKind::Deleted(of) => {
                let deleted = DeletedMessage { id: of.id.clone(), seq: of.seq };
                Ok(self.settled(of, ThreadEvent::Deleted(deleted)))
            }
            ChangeKind::ThreadCreated | ChangeKind::ThreadChanged | ChangeKind::ThreadPublished => {
                if self.changes.iter().skip(1).any(is_of_thread) {
                    return Ok(self.pass());
                }
                Ok(match self.db.read(GetThread { thread: thread.clone() }).await {
                    Ok(Some(summary)) => self.show(ThreadEvent::Thread(Box::new(summary))),
                    Ok(None) => self.pass(),
                    Err(error) if is_of_data(&error) => {
                        self.show(ThreadEvent::Unreadable { why: error.to_string() })
                    }
                    Err(error) => return Err(error),
                })
            }
            ChangeKind::ThreadCleared { generation, through } => {
                self.drop_through(*through);
                Ok(self.show(ThreadEvent::Cleared { generation: *generation, through: *through }))
            }
            ChangeKind::ThreadPruned { through } => {
                self.drop_through(*through);
                Ok(self.show(ThreadEvent::Pruned { through: *through }))
            }
            ChangeKind::ThreadDeleted => {
                self.cursor.open.clear();
                Ok(self.show(ThreadEvent::ThreadDeleted {}))
            }
            ChangeKind::Unreadable { why } => Ok(self.show(ThreadEvent::Unreadable { why: why.clone() })),
        }
    }

    /// Shows a message with its content.
    async fn whole(
        &mut self,
        thread: &ThreadId,
        of: &ChangedMessage,
        event: fn(Box<Message>) -> ThreadEvent,
    ) -> Result<Step> {
        if self.was_shown(of) {
            return Ok(self.pass());
        }
        Ok(match self.get(thread, of).await? {
            Err(damaged) => self.show(damaged),
            Ok(None) => self.pass(),
            Ok(Some(message)) => {
                self.shown.insert(of.seq, message.revision);
                self.cursor.open.remove(&of.seq);
                self.show(event(Box::new(message)))
            }
        })
    }

    async fn reserved(&mut self, thread: &ThreadId, of: &ChangedMessage) -> Result<Step> {
        Ok(match self.get(thread, of).await? {
            Err(damaged) => self.show(damaged),
            Ok(None) => self.pass(),
            Ok(Some(message)) => {
                self.cursor.set(of.seq, ContentCursor::new(Revision::ZERO, 0, of.revision));
                self.show(ThreadEvent::Reserved(Box::new(without_content(message))))
            }
        })
    }

    async fn patched(&mut self, thread: &ThreadId, of: &ChangedMessage) -> Result<Step> {
        if self.was_shown(of) || self.is_patched_again(of) {
            return Ok(self.pass());
        }
        Ok(match self.get(thread, of).await? {
            Err(damaged) => self.show(damaged),
            Ok(None) => self.pass(),
            Ok(Some(message)) => self.show(ThreadEvent::Updated(Box::new(without_content(message)))),
        })
    }

    /// Shows the content of a message that the reader does not have. `None` if the reader has all content up to the change.
    async fn content(&mut self, thread: &ThreadId, of: &ChangedMessage) -> Result<Option<Step>> {
        let shown = self.cursor.open.get(&of.seq).copied();
        if shown.is_some_and(|shown| shown.cursor.revision() >= of.revision) {
            return Ok(None);
        }
        let mut ahead = match self.ahead.take() {
            Some(ahead) if ahead.continues(of.seq, shown) => ahead,
            _ => match self.read_ahead(thread, of, shown).await {
                Ok(Some(read)) => read,
                // Deleted meanwhile: the event of the deletion follows.
                Ok(None) => {
                    self.cursor.open.remove(&of.seq);
                    return Ok(Some(self.pass()));
                }
                Err(error) if is_of_data(&error) => {
                    self.cursor.open.remove(&of.seq);
                    return Ok(Some(self.show(damaged(thread, of))));
                }
                Err(error) => return Err(error),
            },
        };
        let event = ahead.event(self.limit);
        self.cursor.set(of.seq, ahead.shown());
        let Some(event) = event else { return Ok(None) };
        // The change has another event if it is not a write.
        let is_write =
            matches!(self.changes.front().map(|change| &change.kind), Some(ChangeKind::Written(_)));
        if !ahead.is_empty() {
            self.ahead = Some(ahead);
        } else if !ahead.has_more() && is_write {
            self.pass();
        }
        Ok(Some(Step::Event(event)))
    }

    /// Reads the content behind what is shown. `None` if the message is deleted.
    async fn read_ahead(
        &self,
        thread: &ThreadId,
        of: &ChangedMessage,
        shown: Option<ShownContent>,
    ) -> Result<Option<ReadAhead>> {
        for limit in limits(shown) {
            match self.tail(thread, of, shown.map(|shown| shown.cursor), limit).await {
                Ok(Some(tail)) => {
                    let has_more = tail.has_more;
                    match ReadAhead::after(shown, of.seq, tail) {
                        Some(ahead) => return Ok(Some(ahead)),
                        None if has_more => {}
                        None => break,
                    }
                }
                Ok(None) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Invalid && shown.is_some() => break,
                Err(error) => return Err(error),
            }
        }
        // The cursor is of another copy of the store.
        let first = self.tail(thread, of, None, MOST).await?;
        Ok(first.and_then(|first| ReadAhead::after(None, of.seq, first)))
    }

    async fn tail(
        &self,
        thread: &ThreadId,
        of: &ChangedMessage,
        after: Option<ContentCursor>,
        limit: u32,
    ) -> Result<Option<ContentTail>> {
        let read = ReadContent::new(thread.clone(), of.id.clone(), after).with_limit(limit);
        // With another sequence number it is a later message of the id: this one is deleted.
        Ok(self.db.read(read).await?.filter(|tail| tail.seq == of.seq))
    }

    /// Returns the message of a change; as an event if it is damaged.
    async fn get(
        &self,
        thread: &ThreadId,
        of: &ChangedMessage,
    ) -> Result<std::result::Result<Option<Message>, ThreadEvent>> {
        let get = GetMessage { thread: thread.clone(), id: of.id.clone() };
        match self.db.read(get).await {
            // With another sequence number it is a later message of the id: this one is deleted.
            Ok(message) => Ok(Ok(message.filter(|message| message.seq == of.seq))),
            Err(error) if is_of_data(&error) => Ok(Err(damaged(thread, of))),
            Err(error) => Err(error),
        }
    }

    /// Returns the reason of an abandoned message. A damaged one has none.
    async fn reason(&self, thread: &ThreadId, of: &ChangedMessage) -> Result<Option<String>> {
        let message = self.get(thread, of).await?.unwrap_or_default();
        Ok(message.and_then(|message| message.abandon_reason))
    }

    /// Moves behind the first change.
    fn pass(&mut self) -> Step {
        if let Some(change) = self.changes.pop_front() {
            self.cursor.position = change.position;
        }
        Step::Nothing
    }

    /// Moves behind the first change, and shows it.
    fn show(&mut self, event: ThreadEvent) -> Step {
        self.pass();
        Step::Event(event)
    }

    /// Shows the last change of an open message.
    fn settled(&mut self, of: &ChangedMessage, event: ThreadEvent) -> Step {
        self.cursor.open.remove(&of.seq);
        self.show(event)
    }

    fn drop_through(&mut self, through: Seq) {
        self.cursor.open.retain(|seq, _| *seq > through);
    }

    /// Whether a later change of this read shows the content of this write too.
    fn is_superseded(&self, of: &ChangedMessage) -> bool {
        self.changes.iter().skip(1).any(|later| match &later.kind {
            ChangeKind::Written(later) | ChangeKind::Finished(later) | ChangeKind::Abandoned(later) => {
                later.seq == of.seq
            }
            _ => false,
        })
    }

    fn is_patched_again(&self, of: &ChangedMessage) -> bool {
        let mut later = self.changes.iter().skip(1);
        later.any(|later| matches!(&later.kind, ChangeKind::Patched(later) if later.seq == of.seq))
    }

    /// Whether the message was shown as a whole after this change.
    fn was_shown(&self, of: &ChangedMessage) -> bool {
        self.shown.get(&of.seq).is_some_and(|shown| *shown >= of.revision)
    }
}

/// The limits to read with after this content, until an answer contains it. The limit of a store also counts the separators of blocks,
/// which the shown bytes do not.
fn limits(shown: Option<ShownContent>) -> impl Iterator<Item = u32> {
    let shown = shown.map_or(0, |shown| u32::try_from(shown.bytes).unwrap_or(u32::MAX));
    let whole = (shown > 0).then_some(ReadPage::MAX_BYTES);
    iter::once(MOST.saturating_add(shown).min(ReadPage::MAX_BYTES)).chain(whole)
}

/// Whether an error remains at each further read: the data is damaged, or its key was shredded.
fn is_of_data(error: &PersistError) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Gone)
}

const fn is_of_thread(change: &Change) -> bool {
    matches!(change.kind, ChangeKind::ThreadCreated | ChangeKind::ThreadChanged | ChangeKind::ThreadPublished)
}

fn ended(of: &ChangedMessage, reason: Option<String>) -> EndedMessage {
    EndedMessage { id: of.id.clone(), seq: of.seq, revision: of.revision, reason }
}

fn damaged(thread: &ThreadId, of: &ChangedMessage) -> ThreadEvent {
    ThreadEvent::Damaged(DamagedMessage {
        thread: thread.clone(),
        seq: Some(of.seq),
        id: Some(of.id.clone()),
    })
}

fn without_content(message: Message) -> Message {
    Message { content: Content::empty(), ..message }
}

impl fmt::Debug for ThreadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadStream")
            .field("thread", &self.thread)
            .field("cursor", &self.cursor)
            .field("buffered_changes", &self.changes.len())
            .field("buffered_bytes", &self.ahead.as_ref().map_or(0, ReadAhead::held))
            .finish_non_exhaustive()
    }
}
