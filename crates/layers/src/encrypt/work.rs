//! One call on its way through the layer.

use std::{collections::HashSet, sync::Arc};

use super::{
    key_set::KeySet,
    layer::Shared,
    open::{self, Sent},
    pieces,
    seal::{self, Known, Named},
};
use throughline_core::{
    Context, Effect, ErrorKind, Message, Metadata, MetadataPatch, PersistArgs, PersistError, PersistRequest,
    PersistResponse, PersistResult, ReadResult, Result, Revision, TenantId, ThreadId,
    messages::{CarriesContent as _, GetMessage, ImportedRow, Update},
    pipeline::{ContentLimit, InnerService, PersistService},
    threads::{GetThread, LabelThread, ThreadArgs, ThreadSummary},
};

/// How often a change of content is made again that was overtaken: each time somebody else has got on.
const TRIES: u32 = 64;

pub(super) struct Work<S> {
    pub(super) here: InnerService<S>,
    pub(super) shared: Arc<Shared>,
}

impl<S: PersistService<Error = PersistError>> Work<S> {
    pub(super) async fn serve(self, mut request: PersistRequest) -> Result<PersistResponse> {
        let tenant = request.context.tenant().clone();
        let mut key_set = self.shared.cabinet.key_set(&tenant);
        if let PersistArgs::Read(_) = request.args {
            seal::seal_read(&mut request.args, &key_set)?;
            let mut response = self.here.forward(request).await?;
            self.open(&mut response, None, &mut key_set).await?;
            response.extensions.insert(key_set.found);
            return Ok(response);
        }
        self.write(request, &mut key_set).await
    }

    async fn write(&self, request: PersistRequest, key_set: &mut KeySet<'_>) -> Result<PersistResponse> {
        let PersistRequest { args: mut asked, context } = request;
        let tenant = context.tenant();
        let writes_anew = is_empty_patch(&asked);
        let _held = if writes_anew {
            self.shared.in_turn.alone(tenant, &asked).await
        } else {
            self.shared.in_turn.shared(tenant, &asked).await
        };
        if writes_anew {
            self.take_up_stale_facts(&context, &mut asked, key_set).await?;
        }
        key_set.fetch(seal::sealed_threads(&asked), true).await?;
        let (passed, mut response) = self.pass_on(&asked, &context, writes_anew, key_set).await?;
        self.learn(tenant, &response.result);
        self.open(&mut response, Some(Sent { asked: &asked, passed: &passed }), key_set).await?;
        self.compare_imported(&context, &asked, &mut response.result, key_set).await?;
        if matches!(response.result, PersistResult::Reserve(_))
            && let Some(ContentLimit(sealed)) = response.extensions.get().copied()
        {
            response.extensions.insert(ContentLimit(pieces::limit_of_plain(sealed)));
        }
        Ok(response)
    }

    /// Seals the call and passes it on. The layer itself says on which revision, title or last message the call is made. Where another
    /// call was faster, the layer reads again: the caller has named none of these.
    async fn pass_on(
        &self,
        asked: &PersistArgs,
        context: &Context,
        writes_anew: bool,
        key_set: &mut KeySet<'_>,
    ) -> Result<(PersistArgs, PersistResponse)> {
        let (mut revisions, mut titles) = (Vec::new(), Vec::new());
        seal::unknown_revisions(asked, &mut Vec::new(), &mut revisions);
        seal::expected_titles(asked, &mut titles);
        let mut known = Known { writes_anew, ..Known::default() };
        for named in &revisions {
            let revision = match self.shared.revisions.get(context.tenant(), named) {
                Some(revision) => Some(revision),
                None => self.revision(context, named).await?,
            };
            known.revisions.extend(revision.map(|revision| (named.clone(), revision)));
        }
        self.look_at_titles(context, &titles, &mut known, key_set).await?;
        let mut taken = self.read_taken(context, asked, key_set).await?;
        for _ in 0..TRIES {
            let mut passed = asked.clone();
            seal::seal(&mut passed, key_set, &mut known.clone())?;
            taken.pin(&mut passed);
            let request = PersistRequest { args: passed.clone(), context: context.clone() };
            let refusal = match self.here.forward(request).await {
                Ok(response) => return Ok((passed, response)),
                Err(error) => error,
            };
            let may_be_ours = refusal.kind() == ErrorKind::Stale && refusal.effect() == Effect::NotApplied;
            if !may_be_ours || (revisions.is_empty() && titles.is_empty() && taken.is_empty()) {
                return Err(refusal);
            }
            if let Some(unreadable) = taken.unreadable() {
                return Err(unreadable);
            }
            let mut now = Known { writes_anew, ..Known::default() };
            for named in &revisions {
                let revision = self.revision(context, named).await?;
                self.shared.revisions.set(context.tenant(), named.clone(), revision);
                now.revisions.extend(revision.map(|revision| (named.clone(), revision)));
            }
            self.look_at_titles(context, &titles, &mut now, key_set).await?;
            let taken_now = self.read_taken(context, asked, key_set).await?;
            if (&now.revisions, &now.titles) == (&known.revisions, &known.titles) && taken_now.is_as(&taken) {
                return Err(refusal);
            }
            (known, taken) = (now, taken_now);
        }
        let detail = format!("somebody else was faster {TRIES} times in a row");
        Err(PersistError::new(ErrorKind::Busy, detail).with_effect(Effect::NotApplied))
    }

    /// The revision that a message is at; nothing where there is no such message.
    async fn revision(&self, context: &Context, named: &Named) -> Result<Option<Revision>> {
        Ok(self.message(context, named).await?.map(|message| message.revision))
    }

    /// A message as it stands in the store.
    async fn message(&self, context: &Context, (thread, id): &Named) -> Result<Option<Message>> {
        let get = GetMessage { thread: thread.clone(), id: id.clone() };
        match self.here.call(context, get).await?.result {
            PersistResult::Read(ReadResult::Get(message)) => Ok(message),
            _ => Err(other_answer()),
        }
    }

    /// An entry as it stands in the store.
    async fn entry(&self, context: &Context, thread: &ThreadId) -> Result<Option<ThreadSummary>> {
        let get = GetThread { thread: thread.clone() };
        match self.here.call(context, get).await?.result {
            PersistResult::Read(ReadResult::Thread(entry)) => Ok(entry),
            _ => Err(other_answer()),
        }
    }

    async fn look_at_titles(
        &self,
        context: &Context,
        threads: &[ThreadId],
        known: &mut Known,
        key_set: &mut KeySet<'_>,
    ) -> Result<()> {
        for thread in threads {
            let Some(entry) = self.entry(context, thread).await? else { continue };
            key_set.fetch([thread.clone()], false).await?;
            // What cannot be read is called otherwise than anybody expects.
            if let Ok(title) = open::open_title(&entry.title, thread, key_set) {
                known.titles.insert(thread.clone(), (title, entry.title));
            }
        }
        Ok(())
    }

    /// Puts into an empty patch what is not under the present key.
    async fn take_up_stale_facts(
        &self,
        context: &Context,
        asked: &mut PersistArgs,
        key_set: &mut KeySet<'_>,
    ) -> Result<()> {
        let (thread, message) = match &*asked {
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
            let cell = serde_json::from_str::<&str>(value.get()).unwrap_or_default();
            if !key_set.is_present(&thread, cell) {
                stale.set_raw(name, value.to_owned());
            }
        }
        open::open_facts(&mut stale, &thread, message.as_ref(), key_set)?;
        let patch = MetadataPatch::from(stale);
        match asked {
            PersistArgs::Update(update) => update.metadata = patch,
            PersistArgs::Thread(ThreadArgs::Label(label)) => label.metadata = patch,
            _ => {}
        }
        Ok(())
    }

    /// Remembers the revisions of open messages, so that the next append costs no read.
    fn learn(&self, tenant: &TenantId, result: &PersistResult) {
        let told = |thread: &ThreadId, id: &throughline_core::MessageId, revision| {
            self.shared.revisions.set(tenant, (thread.clone(), id.clone()), revision);
        };
        match result {
            PersistResult::Reserve(reserved) if !reserved.deduplicated => {
                let message = &reserved.message;
                told(&message.thread, &message.id, Some(message.revision));
            }
            PersistResult::UpdateContent(updated) if !updated.deduplicated => {
                let open = updated.state.is_open().then_some(updated.revision);
                told(&updated.thread, &updated.id, open);
            }
            PersistResult::Batch(batched) if !batched.deduplicated => {
                for output in &batched.outputs {
                    self.learn(tenant, output);
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
        let threads: HashSet<ThreadId> =
            response.result.content_fields().into_iter().map(|place| place.thread.clone()).collect();
        key_set.fetch(threads, false).await?;
        open::open(&mut response.result, sent, key_set)
    }

    /// A store that compares what is imported with what it has finds every message another one, since nothing is encrypted
    /// twice alike. So what it calls different is compared here.
    async fn compare_imported(
        &self,
        context: &Context,
        asked: &PersistArgs,
        result: &mut PersistResult,
        key_set: &mut KeySet<'_>,
    ) -> Result<()> {
        let (PersistArgs::Import(import), PersistResult::Import(imported)) = (asked, result) else {
            return Ok(());
        };
        for (row, became) in import.rows.iter().zip(&mut imported.rows) {
            let ImportedRow::Differs(seq) = *became else { continue };
            let named = (import.thread.clone(), row.id.clone());
            let Some(mut stored) = self.message(context, &named).await? else { continue };
            // What cannot be read is certainly not the same.
            if open::open_message(&mut stored, key_set).is_ok() && row.is_same_as(&stored) {
                *became = ImportedRow::Present(seq);
            }
        }
        Ok(())
    }
}

/// A patch that changes nothing is how values are written again under the present key.
fn is_empty_patch(args: &PersistArgs) -> bool {
    match args {
        PersistArgs::Update(Update { metadata, attachments, .. }) => {
            metadata.is_empty() && attachments.is_none()
        }
        PersistArgs::Thread(ThreadArgs::Label(label)) => *label == LabelThread::new(label.thread.clone()),
        _ => false,
    }
}

pub(super) fn other_answer() -> PersistError {
    PersistError::new(ErrorKind::ContractViolation, "a read was answered as something else")
}
