use super::{
    ChangeFeed, DraftRequest, Persistence, ReadRequest, Request, ThreadRequest, Walk, request::refused,
};
use crate::{
    Content, InvalidId, MessageId, MetadataPatch, NewMessage, NewReservation, OpKind, Position, Result,
    ThreadId, Title,
    change::ChangeScope,
    operation::{
        Add, ArchiveThread, ClearThread, ContentChange, Delete, DeleteThread, GetMessage, GetThread, Import,
        ImportRow, LabelThread, ListOpen, OperationOf, Origin, PageFrom, ReadPage, RebuildThread,
        RenameThread, ResolveId, TakeLastMessage, ThreadArgs, Update, UpdateContent, UpdateMode, Visibility,
    },
    thread::LabelPatch,
};

/// One conversation of a tenant. It exists from its first write.
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

    /// Its id.
    ///
    /// # Errors
    /// [`InvalidId`] when the handle was made of an unusable one.
    pub fn id(&self) -> Result<&ThreadId, InvalidId> {
        self.id.as_ref().map_err(|error| *error)
    }

    /// The handle that it came from.
    #[must_use]
    pub const fn persistence(&self) -> &Persistence {
        &self.db
    }

    /// Its id, for what takes several calls.
    pub(super) fn id_for(&self, operation: OpKind) -> Result<ThreadId> {
        self.with_id(|thread| thread).map_err(|error| error.at_the_edge(operation))
    }

    /// Its id, for writes that take several calls: a refusal is that of a call.
    pub(super) async fn id_to_write(&self, operation: OpKind) -> Result<ThreadId> {
        match self.with_id(|thread| thread) {
            Ok(thread) => Ok(thread),
            Err(error) => {
                self.db.refuse(operation, error).await?;
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
    pub fn add(&self, message: NewMessage) -> Request<Add> {
        Request::new(self.db.clone(), self.with_id(|thread| Add::new(thread, message)))
    }

    /// Reserves a message and answers its writer: the id is stable before the first token.
    pub fn reserve(&self, reservation: impl Into<NewReservation>) -> DraftRequest {
        let reservation = reservation.into();
        DraftRequest::new(self.db.clone(), self.with_id(|thread| (thread, reservation)))
    }

    /// Changes the content of a message, or settles it. A [`Draft`](super::Draft) does it better.
    pub fn update_content(
        &self,
        id: MessageId,
        change: ContentChange,
        mode: UpdateMode,
    ) -> Request<UpdateContent> {
        Request::new(self.db.clone(), self.with_id(|thread| UpdateContent::new(thread, id, change, mode)))
    }

    /// Replaces the content of a final message.
    pub fn edit(&self, id: MessageId, content: Content) -> Request<UpdateContent> {
        self.update_content(id, ContentChange::Replace(content), UpdateMode::Edit)
    }

    /// Patches the metadata of a message.
    pub fn update(&self, id: MessageId, metadata: MetadataPatch) -> Request<Update> {
        Request::new(self.db.clone(), self.with_id(|thread| Update::new(thread, id, metadata)))
    }

    /// Deletes a message.
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

    /// Overwrites damaged messages with copies of them, such as from a backup: see [`Import::restoring`].
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

    /// Reads one message; nothing where there is no such one.
    pub fn get(&self, id: MessageId) -> ReadRequest<GetMessage> {
        ReadRequest::new(self.db.clone(), self.with_id(|thread| GetMessage { thread, id }))
    }

    /// Reads up to `limit` messages from there on, oldest first.
    pub fn page(&self, from: PageFrom, limit: u32) -> ReadRequest<ReadPage> {
        ReadRequest::new(self.db.clone(), self.with_id(|thread| ReadPage::new(thread, from, limit)))
    }

    /// Reads like [`page`](Self::page), and shows only some of the messages: the history for a model, or what a
    /// consumer's cursor may pass.
    pub fn page_showing(&self, from: PageFrom, limit: u32, visibility: Visibility) -> ReadRequest<ReadPage> {
        let read = |thread| ReadPage::new(thread, from, limit).showing(visibility);
        ReadRequest::new(self.db.clone(), self.with_id(read))
    }

    /// Walks through the messages from there on, to the end of the thread or back to its beginning. Nothing is read, and
    /// nothing refused, before the first [`Walk::next`].
    pub fn walk(&self, from: PageFrom, visibility: Visibility) -> Walk {
        Walk::new(self.db.clone(), self.id_for(OpKind::Read), from, visibility)
    }

    /// Its entry, as lists show it; nothing where there is no such thread.
    pub fn entry(&self) -> ReadRequest<GetThread> {
        ReadRequest::new(self.db.clone(), self.with_id(|thread| GetThread { thread }))
    }

    fn on<T: OperationOf<ThreadArgs>>(&self, operation: impl FnOnce(ThreadId) -> T) -> ThreadRequest<T> {
        ThreadRequest::new(self.db.clone(), self.with_id(operation))
    }

    /// Gives it another title. A title that is made by itself names the one it was made for, by
    /// [`RenameThread::expecting`] and [`Persistence::on_thread`].
    pub fn rename(&self, title: Title) -> ThreadRequest<RenameThread> {
        self.on(|thread| RenameThread::new(thread, title))
    }

    /// Puts it into the archive, or gets it out.
    pub fn archive(&self, archived: bool) -> ThreadRequest<ArchiveThread> {
        self.on(|thread| ArchiveThread { thread, archived })
    }

    /// Changes its labels.
    pub fn label(&self, labels: LabelPatch) -> ThreadRequest<LabelThread> {
        self.on(|thread| LabelThread::new(thread).with_labels(labels))
    }

    /// Changes the host's own facts about it.
    pub fn annotate(&self, metadata: MetadataPatch) -> ThreadRequest<LabelThread> {
        self.on(|thread| LabelThread::new(thread).with_metadata(metadata))
    }

    /// Takes every message away and begins another generation.
    pub fn clear(&self) -> ThreadRequest<ClearThread> {
        self.on(ClearThread::new)
    }

    /// Deletes its last message, in any state, and answers it whole. To take a certain one only, say so by
    /// [`TakeLastMessage::expecting`] and [`Persistence::on_thread`].
    pub fn take_last(&self) -> ThreadRequest<TakeLastMessage> {
        self.on(TakeLastMessage::new)
    }

    /// Deletes the thread, with everything in it.
    pub fn delete_thread(&self) -> ThreadRequest<DeleteThread> {
        self.on(|thread| DeleteThread { thread })
    }

    /// Makes what its entry says of its messages again, of the messages alone. The store makes no other write meanwhile: in SQLite, a
    /// pass over 240 000 messages takes about 0.6 s.
    pub fn rebuild_entry(&self) -> ThreadRequest<RebuildThread> {
        self.on(|thread| RebuildThread { thread })
    }

    /// Asks under which id it has, or is to have, the message that a provider speaks of: see [`ResolveId`]. Ids of old, and what
    /// else can be said, go by [`Persistence::on_thread`].
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

    /// Follows what is changed in it after a position, such as that of a [page](crate::operation::Page::position): see [`ChangeFeed`].
    ///
    /// # Errors
    /// `Invalid` where the handle was made of an unusable id.
    pub fn changes(&self, after: Position) -> Result<ChangeFeed> {
        Ok(self.db.changes(ChangeScope::Thread(self.id_for(OpKind::Read)?), after))
    }

    /// Lists up to `limit` open messages of this thread.
    pub fn open_reservations(&self, limit: u32) -> ReadRequest<ListOpen> {
        ReadRequest::new(self.db.clone(), self.with_id(|thread| ListOpen::new(limit).in_thread(thread)))
    }
}
