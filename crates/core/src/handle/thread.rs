use super::{
    ChangeFeed, DraftRequest, Persistence, ReadRequest, Request, StreamCursor, ThreadRequest, ThreadStream,
    Walk, request::refused,
};
use crate::{
    Content, InvalidId, MessageId, Metadata, MetadataPatch, MetadataScalar, NewMessage, NewReservation,
    OpKind, Position, Result, ThreadId, Title,
    change::ChangeScope,
    message::ContentCursor,
    operation::{
        Add, ArchiveThread, ClearThread, ContentChange, Delete, DeleteThread, FindMessages, GetMessage,
        GetThread, Import, ImportRow, LabelThread, ListOpen, OperationOf, Origin, PageFrom, ReadContent,
        ReadPage, RebuildThread, RenameThread, ResolveId, TakeLastMessage, ThreadArgs, Update, UpdateContent,
        UpdateMode, Visibility,
    },
    thread::LabelPatch,
};

/// A handle to one thread, a conversation of a tenant. The first write to a thread creates it.
///
/// Each method that returns a request or a [`DraftRequest`] does nothing until it is awaited. A write accepts an
/// idempotency key with `key` and a deadline with `deadline`; dropping it is as safe as for a [`Request`]. Each call
/// on a handle with an invalid id fails as [`Invalid`](crate::ErrorKind::Invalid). Each write to a deleted thread
/// fails as [`Gone`](crate::ErrorKind::Gone).
///
/// ```no_run
/// use throughline_core::{NewMessage, Persistence, Role, messages::PageFrom};
///
/// # async fn example(db: Persistence) -> throughline_core::Result<()> {
/// let thread = db.thread("telegram:42");
/// thread.add(NewMessage::user("hello")).key("update-1007").await?;
/// let mut draft = thread.reserve(Role::Assistant).await?; // its id is stable from here
/// draft.append("Hel").await?;
/// draft.append("lo!").await?;
/// let reply = draft.finish().await?;
/// let latest = thread.page(PageFrom::End, 20).await?;
/// assert_eq!(latest.messages.last().unwrap().id, reply.id);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Thread {
    db: Persistence,
    id: Result<ThreadId, InvalidId>,
}

impl Thread {
    pub(super) const fn new(db: Persistence, id: Result<ThreadId, InvalidId>) -> Self {
        Self { db, id }
    }

    /// Returns the id of the thread.
    ///
    /// # Errors
    /// [`InvalidId`] if the handle was created with an invalid id.
    pub fn id(&self) -> Result<&ThreadId, InvalidId> {
        self.id.as_ref().map_err(|error| *error)
    }

    /// Returns the handle that this one was created from.
    #[must_use]
    pub const fn persistence(&self) -> &Persistence {
        &self.db
    }

    /// Returns the id, for an operation of several calls.
    pub(super) fn id_for(&self, operation: OpKind) -> Result<ThreadId> {
        self.with_id(|thread| thread).map_err(|error| error.at_the_edge(operation))
    }

    /// Returns the id, for a write of several calls. An invalid id is refused like the id of a single call.
    pub(super) async fn id_to_write(&self, operation: OpKind) -> Result<ThreadId> {
        match self.with_id(|thread| thread) {
            Ok(thread) => Ok(thread),
            Err(error) => {
                self.db.clone().refuse(operation, error).await?;
                unreachable!("a refused call answers an error")
            }
        }
    }

    pub(super) fn with_id<T>(&self, make: impl FnOnce(ThreadId) -> T) -> Result<T> {
        match &self.id {
            Ok(id) => Ok(make(id.clone())),
            Err(error) => Err(refused(error)),
        }
    }

    /// Adds a complete message.
    ///
    /// Fails as [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if the thread has a message with this id, and as
    /// [`Gone`](crate::ErrorKind::Gone) if it had one that was deleted.
    pub fn add(&self, message: NewMessage) -> Request<Add> {
        Request::new(self.db.clone(), self.with_id(|thread| Add::new(thread, message)))
    }

    /// Reserves a message and returns a [`Draft`](super::Draft) that writes it. The id is stable before the first
    /// token.
    ///
    /// Fails like [`add`](Self::add), and as [`Invalid`](crate::ErrorKind::Invalid) if the lease is out of range or
    /// not a whole number of milliseconds.
    pub fn reserve(&self, reservation: impl Into<NewReservation>) -> DraftRequest {
        let reservation = reservation.into();
        DraftRequest::new(self.db.clone(), self.with_id(|thread| (thread, reservation)))
    }

    /// Changes the content of a message, or settles it: see [`UpdateMode`]. To stream a message, use a
    /// [`Draft`](super::Draft), which also coalesces appends and renews the lease.
    ///
    /// Fails as [`NotFound`](crate::ErrorKind::NotFound) for an unknown or deleted message. Fails as
    /// [`Stale`](crate::ErrorKind::Stale) for a settled message, except for an edit of a final one.
    pub fn update_content(
        &self,
        id: MessageId,
        change: ContentChange,
        mode: UpdateMode,
    ) -> Request<UpdateContent> {
        Request::new(self.db.clone(), self.with_id(|thread| UpdateContent::new(thread, id, change, mode)))
    }

    /// Replaces the content of a final message. Fails as [`Conflict`](crate::ErrorKind::Conflict) for an open
    /// message, and as [`Stale`](crate::ErrorKind::Stale) for an abandoned one.
    pub fn edit(&self, id: MessageId, content: Content) -> Request<UpdateContent> {
        self.update_content(id, ContentChange::Replace(content), UpdateMode::Edit)
    }

    /// Patches the metadata of a message, in any state: a `null` removes a name, and other names stay.
    pub fn update(&self, id: MessageId, metadata: MetadataPatch) -> Request<Update> {
        Request::new(self.db.clone(), self.with_id(|thread| Update::new(thread, id, metadata)))
    }

    /// Sets metadata of a message where it has no value of that name, in any state: see
    /// [`Update::where_absent`](crate::messages::Update::where_absent). The answer names the values that the message kept.
    ///
    /// ```no_run
    /// use throughline_core::{MessageId, Metadata, Persistence};
    ///
    /// # async fn example(db: Persistence, id: MessageId) -> throughline_core::Result<()> {
    /// let mut claim = Metadata::new();
    /// claim.set("claimed-by", "worker-7")?;
    /// let claimed = db.thread("jobs").set_absent(id, claim).await?;
    /// let is_ours = claimed.kept.is_empty();
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_absent(&self, id: MessageId, values: Metadata) -> Request<Update> {
        Request::new(self.db.clone(), self.with_id(|thread| Update::setting_absent(thread, id, values)))
    }

    /// Deletes a message, in any state. Its id is never free again in this thread. Fails as
    /// [`NotFound`](crate::ErrorKind::NotFound) for an unknown or deleted message.
    pub fn delete(&self, id: MessageId) -> Request<Delete> {
        Request::new(self.db.clone(), self.with_id(|thread| Delete::new(thread, id)))
    }

    /// Deletes a message that the store cannot read: see [`Delete::damaged`].
    ///
    /// ```no_run
    /// use throughline_core::{ErrorKind, MessageId, Persistence};
    ///
    /// # async fn example(db: Persistence, id: MessageId) -> throughline_core::Result<()> {
    /// let thread = db.thread("telegram:42");
    /// if let Err(error) = thread.get(id.clone()).await
    ///     && error.kind() == ErrorKind::Corrupt
    /// {
    ///     thread.delete_damaged(id).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn delete_damaged(&self, id: MessageId) -> Request<Delete> {
        Request::new(self.db.clone(), self.with_id(|thread| Delete::damaged(thread, id)))
    }

    /// Overwrites damaged messages with copies, for example from a backup: see [`Import::restoring`].
    ///
    /// ```no_run
    /// use throughline_core::{MessageId, Persistence, messages::ImportRow};
    ///
    /// # async fn example(db: Persistence, backup: Persistence, id: MessageId) -> throughline_core::Result<()> {
    /// // The backup is read through the same layers, so that its content is decrypted and encrypted again.
    /// if let Some(row) = backup.thread("telegram:42").get(id).await?.and_then(ImportRow::of) {
    ///     db.thread("telegram:42").restore_damaged(vec![row]).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn restore_damaged(&self, rows: Vec<ImportRow>) -> Request<Import> {
        Request::new(self.db.clone(), self.with_id(|thread| Import::restoring(thread, rows)))
    }

    /// Reads one message. Answers `None` if the thread has no such message.
    pub fn get(&self, id: MessageId) -> ReadRequest<GetMessage> {
        ReadRequest::new(self.db.clone(), self.with_id(|thread| GetMessage { thread, id }))
    }

    /// Reads the content of a message that was appended after a cursor, at most 8 MiB: see [`ReadContent`]. `None` begins at the
    /// start of the content. Answers `None` if the thread has no such message.
    ///
    /// ```no_run
    /// use throughline_core::{Content, MessageId, Persistence, messages::ContentBuffer};
    ///
    /// # async fn example(db: Persistence, id: MessageId) -> throughline_core::Result<()> {
    /// let thread = db.thread("telegram:42");
    /// let (mut content, mut cursor) = (ContentBuffer::new(&Content::empty()), None);
    /// while let Some(tail) = thread.read_content(id.clone(), cursor).await? {
    ///     if tail.replaced {
    ///         content = ContentBuffer::new(&Content::empty());
    ///     }
    ///     tail.parts.iter().for_each(|part| content.push(part));
    ///     cursor = Some(tail.next);
    ///     if tail.is_complete() {
    ///         break;
    ///     }
    ///     // Here a reader waits for the next change of the thread.
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_content(&self, id: MessageId, after: Option<ContentCursor>) -> ReadRequest<ReadContent> {
        ReadRequest::new(self.db.clone(), self.with_id(|thread| ReadContent::new(thread, id, after)))
    }

    /// Reads up to `limit` messages, 1 to [`ReadPage::MAX_LIMIT`], from `from` on. The answer is in thread order,
    /// oldest first, in either direction. It also ends at 8 MiB; only
    /// [`Page::has_more`](crate::operation::Page::has_more) states whether there are more messages.
    pub fn page(&self, from: PageFrom, limit: u32) -> ReadRequest<ReadPage> {
        ReadRequest::new(self.db.clone(), self.with_id(|thread| ReadPage::new(thread, from, limit)))
    }

    /// Reads like [`page`](Self::page), and only messages of this visibility: the final messages for a model, or the
    /// settled messages that a consumer's cursor can pass.
    pub fn page_showing(&self, from: PageFrom, limit: u32, visibility: Visibility) -> ReadRequest<ReadPage> {
        let read = |thread| ReadPage::new(thread, from, limit).showing(visibility);
        ReadRequest::new(self.db.clone(), self.with_id(read))
    }

    /// Finds the latest messages of the thread, at most `limit`, whose metadata field `name` has this value: a string, an integer
    /// or a boolean. The host declared the field as indexed when it opened the store. For the next page, another order or other
    /// states, see [`Persistence::find`].
    ///
    /// ```no_run
    /// # async fn example(thread: throughline_core::Thread) -> throughline_core::Result<()> {
    /// let calls = thread.find("kind", "toolCall", 20).await?.messages;
    /// # let _ = calls;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Unsupported` for a field that is not declared. `Busy` while the store builds the index of a new field.
    pub fn find(
        &self,
        name: impl Into<String>,
        value: impl Into<MetadataScalar>,
        limit: u32,
    ) -> ReadRequest<FindMessages> {
        let find = |thread| FindMessages::new(name, value, limit).in_thread(thread);
        ReadRequest::new(self.db.clone(), self.with_id(find))
    }

    /// Iterates over the messages from `from` on, to the end of the thread or back to its beginning. The walk reads
    /// nothing, and reports no error, before the first [`Walk::next`].
    pub fn walk(&self, from: PageFrom, visibility: Visibility) -> Walk {
        Walk::new(self.db.clone(), self.id_for(OpKind::Read), from, visibility)
    }

    /// Reads the summary of the thread, as lists show it. Answers `None` if there is no such thread.
    pub fn summary(&self) -> ReadRequest<GetThread> {
        ReadRequest::new(self.db.clone(), self.with_id(|thread| GetThread { thread }))
    }

    fn on<T: OperationOf<ThreadArgs>>(&self, operation: impl FnOnce(ThreadId) -> T) -> ThreadRequest<T> {
        ThreadRequest::new(self.db.clone(), self.with_id(operation))
    }

    /// Sets the title. A program that generates titles should name the title that it replaces, with
    /// [`RenameThread::expecting`] and [`Persistence::on_thread`].
    pub fn rename(&self, title: Title) -> ThreadRequest<RenameThread> {
        self.on(|thread| RenameThread::new(thread, title))
    }

    /// Archives the thread, or restores it. An archived thread stays writable.
    pub fn archive(&self, archived: bool) -> ThreadRequest<ArchiveThread> {
        self.on(|thread| ArchiveThread { thread, archived })
    }

    /// Patches the labels of the thread.
    pub fn label(&self, labels: LabelPatch) -> ThreadRequest<LabelThread> {
        self.on(|thread| LabelThread::new(thread).with_labels(labels))
    }

    /// Patches the metadata of the thread.
    pub fn annotate(&self, metadata: MetadataPatch) -> ThreadRequest<LabelThread> {
        self.on(|thread| LabelThread::new(thread).with_metadata(metadata))
    }

    /// Deletes all messages and begins the next generation of the thread. The title, owner, labels and metadata stay.
    pub fn clear(&self) -> ThreadRequest<ClearThread> {
        self.on(ClearThread::new)
    }

    /// Deletes the last message, in any state, and answers it as a whole. [`TakeLastMessage::expecting`] with
    /// [`Persistence::on_thread`] deletes a specific message only.
    pub fn take_last(&self) -> ThreadRequest<TakeLastMessage> {
        self.on(TakeLastMessage::new)
    }

    /// Deletes the thread with everything in it. Each later write to it fails as [`Gone`](crate::ErrorKind::Gone). A
    /// second deletion succeeds.
    pub fn delete_thread(&self) -> ThreadRequest<DeleteThread> {
        self.on(|thread| DeleteThread { thread })
    }

    /// Recomputes the counters in the summary from the messages. The store runs no other write in the meantime.
    /// In SQLite, 240 000 messages take about 0.6 s.
    pub fn rebuild_summary(&self) -> ThreadRequest<RebuildThread> {
        self.on(|thread| RebuildThread { thread })
    }

    /// Resolves the id of the message that a provider's ids mean: an existing message or a new id, see [`ResolveId`].
    /// For legacy ids and the other options, use [`ResolveId`] with [`Persistence::on_thread`].
    ///
    /// ```no_run
    /// use throughline_core::{NewReservation, Persistence, Role, messages::Origin};
    ///
    /// # async fn example(db: Persistence) -> throughline_core::Result<()> {
    /// let thread = db.thread("telegram:42");
    /// let item = Origin::new().in_turn("turn-7".parse()?).item("seg:0".parse()?);
    /// let resolved = thread.resolve_id(item).await?;
    /// if resolved.state.is_none() {
    ///     thread.reserve(NewReservation::new(Role::Assistant).with_id(resolved.id)).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn resolve_id(&self, origin: Origin) -> ThreadRequest<ResolveId> {
        self.on(|thread| ResolveId::new(thread, origin))
    }

    /// Returns a feed of the changes of this thread after a position, such as that of a
    /// [page](crate::operation::Page::position): see [`ChangeFeed`].
    ///
    /// # Errors
    /// `Invalid` if the handle was created with an invalid id.
    pub fn changes(&self, after: Position) -> Result<ChangeFeed> {
        Ok(self.db.changes(ChangeScope::Thread(self.id_for(OpKind::Read)?), after))
    }

    /// Returns a stream of the changes of this thread after a cursor, such as the
    /// [position of a page](crate::operation::Page::position), with the content that they bring: see [`ThreadStream`]. Between
    /// the page and the stream nothing is lost. The stream reads nothing, and reports no error, before the first
    /// [`next`](ThreadStream::next).
    pub fn follow(&self, after: impl Into<StreamCursor>) -> ThreadStream {
        ThreadStream::new(self.db.clone(), self.id_for(OpKind::Read), after.into())
    }

    /// Lists up to `limit` open messages of this thread.
    pub fn open_reservations(&self, limit: u32) -> ReadRequest<ListOpen> {
        ReadRequest::new(self.db.clone(), self.with_id(|thread| ListOpen::new(limit).in_thread(thread)))
    }
}
