//! Processes one call of the layer.

use std::{collections::HashSet, sync::Arc};

use super::{
    chunks,
    key_set::KeySet,
    layer::Shared,
    open::{self, Sent},
    revisions::OpenMessage,
    seal::{self, MessageKey, StoreState},
    tail::open_tail,
};
use throughline_core::{
    Context, Effect, ErrorKind, Message, MessageState, Metadata, MetadataPatch, PersistArgs, PersistError,
    PersistRequest, PersistResponse, PersistResult, ReadArgs, ReadResult, Result, TenantId, ThreadId,
    messages::{CarriesContent as _, GetMessage, ImportedRow, Update},
    pipeline::{ContentLimit, InnerService, PersistService},
    threads::{GetThread, LabelThread, ThreadArgs, ThreadSummary},
};

/// The most attempts at a change of content that other writers overtake.
const TRIES: usize = 64;

pub(super) struct Work<S> {
    pub(super) inner: InnerService<S>,
    pub(super) shared: Arc<Shared>,
}

impl<S: PersistService<Error = PersistError>> Work<S> {
    pub(super) async fn serve(self, mut request: PersistRequest) -> Result<PersistResponse> {
        let tenant = request.context.tenant().clone();
        let mut key_set = self.shared.key_provider.key_set(&tenant);
        if let PersistArgs::Read(read) = &request.args {
            let cursor = match read {
                ReadArgs::Content(read) => read.after,
                _ => None,
            };
            seal::seal_read(&mut request.args, &key_set)?;
            let mut response = self.inner.forward(request).await?;
            if let PersistResult::Read(ReadResult::Content(tail)) = &mut response.result {
                if let Some(tail) = tail {
                    key_set
                        .fetch([tail.thread.clone()].into_iter().filter(|_| !tail.parts.is_empty()), false)
                        .await?;
                    open_tail(tail, cursor, &mut key_set)?;
                }
            } else {
                self.open(&mut response, None, &mut key_set).await?;
            }
            response.extensions.insert(key_set.usage);
            return Ok(response);
        }
        self.write(request, &mut key_set).await
    }

    async fn write(&self, request: PersistRequest, key_set: &mut KeySet<'_>) -> Result<PersistResponse> {
        let PersistRequest { args: mut original, context } = request;
        let tenant = context.tenant();
        let reencrypts = is_empty_patch(&original);
        let _held = if reencrypts {
            self.shared.patch_locks.exclusive(tenant, &original).await
        } else {
            self.shared.patch_locks.shared(tenant, &original).await
        };
        if reencrypts {
            self.add_stale_values(&context, &mut original, key_set).await?;
        }
        if key_set.has_thread_keys() {
            key_set.fetch(seal::sealed_threads(&original), true).await?;
        }
        let (forwarded, mut response) = self.pass_on(&original, &context, reencrypts, key_set).await?;
        self.remember_revisions(tenant, &response.result);
        self.open(&mut response, Some(Sent { original: &original, forwarded: &forwarded }), key_set).await?;
        self.compare_imported(&context, &original, &mut response.result, key_set).await?;
        if matches!(response.result, PersistResult::Reserve(_))
            && let Some(ContentLimit(sealed)) = response.extensions.get().copied()
        {
            response.extensions.insert(ContentLimit(chunks::limit_of_plain(sealed)));
        }
        Ok(response)
    }

    /// Encrypts the call and forwards it. The layer sets the expected revision, title or last message itself, so it
    /// reads again when another call was faster.
    async fn pass_on(
        &self,
        original: &PersistArgs,
        context: &Context,
        reencrypts: bool,
        key_set: &mut KeySet<'_>,
    ) -> Result<(PersistArgs, PersistResponse)> {
        let (mut revisions, mut titles) = (Vec::new(), Vec::new());
        seal::unknown_revisions(original, &mut Vec::new(), &mut revisions);
        seal::expected_titles(original, &mut titles);
        let mut known = StoreState { reencrypts, ..StoreState::default() };
        for message_key in &revisions {
            let open = match self.shared.revisions.get(context.tenant(), message_key) {
                Some(open) => Some(open),
                None => self.open_message(context, message_key).await?,
            };
            known.record(message_key, open);
        }
        self.read_reserved(context, original, &mut known).await?;
        self.read_titles(context, &titles, &mut known, key_set).await?;
        let mut taken = self.read_taken(context, original, key_set).await?;
        // Each message that the call makes can be refused once for its first revision.
        for _ in 0..TRIES + seal::count_made(original) {
            let mut forwarded = original.clone();
            seal::seal(&mut forwarded, key_set, &mut known.clone())?;
            taken.pin(&mut forwarded);
            let request = PersistRequest { args: forwarded.clone(), context: context.clone() };
            let refusal = match self.inner.forward(request).await {
                Ok(response) => return Ok((forwarded, response)),
                Err(error) => error,
            };
            if let Some((made, first)) = seal::first_revision(original, &refusal)
                && known.firsts.insert(made, first) != Some(first)
            {
                continue;
            }
            let may_be_ours = refusal.kind() == ErrorKind::Stale && refusal.effect() == Effect::NotApplied;
            if !may_be_ours || (revisions.is_empty() && titles.is_empty() && taken.is_empty()) {
                return Err(refusal);
            }
            if let Some(unreadable) = taken.unreadable() {
                return Err(unreadable);
            }
            let mut now = StoreState { reencrypts, firsts: known.firsts.clone(), ..StoreState::default() };
            for message_key in &revisions {
                let open = self.open_message(context, message_key).await?;
                self.shared.revisions.set(context.tenant(), message_key.clone(), open);
                now.record(message_key, open);
            }
            self.read_reserved(context, original, &mut now).await?;
            self.read_titles(context, &titles, &mut now, key_set).await?;
            let taken_now = self.read_taken(context, original, key_set).await?;
            if (&now.revisions, &now.titles) == (&known.revisions, &known.titles) && taken_now.same_as(&taken)
            {
                return Err(refusal);
            }
            (known, taken) = (now, taken_now);
        }
        let detail = format!(
            "the call was not applied: another writer was faster {TRIES} times in a row; repeat the call"
        );
        Err(PersistError::new(ErrorKind::Busy, detail).with_effect(Effect::NotApplied))
    }

    /// Returns the revision of a message, and whether it is reserved; `None` for a missing message.
    async fn open_message(&self, context: &Context, message_key: &MessageKey) -> Result<Option<OpenMessage>> {
        let message = self.message(context, message_key).await?;
        Ok(message.map(|message| OpenMessage {
            revision: message.revision,
            is_reserved: message.state == MessageState::Reserved,
        }))
    }

    /// Finds out which messages are reserved at a revision other than the first, where the caller expects that revision. Only a
    /// thread that reuses ids has such messages.
    async fn read_reserved(
        &self,
        context: &Context,
        original: &PersistArgs,
        known: &mut StoreState,
    ) -> Result<()> {
        for (message_key, expected) in seal::expected_opens(original) {
            let cached = self.shared.revisions.get(context.tenant(), &message_key);
            let open = match cached.filter(|open| open.revision == expected) {
                Some(open) => Some(open),
                None => match self.entry(context, &message_key.0).await? {
                    Some(thread) if thread.reuses_ids => self.open_message(context, &message_key).await?,
                    _ => None,
                },
            };
            if open.is_some_and(|open| open.is_reserved && open.revision == expected) {
                known.reserved.insert(message_key);
            }
        }
        Ok(())
    }

    /// Returns a message as stored, without decryption.
    async fn message(&self, context: &Context, (thread, id): &MessageKey) -> Result<Option<Message>> {
        let get = GetMessage { thread: thread.clone(), id: id.clone() };
        match self.inner.call(context, get).await?.result {
            PersistResult::Read(ReadResult::Get(message)) => Ok(message),
            _ => Err(other_answer()),
        }
    }

    /// Returns a thread summary as stored, without decryption.
    async fn entry(&self, context: &Context, thread: &ThreadId) -> Result<Option<ThreadSummary>> {
        let get = GetThread { thread: thread.clone() };
        match self.inner.call(context, get).await?.result {
            PersistResult::Read(ReadResult::Thread(entry)) => Ok(entry),
            _ => Err(other_answer()),
        }
    }

    async fn read_titles(
        &self,
        context: &Context,
        threads: &[ThreadId],
        known: &mut StoreState,
        key_set: &mut KeySet<'_>,
    ) -> Result<()> {
        for thread in threads {
            let Some(entry) = self.entry(context, thread).await? else { continue };
            key_set.fetch([thread.clone()], false).await?;
            // A title that cannot be decrypted differs from any expected title.
            if let Ok(title) = open::open_title(&entry.title, thread, key_set) {
                known.titles.insert(thread.clone(), (title, entry.title));
            }
        }
        Ok(())
    }

    /// Adds the values that are not under the current key to an empty patch.
    async fn add_stale_values(
        &self,
        context: &Context,
        original: &mut PersistArgs,
        key_set: &mut KeySet<'_>,
    ) -> Result<()> {
        let (thread, message) = match &*original {
            PersistArgs::Update(update) => (update.thread.clone(), Some(update.id.clone())),
            PersistArgs::Thread(ThreadArgs::Label(label)) => (label.thread.clone(), None),
            _ => return Ok(()),
        };
        let stored = match &message {
            Some(id) => {
                self.message(context, &(thread.clone(), id.clone())).await?.map(|message| message.metadata)
            }
            None => self.entry(context, &thread).await?.map(|entry| entry.metadata),
        };
        let Some(stored) = stored.filter(|stored| !stored.is_empty()) else { return Ok(()) };
        key_set.fetch([thread.clone()], true).await?;
        let mut stale = Metadata::new();
        for (name, value) in stored.iter() {
            let ciphertext = serde_json::from_str::<&str>(value.get()).unwrap_or_default();
            if !key_set.is_present(&thread, ciphertext) {
                stale.set_raw(name, value.to_owned());
            }
        }
        open::open_metadata(&mut stale, &thread, message.as_ref(), key_set)?;
        let patch = MetadataPatch::from(stale);
        match original {
            PersistArgs::Update(update) => update.metadata = patch,
            PersistArgs::Thread(ThreadArgs::Label(label)) => label.metadata = patch,
            _ => {}
        }
        Ok(())
    }

    /// Caches the revisions of open messages, so that the next append costs no read.
    fn remember_revisions(&self, tenant: &TenantId, result: &PersistResult) {
        let record = |thread: &ThreadId, id: &throughline_core::MessageId, open| {
            self.shared.revisions.set(tenant, (thread.clone(), id.clone()), open);
        };
        match result {
            PersistResult::Reserve(reserved) if !reserved.deduplicated => {
                let message = &reserved.message;
                let open = OpenMessage { revision: message.revision, is_reserved: true };
                record(&message.thread, &message.id, Some(open));
            }
            PersistResult::UpdateContent(updated) if !updated.deduplicated => {
                let is_reserved = updated.state == MessageState::Reserved;
                let open = OpenMessage { revision: updated.revision, is_reserved };
                let open = updated.state.is_open().then_some(open);
                record(&updated.thread, &updated.id, open);
            }
            PersistResult::Batch(batched) if !batched.deduplicated => {
                for output in &batched.outputs {
                    self.remember_revisions(tenant, output);
                }
            }
            _ => {}
        }
    }

    async fn open(
        &self,
        response: &mut PersistResponse,
        sent: Option<Sent<'_>>,
        key_set: &mut KeySet<'_>,
    ) -> Result<()> {
        if key_set.has_thread_keys() {
            let threads: HashSet<ThreadId> =
                response.result.content_fields().into_iter().map(|field| field.thread.clone()).collect();
            key_set.fetch(threads, false).await?;
        }
        open::open(&mut response.result, sent, key_set)
    }

    /// Compares imported messages with stored ones. The store cannot: two encryptions of the same text differ, so it
    /// reports every message as different.
    async fn compare_imported(
        &self,
        context: &Context,
        original: &PersistArgs,
        result: &mut PersistResult,
        key_set: &mut KeySet<'_>,
    ) -> Result<()> {
        let (PersistArgs::Import(import), PersistResult::Import(imported)) = (original, result) else {
            return Ok(());
        };
        for (row, became) in import.rows.iter().zip(&mut imported.rows) {
            let ImportedRow::Differs(seq) = *became else { continue };
            let message_key = (import.thread.clone(), row.id.clone());
            let Some(mut stored) = self.message(context, &message_key).await? else { continue };
            // A message that cannot be decrypted is not equal.
            if open::open_message(&mut stored, key_set).is_ok() && row.is_same_as(&stored) {
                *became = ImportedRow::Present(seq);
            }
        }
        Ok(())
    }
}

/// Returns true for a patch that changes nothing, which re-encrypts values under the current key.
fn is_empty_patch(args: &PersistArgs) -> bool {
    match args {
        PersistArgs::Update(Update { metadata, where_absent, attachments, .. }) => {
            metadata.is_empty() && where_absent.is_empty() && attachments.is_none()
        }
        PersistArgs::Thread(ThreadArgs::Label(label)) => *label == LabelThread::new(label.thread.clone()),
        _ => false,
    }
}

pub(super) fn other_answer() -> PersistError {
    PersistError::new(
        ErrorKind::ContractViolation,
        "the inner service answered a read with the result of another operation",
    )
}
