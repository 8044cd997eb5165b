//! The store of each message: the marker, and the operations that depend on it.

use super::merge;
use crate::{
    Content, Effect, ErrorKind, Message, MessageId, MessageState, Metadata, NewReservation, PersistArgs,
    PersistError, PersistRequest, PersistResponse, PersistResult, Persistence, ReadArgs, ReadResult, Result,
    Revision, Seq, ThreadId,
    backend::{AnswerBytes, EstimatedSize as _},
    context::Context,
    error::SiteName,
    operation::{
        Add, Addressed as _, ClearThread, ContentChange, DamagedMessage, Delete, GetMessage, GetThread,
        Import, OpenCursor, OpenReservations, Page, ReadContent, ReadPage, Reserve, ThreadArgs,
        ThreadChanged, ThreadResult, UpdateContent, UpdateMode, facts::Split,
    },
    pipeline::{InnerService, PersistService},
    request::Receipt,
};

/// The metadata key of the marker. It is reserved, so that callers cannot write it.
const MARKER: &str = "throughline.redirect";

pub(super) struct Ownership<S> {
    pub(super) here: InnerService<S>,
    pub(super) there: Persistence,
    pub(super) name: SiteName,
}

impl<S: PersistService<Error = PersistError>> Ownership<S> {
    pub(super) async fn serve(self, request: PersistRequest, picked: bool) -> Result<PersistResponse> {
        let PersistRequest { args, context } = request;
        match args {
            // The other side would refuse an id that it has deleted, so that the id is refused here first.
            PersistArgs::Add(add) if picked => self.add(context, add.expecting(Revision::FIRST)).await,
            PersistArgs::Reserve(reserve) if picked => {
                self.reserve(context, reserve.expecting(Revision::FIRST)).await
            }
            PersistArgs::Add(_) | PersistArgs::Reserve(_) => {
                self.here.forward(PersistRequest { args, context }).await
            }
            PersistArgs::UpdateContent(ref update) => {
                let update = update.clone();
                match self.marked(&context, &update.thread, &update.id).await? {
                    Some(row) => self.update_content(&context, update, row.state).await,
                    None => self.here.forward(PersistRequest { args, context }).await,
                }
            }
            PersistArgs::Update(ref update) => match self.marked(&context, &update.thread, &update.id).await?
            {
                Some(row) => {
                    let mut response = self.there.execute_child(&context, args, true).await?;
                    if let PersistResult::Update(updated) = &mut response.result {
                        updated.seq = row.seq;
                    }
                    Ok(response)
                }
                None => self.here.forward(PersistRequest { args, context }).await,
            },
            PersistArgs::Delete(ref delete) => {
                match self.marked(&context, &delete.thread, &delete.id).await {
                    // The row here is damaged, and so is its marker. The message in the target remains.
                    Err(error) if delete.only_damaged && error.kind() == ErrorKind::Corrupt => {
                        self.here.forward(PersistRequest { args, context }).await
                    }
                    Err(error) => Err(error),
                    Ok(marked) => match marked {
                        Some(row) => self.delete(&context, delete.clone(), row.seq).await,
                        None => self.here.forward(PersistRequest { args, context }).await,
                    },
                }
            }
            PersistArgs::Thread(ThreadArgs::Create(create)) if create.reuses_ids => {
                Err(refuse(NO_REUSE).about_thread(&create.thread))
            }
            PersistArgs::Batch(_) if picked => {
                Err(refuse("a batch cannot make a message that is kept on the other side"))
            }
            PersistArgs::Batch(ref batch) => {
                for item in &batch.items {
                    if matches!(item, PersistArgs::Thread(_)) && item.deletes() {
                        return Err(refuse(NO_END_IN_A_BATCH));
                    }
                    if let PersistArgs::Thread(ThreadArgs::Create(create)) = item
                        && create.reuses_ids
                    {
                        return Err(refuse(NO_REUSE).about_thread(&create.thread));
                    }
                    let (Some(thread), Some(id)) = (item.thread(), item.message()) else { continue };
                    if self.marked(&context, thread, id).await?.is_some() {
                        return Err(refuse("a batch cannot touch a message that is kept on the other side"));
                    }
                }
                self.here.forward(PersistRequest { args, context }).await
            }
            PersistArgs::Import(_) if picked => {
                Err(refuse("an import cannot make a message that is kept on the other side"))
            }
            PersistArgs::Import(ref import) => {
                if import.restores_damaged {
                    self.check_restored(&context, import).await?;
                }
                self.here.forward(PersistRequest { args, context }).await
            }
            PersistArgs::Thread(thread) => self.thread(context, thread).await,
            PersistArgs::Read(read) => match read.operation().facts().split_by_message {
                Split::Refused(reason) => Err(refuse(reason)),
                Split::Here | Split::Both => self.read(context, read).await,
            },
            // Consumers and sessions belong to this side, independent of the store of the messages.
            args => match args.facts().split_by_message {
                Split::Refused(reason) => Err(refuse(reason)),
                Split::Here | Split::Both => self.here.forward(PersistRequest { args, context }).await,
            },
        }
    }

    /// Runs an operation on a thread. One that deletes messages runs on both sides, here first, so that a repeated call completes
    /// a failed one.
    async fn thread(&self, context: Context, args: ThreadArgs) -> Result<PersistResponse> {
        let there: Option<PersistArgs> = match (args.operation().facts().split_by_message, &args) {
            (Split::Refused(reason), _) => return Err(refuse(reason)),
            (Split::Here, _) => None,
            // The other side has its own generations.
            (Split::Both, ThreadArgs::Clear(clear)) => Some(ClearThread::new(clear.thread.clone()).into()),
            (Split::Both, args) => Some(args.clone().into()),
        };
        let request = PersistRequest { args: PersistArgs::Thread(args.clone()), context: context.clone() };
        let mut here = match self.here.forward(request).await {
            // It can be a repeated call of this clear whose other half is still missing.
            Err(error) if error.kind() == ErrorKind::Stale => self.cleared(&context, &args, error).await?,
            answer => answer?,
        };
        let Some(there) = there else { return Ok(here) };
        let there = match self.there.execute_child(&context, there, false).await {
            // The other side has no message of this thread.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(here),
            answer => answer?,
        };
        if let PersistResult::Thread(ThreadResult::Purge(here)) = &mut here.result
            && let PersistResult::Thread(ThreadResult::Purge(there)) = there.result
        {
            here.messages += there.messages;
            here.attachments.extend(there.attachments);
            here.more |= there.more;
        }
        Ok(here)
    }

    /// Returns the answer to a refused clear, if the current generation is the one that it would have started.
    async fn cleared(
        &self,
        context: &Context,
        args: &ThreadArgs,
        error: PersistError,
    ) -> Result<PersistResponse> {
        let ThreadArgs::Clear(ClearThread { thread, expected: Some(expected) }) = args else {
            return Err(error);
        };
        let get = GetThread { thread: thread.clone() };
        let mut response = self.here.call(context, get).await?;
        match response.result {
            PersistResult::Read(ReadResult::Thread(Some(entry))) if entry.generation == expected.next() => {
                let changed = ThreadChanged { summary: entry, deduplicated: false };
                response.result = PersistResult::Thread(ThreadResult::Clear(changed));
                Ok(response)
            }
            _ => Err(error),
        }
    }

    /// Returns the row of a message here.
    async fn message(&self, context: &Context, thread: &ThreadId, id: &MessageId) -> Result<Option<Message>> {
        let get = GetMessage { thread: thread.clone(), id: id.clone() };
        match self.here.call(context, get).await?.result {
            PersistResult::Read(ReadResult::Get(message)) => Ok(message),
            _ => {
                Err(PersistError::new(ErrorKind::ContractViolation, "a read was answered as something else"))
            }
        }
    }

    /// Returns the row here if its marker names the other side.
    async fn marked(&self, context: &Context, thread: &ThreadId, id: &MessageId) -> Result<Option<Message>> {
        let message = self.message(context, thread, id).await?;
        Ok(message.filter(|message| self.is_marked(message)))
    }

    /// Refuses to restore a message whose row here is damaged and whose content is on the other side, because the restored row
    /// would have no marker.
    async fn check_restored(&self, context: &Context, import: &Import) -> Result<()> {
        for row in &import.rows {
            match self.message(context, &import.thread, &row.id).await {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    if self.kept(context, &import.thread, &row.id).await?.is_some() {
                        let detail = "the message is kept on the other side: an import cannot restore it";
                        return Err(refuse(detail).about(&import.thread, &row.id));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn is_marked(&self, message: &Message) -> bool {
        message.metadata.get_as::<String>(MARKER).is_some_and(|name| *name == *self.name)
    }

    /// Reserves the row here first: it has the sequence number, and after a crash the recovery of expired drafts finds it. A row
    /// that an earlier attempt left open is used again.
    async fn mark(&self, context: &Context, mut row: Reserve) -> Result<(MessageId, Seq, Receipt)> {
        row.metadata = Metadata::new();
        row.metadata.set(MARKER, &*self.name)?;
        row.attachments.clear();
        let (thread, id) = (row.thread.clone(), row.id.clone());
        let response = match self.here.call_with_key(context, row).await {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return match self.marked(context, &thread, &id).await? {
                    Some(left) if left.state.is_open() => Ok((left.id, left.seq, Receipt::default())),
                    _ => Err(error),
                };
            }
            answer => answer?,
        };
        match response.result {
            PersistResult::Reserve(reserved) => {
                Ok((reserved.message.id, reserved.message.seq, response.receipt))
            }
            _ => Err(PersistError::new(
                ErrorKind::ContractViolation,
                "a reservation got an answer of another kind",
            )),
        }
    }

    async fn reserve(&self, context: Context, reserve: Reserve) -> Result<PersistResponse> {
        let (id, seq, receipt) = self.mark(&context, reserve.clone()).await?;
        let (thread, asked, minted) = (reserve.thread.clone(), reserve.id.clone(), reserve.minted);
        let there = Reserve { id: id.clone(), generation: None, after: None, ..reserve };
        match self.there.execute_child(&context, there.into(), true).await {
            Ok(mut response) => {
                if let PersistResult::Reserve(reserved) = &mut response.result {
                    reserved.message.seq = seq;
                    // An earlier call with the key has reserved this id; its message is written only now.
                    reserved.deduplicated |= id != asked;
                }
                response.receipt = receipt;
                Ok(response)
            }
            Err(error) => Err(self.remove_reservation(&context, thread, id, minted, error).await),
        }
    }

    async fn add(&self, context: Context, add: Add) -> Result<PersistResponse> {
        let row = NewReservation::new(add.role).with_id(add.id.clone());
        let mut row = Reserve::new(add.thread.clone(), row);
        row.created_at = add.created_at;
        row.minted = add.minted;
        row.generation = add.generation;
        row.after = add.after;
        row.revision = add.revision;
        let (id, seq, receipt) = self.mark(&context, row).await?;
        let (thread, asked, minted) = (add.thread.clone(), add.id.clone(), add.minted);
        let there = Add { id: id.clone(), generation: None, after: None, ..add };
        match self.there.execute_child(&context, there.into(), true).await {
            Ok(mut response) => {
                if let PersistResult::Add(added) = &mut response.result {
                    added.message.seq = seq;
                    added.deduplicated |= id != asked;
                }
                self.settle_here(&context, thread, id, UpdateMode::Final).await;
                response.receipt = receipt;
                Ok(response)
            }
            Err(error) => Err(self.remove_reservation(&context, thread, id, minted, error).await),
        }
    }

    /// Removes the row here if the other side has permanently refused the message and no repeated call can name it. Otherwise the
    /// row stays open: a repeated call uses it, or the recovery of expired drafts settles it. Until then only the recovery sees
    /// it, because no store has the message itself.
    async fn remove_reservation(
        &self,
        context: &Context,
        thread: ThreadId,
        id: MessageId,
        minted: bool,
        error: PersistError,
    ) -> PersistError {
        if error.effect() == Effect::NotApplied {
            if minted && context.idempotency().is_none() && !error.kind().passes_with_time() {
                drop(self.here.call(context, Delete::new(thread, id)).await);
            }
            context.call().take_back();
        }
        error
    }

    /// Settles the row here like its message on the other side. The message already has its answer, so that a row that cannot be
    /// settled now is left to the recovery of expired drafts.
    async fn settle_here(&self, context: &Context, thread: ThreadId, id: MessageId, mode: UpdateMode) {
        let settle = UpdateContent::new(thread, id, ContentChange::none(), mode);
        drop(self.here.call(context, settle).await);
    }

    async fn update_content(
        &self,
        context: &Context,
        update: UpdateContent,
        row: MessageState,
    ) -> Result<PersistResponse> {
        let (thread, id, mode) = (update.thread.clone(), update.id.clone(), update.mode.clone());
        let answer = self.there.execute_child(context, update.clone().into(), true).await;
        let mode = match (&answer, mode) {
            // The message never reached the other side, and its row is abandoned, for example by the recovery.
            (Err(error), UpdateMode::Abandon { .. })
                if error.kind() == ErrorKind::NotFound && row.is_open() =>
            {
                return self.here.call_with_key(context, update).await;
            }
            // Already settled on the other side; the row here may still be open.
            (Err(error), _) if error.kind() == ErrorKind::Stale => match self
                .kept(context, &thread, &id)
                .await?
            {
                Some(kept) if kept.state == MessageState::Final => UpdateMode::Final,
                Some(kept) if kept.state == MessageState::Abandoned => UpdateMode::Abandon { reason: None },
                _ => return answer,
            },
            (Err(_), _) | (Ok(_), UpdateMode::Edit) => return answer,
            // A partial update also renews the lease of the row here.
            (Ok(_), mode @ (UpdateMode::Partial | UpdateMode::Final)) => mode,
            // The message has the reason, and the row does not need it.
            (Ok(_), UpdateMode::Abandon { .. }) => UpdateMode::Abandon { reason: None },
        };
        self.settle_here(context, thread, id, mode).await;
        answer
    }

    async fn delete(&self, context: &Context, delete: Delete, seq: Seq) -> Result<PersistResponse> {
        if delete.after.is_some() {
            return Err(refuse(
                "`after` cannot be checked: sequence numbers are assigned here, and the message is kept on the other side",
            ));
        }
        let row = Delete::new(delete.thread.clone(), delete.id.clone());
        let deleted = self.there.execute_child(context, delete.into(), true).await;
        match deleted {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            // A message that the other side does not have is deleted with its row. The key stays with the row, so that a
            // repeated call gets its answer although the marker is gone.
            answer => {
                let here = self.here.call_with_key(context, row).await?;
                let mut response = answer.unwrap_or(here);
                if let PersistResult::Delete(deleted) = &mut response.result {
                    deleted.seq = seq;
                }
                Ok(response)
            }
        }
    }

    /// Returns the message from the other side.
    async fn kept(&self, context: &Context, thread: &ThreadId, id: &MessageId) -> Result<Option<Message>> {
        let get = ReadArgs::Get(GetMessage { thread: thread.clone(), id: id.clone() });
        match self.there.execute_child(context, PersistArgs::Read(get), false).await?.result {
            PersistResult::Read(ReadResult::Get(kept)) => Ok(kept),
            _ => {
                Err(PersistError::new(ErrorKind::ContractViolation, "a read was answered as something else"))
            }
        }
    }

    async fn read(&self, context: Context, mut read: ReadArgs) -> Result<PersistResponse> {
        if let ReadArgs::Content(read) = read {
            return self.read_content(context, read).await;
        }
        loop {
            let args = PersistArgs::Read(read.clone());
            let mut response = self.here.forward(PersistRequest { args, context: context.clone() }).await?;
            let PersistResult::Read(result) = &mut response.result else { return Ok(response) };
            match result {
                ReadResult::Get(message) => {
                    if let Some(row) = message.take() {
                        *message = self.filled(&context, row).await?;
                    }
                }
                ReadResult::OpenReservations(open) => {
                    let ReadArgs::OpenReservations(list) = &read else { return Ok(response) };
                    self.fill_in_open(&context, open, list.max_bytes).await?;
                }
                ReadResult::Page(page) => {
                    let ends = further(&read, page);
                    let ReadArgs::Page(asked) = &read else { return Ok(response) };
                    self.fill_in(&context, page, asked).await?;
                    // A page without visible rows has no answer: continue with the next one.
                    if page.messages.is_empty()
                        && page.damaged.is_empty()
                        && let Some(further) = ends
                    {
                        read = further;
                        continue;
                    }
                }
                ReadResult::Purgeable(here) => {
                    let there = self.there.execute_child(&context, read.clone().into(), false).await?;
                    if let (ReadArgs::Purgeable(list), PersistResult::Read(ReadResult::Purgeable(there))) =
                        (&read, there.result)
                    {
                        merge::purgeable(here, there, list);
                    }
                }
                // The other answers contain no message: the row of this side has all of it.
                _ => {}
            }
            return Ok(response);
        }
    }

    /// Answers a tail read. A marked row has no content here, so that only a message without content costs a look-up of its marker.
    async fn read_content(&self, context: Context, read: ReadContent) -> Result<PersistResponse> {
        let args = PersistArgs::Read(ReadArgs::Content(read.clone()));
        let answer = self.here.forward(PersistRequest { args: args.clone(), context: context.clone() }).await;
        let is_here = match &answer {
            Ok(response) => match &response.result {
                PersistResult::Read(ReadResult::Content(Some(tail))) => tail.next.offset() > 0,
                _ => true,
            },
            // The cursor can be one of the other side.
            Err(error) => error.kind() != ErrorKind::Invalid,
        };
        if is_here || self.marked(&context, &read.thread, &read.id).await?.is_none() {
            return answer;
        }
        self.there.execute_child(&context, args, false).await
    }

    /// Replaces the marked rows of a page by their messages. The rows are small, but the messages can be large: the page ends at
    /// its byte limit.
    async fn fill_in(&self, context: &Context, page: &mut Page, read: &ReadPage) -> Result<()> {
        let (mut rows, is_forward) = (std::mem::take(&mut page.messages), read.from.is_forward());
        if !is_forward {
            rows.reverse();
        }
        let mut bytes = AnswerBytes::new(read.max_bytes);
        for row in rows {
            let seq = row.seq;
            match self.filled(context, row).await {
                Ok(Some(kept)) if bytes.take(kept.estimated_size()) => page.messages.push(kept),
                Ok(Some(_)) => {
                    let is_before = |at| if is_forward { at < seq } else { at > seq };
                    page.damaged.retain(|damaged| damaged.seq.is_none_or(is_before));
                    page.has_more = true;
                    break;
                }
                Ok(None) => {}
                Err(error) => page.damaged.push(damaged_there(seq, error)?),
            }
        }
        if !is_forward {
            page.messages.reverse();
        }
        page.damaged.sort_unstable();
        Ok(())
    }

    /// Replaces the marked rows of a list of open messages by their messages.
    async fn fill_in_open(
        &self,
        context: &Context,
        open: &mut OpenReservations,
        max_bytes: u32,
    ) -> Result<()> {
        let mut bytes = AnswerBytes::new(max_bytes);
        let mut last = None;
        for row in std::mem::take(&mut open.messages) {
            let here = OpenCursor { thread: row.thread.clone(), seq: row.seq };
            match self.filled(context, row.clone()).await {
                Ok(kept) => {
                    let message = kept.unwrap_or_else(|| without_message(&row));
                    if !bytes.take(message.estimated_size()) {
                        let is_before = |damaged: &DamagedMessage| {
                            damaged.seq.is_none_or(|seq| (&damaged.thread, seq) < (&here.thread, here.seq))
                        };
                        open.damaged.retain(is_before);
                        open.next = last;
                        break;
                    }
                    open.messages.push(message);
                }
                // The recovery continues with the other messages.
                Err(error) => open.damaged.push(damaged_there(here.seq, error)?),
            }
            last = Some(here);
        }
        open.damaged.sort_unstable();
        Ok(())
    }

    /// Returns the message of a row. `None` if there is none.
    async fn filled(&self, context: &Context, row: Message) -> Result<Option<Message>> {
        if !self.is_marked(&row) {
            return Ok(Some(row));
        }
        // None: a deletion has not reached the row yet, or the process died between the two stores. A repeated call completes
        // the deletion, and the recovery settles an open row.
        let kept = self.kept(context, &row.thread, &row.id).await?;
        Ok(kept.map(|kept| Message { seq: row.seq, ..kept }))
    }
}

/// Converts the error of a damaged message on the other side, so that a list can report it and still show the others.
///
/// # Errors
/// Any other error of the other side.
fn damaged_there(seq: Seq, error: PersistError) -> Result<DamagedMessage> {
    match (error.kind(), error.thread()) {
        (ErrorKind::Corrupt, Some(thread)) => {
            Ok(DamagedMessage { thread: thread.clone(), seq: Some(seq), id: error.message().cloned() })
        }
        _ => Err(error),
    }
}

/// Returns the row of a message that never reached the other side, for the recovery of expired drafts.
fn without_message(row: &Message) -> Message {
    let mut row = row.clone();
    row.metadata.remove(MARKER);
    row.content = Content::empty();
    row
}

/// Returns the read of the next page, if there is one.
fn further(read: &ReadArgs, page: &Page) -> Option<ReadArgs> {
    let ReadArgs::Page(read) = read else { return None };
    let from = page.next(read.from)?;
    Some(ReadArgs::Page(ReadPage { from, ..read.clone() }))
}

const NO_END_IN_A_BATCH: &str = "a batch cannot delete messages of a thread that the other side may keep: clear or delete the thread in a separate call";

const NO_REUSE: &str = "a thread whose messages the other side may keep cannot reuse ids: create it without `reusesIds`, or on one store";

fn refuse(detail: &'static str) -> PersistError {
    PersistError::new(ErrorKind::Unsupported, detail).with_effect(Effect::NotApplied)
}
