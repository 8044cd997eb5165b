//! Faults of threads as a whole that need more than a changed call or answer.

use std::collections::{BTreeSet, HashMap, HashSet};

use throughline_core::{
    ErrorKind, Labels, Message, MessageId, MessageState, MetadataPatch, NewThread, PersistArgs,
    PersistResponse, PersistResult, ReadArgs, ReadResult, Result, Role, TenantId, ThreadId, Timestamp,
    backend::rules,
    messages::{Delete, ImportedRow, Origin, PageFrom, ReadPage, ResolveId, Visibility},
    operations::Addressed as _,
    threads::{
        ClearThread, CreateThread, DeleteThread, GetThread, LabelPatch, LabelThread, PrunePlan, RenameThread,
        ThreadArgs, ThreadCursor, ThreadDeleted, ThreadResult, ThreadSummary,
    },
};

use super::{backend::Faulty, change, fabricated, journal::Line};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ThreadFault {
    CreatesAgain,
    ListsAtOnce,
    MakesThreads,
    ShowsWhatIsNot,
    TakesAnyLabels,
    PublishesAgain,
    RebuildsWithoutMetadata,
    PreviewsAnybody,
    KeepsPreviews,
    CountsOpen,
    ActsAtEveryWrite,
    ClearsNothing,
    ClearsTitles,
    ClearsEverything,
    DeletesNothing,
    DeletesEverywhere,
    TakesWritesToTheDead,
    RefusesBatchesAtTheDead,
    PlansAbandoned,
    PrunesOpen,
    PrunesAnyGeneration,
    PurgesTheLiving,
    FindsImportsAnywhere,
    MergesThreads,
    UpdatesEverywhere,
    InheritsAttachments,
    ResolvesTheDead,
    ResolvesToTakenIds,
}

type Name = (TenantId, ThreadId);

/// The state of these faults.
#[derive(Default)]
pub(super) struct Seen {
    threads: BTreeSet<Name>,
    written: HashMap<Name, Timestamp>,
    previews: HashMap<Name, String>,
    kept: HashSet<Name>,
    deleted: HashSet<Name>,
}

impl ThreadFault {
    pub(super) async fn serve(self, store: &Faulty, line: Line) -> Result<PersistResponse> {
        let named = line.args.thread().map(|thread| (line.tenant.clone(), thread.clone()));
        if let (true, Some(name)) = (line.args.kind().is_write(), &named) {
            store.memory.seen(|seen| {
                seen.threads.insert(name.clone());
                seen.written.insert(name.clone(), line.now);
            });
        }
        match self {
            Self::CreatesAgain | Self::MakesThreads | Self::TakesAnyLabels | Self::TakesWritesToTheDead => {
                self.refused(store, line).await
            }
            Self::ResolvesTheDead | Self::ResolvesToTakenIds => self.resolve(store, line).await,
            Self::RefusesBatchesAtTheDead => {
                if let PersistArgs::Batch(batch) = &line.args
                    && let (Some(_), Some(PersistArgs::Thread(ThreadArgs::Delete(delete)))) =
                        (batch.after, batch.items.first())
                    && entry(store, &line, &delete.thread).await?.is_none()
                {
                    return Err(rules::thread_is_gone(&delete.thread));
                }
                store.sound(line).await
            }
            Self::ClearsNothing | Self::ClearsTitles | Self::ClearsEverything => {
                self.clear(store, line).await
            }
            Self::DeletesNothing | Self::DeletesEverywhere => self.delete(store, line).await,
            Self::PlansAbandoned | Self::PrunesOpen | Self::PrunesAnyGeneration | Self::PurgesTheLiving => {
                self.prune(store, line).await
            }
            Self::FindsImportsAnywhere | Self::UpdatesEverywhere | Self::InheritsAttachments => {
                self.elsewhere(store, line).await
            }
            Self::PublishesAgain => {
                let response = store.sound(line.clone()).await?;
                if let PersistArgs::Thread(ThreadArgs::Publish(publish)) = &line.args {
                    let title = entry(store, &line, &publish.thread).await?.map(|entry| entry.title);
                    let rename = RenameThread::new(publish.thread.clone(), title.unwrap_or_default());
                    store.sound(Line { args: rename.into(), ..line.clone() }).await?;
                }
                Ok(response)
            }
            Self::RebuildsWithoutMetadata => {
                let response = store.sound(line.clone()).await?;
                if let PersistArgs::Thread(ThreadArgs::Rebuild(rebuild)) = &line.args {
                    let facts = entry(store, &line, &rebuild.thread).await?.map(|entry| entry.metadata);
                    let clear = facts.iter().flat_map(throughline_core::Metadata::iter);
                    let clear = clear.fold(MetadataPatch::new(), |patch, (key, _)| patch.clear(key));
                    let label = LabelThread::new(rebuild.thread.clone()).with_metadata(clear);
                    store.sound(Line { args: label.into(), key: None, ..line.clone() }).await?;
                }
                Ok(response)
            }
            Self::KeepsPreviews => {
                if let (PersistArgs::Delete(_), Some(name)) = (&line.args, named) {
                    store.memory.seen(|seen| seen.kept.insert(name));
                }
                self.show(store, line).await
            }
            _ => self.show(store, line).await,
        }
    }

    /// Applies a refused call nevertheless.
    async fn refused(self, store: &Faulty, line: Line) -> Result<PersistResponse> {
        let error = match store.sound(line.clone()).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let thread = line.args.thread().cloned();
        match (self, error.kind(), &line.args, thread) {
            (Self::CreatesAgain, ErrorKind::AlreadyExists, PersistArgs::Thread(ThreadArgs::Create(_)), _) => {
                fabricated::taken(&line.tenant, &line.args, line.now).ok_or(error)
            }
            (Self::MakesThreads, ErrorKind::NotFound, PersistArgs::Thread(_), Some(thread)) => {
                let create = CreateThread::new(NewThread::new().with_id(thread));
                store.sound(Line { args: create.into(), key: None, ..line.clone() }).await?;
                store.sound(line).await
            }
            (Self::TakesAnyLabels, ErrorKind::TooLarge, PersistArgs::Thread(ThreadArgs::Label(label)), _) => {
                let nothing = LabelThread { labels: LabelPatch::new(), ..label.clone() };
                store.sound(Line { args: nothing.into(), ..line.clone() }).await
            }
            (
                Self::TakesAnyLabels,
                ErrorKind::TooLarge,
                PersistArgs::Thread(ThreadArgs::Create(create)),
                _,
            ) => {
                let unlabelled = CreateThread { labels: Labels::new(), ..create.clone() };
                store.sound(Line { args: unlabelled.into(), ..line.clone() }).await
            }
            (Self::TakesWritesToTheDead, ErrorKind::Gone, args, _) => {
                fabricated::taken(&line.tenant, args, line.now).ok_or(error)
            }
            _ => Err(error),
        }
    }

    /// An id that should not have been answered.
    async fn resolve(self, store: &Faulty, line: Line) -> Result<PersistResponse> {
        let error = match store.sound(line.clone()).await {
            Ok(response) => return Ok(response),
            Err(error) => error,
        };
        let PersistArgs::Thread(ThreadArgs::Resolve(asked)) = &line.args else { return Err(error) };
        match (self, error.kind(), error.message()) {
            (Self::ResolvesTheDead, ErrorKind::Gone, Some(_))
            | (Self::ResolvesToTakenIds, ErrorKind::AlreadyExists, Some(_)) => {
                let stranger = ResolveId {
                    origin: Origin::new().event(asked.fresh.as_str().parse().expect("a valid id")),
                    fresh: MessageId::mint(),
                    legacy: Vec::new(),
                    ..asked.clone()
                };
                store.sound(Line { args: stranger.into(), ..line.clone() }).await
            }
            _ => Err(error),
        }
    }

    async fn clear(self, store: &Faulty, line: Line) -> Result<PersistResponse> {
        let PersistArgs::Thread(ThreadArgs::Clear(clear)) = &line.args else {
            return store.sound(line).await;
        };
        match self {
            Self::ClearsNothing => {
                // Made on nothing, it answers what it would.
                let rename = RenameThread::new(clear.thread.clone(), "x".parse().expect("a title"));
                let mut response = store.sound(Line { args: rename.into(), ..line.clone() }).await?;
                if let PersistResult::Thread(ThreadResult::Rename(mut changed)) = response.result {
                    changed.summary.generation = changed.summary.generation.next();
                    response.result = ThreadResult::Clear(changed).into();
                }
                Ok(response)
            }
            Self::ClearsTitles => {
                let response = store.sound(line.clone()).await?;
                let rename = RenameThread::new(clear.thread.clone(), throughline_core::Title::default());
                store.sound(Line { args: rename.into(), key: None, ..line.clone() }).await?;
                Ok(response)
            }
            _ => {
                for (tenant, thread) in others(store, &line) {
                    let args = ClearThread::new(thread).into();
                    // There may be no such thread any more.
                    drop(store.sound(Line { tenant, args, key: None, now: line.now }).await);
                }
                store.sound(line).await
            }
        }
    }

    async fn delete(self, store: &Faulty, line: Line) -> Result<PersistResponse> {
        let name = line.args.thread().map(|thread| (line.tenant.clone(), thread.clone()));
        let PersistArgs::Thread(ThreadArgs::Delete(delete)) = &line.args else {
            let is_dead = name.is_some_and(|name| store.memory.seen(|seen| seen.deleted.contains(&name)));
            if is_dead && line.args.kind().is_write() {
                let thread = line.args.thread().expect("it was looked for by its thread");
                return Err(throughline_core::backend::rules::thread_is_gone(thread));
            }
            return store.sound(line).await;
        };
        if self == Self::DeletesEverywhere {
            let namesakes = others(store, &line).into_iter().filter(|(_, thread)| *thread == delete.thread);
            for (tenant, thread) in namesakes {
                let args = DeleteThread { thread }.into();
                drop(store.sound(Line { tenant, args, key: None, now: line.now }).await);
            }
            return store.sound(line).await;
        }
        // Nothing is taken away, and no write is taken any more.
        let already = !store.memory.seen(|seen| name.is_some_and(|name| seen.deleted.insert(name)));
        let deleted = ThreadDeleted { thread: delete.thread.clone(), already, deduplicated: false };
        let position = throughline_core::pipeline::Receipt::at(throughline_core::Position::new(1 << 40));
        Ok(fabricated::response(ThreadResult::Delete(deleted).into(), position))
    }

    async fn prune(self, store: &Faulty, mut line: Line) -> Result<PersistResponse> {
        match (self, line.args.clone()) {
            (Self::PlansAbandoned, PersistArgs::Read(ReadArgs::PlanPrune(plan))) => {
                let mut response = store.sound(line.clone()).await?;
                let messages = page(store, &line, &plan.thread, Visibility::All).await?;
                let keep =
                    plan.keep.messages.map_or(messages.len(), |keep| usize::try_from(keep).unwrap_or(0));
                let gone = &messages[..messages.len().saturating_sub(keep)];
                if let PersistResult::Read(ReadResult::PlanPrune(answer)) = &mut response.result {
                    let bytes = gone.iter().map(|message| message.content.byte_len() as u64).sum();
                    let through = gone.last().map(|message| message.seq);
                    *answer = PrunePlan { through, messages: gone.len() as u64, bytes, ..answer.clone() };
                }
                Ok(response)
            }
            (Self::PrunesOpen, PersistArgs::Thread(ThreadArgs::Prune(prune))) => {
                let response = store.sound(line.clone()).await?;
                let left = page(store, &line, &prune.thread, Visibility::All).await?;
                for message in left.into_iter().filter(|message| message.seq <= prune.through) {
                    let args = Delete::new(prune.thread.clone(), message.id).into();
                    store.sound(Line { args, key: None, ..line.clone() }).await?;
                }
                Ok(response)
            }
            (Self::PrunesAnyGeneration, PersistArgs::Thread(ThreadArgs::Prune(mut prune))) => {
                if let Some(entry) = entry(store, &line, &prune.thread).await? {
                    prune.generation = entry.generation;
                }
                line.args = prune.into();
                store.sound(line).await
            }
            (Self::PurgesTheLiving, PersistArgs::Thread(ThreadArgs::Purge(purge))) => {
                let clear = ClearThread::new(purge.thread).into();
                drop(store.sound(Line { args: clear, key: None, ..line.clone() }).await);
                store.sound(line).await
            }
            _ => store.sound(line).await,
        }
    }

    /// Reads or writes in other threads too.
    async fn elsewhere(self, store: &Faulty, mut line: Line) -> Result<PersistResponse> {
        let others = others(store, &line);
        match (self, line.args.clone()) {
            (Self::FindsImportsAnywhere, PersistArgs::Import(import)) => {
                let mut response = store.sound(line.clone()).await?;
                for (tenant, thread) in others {
                    let reader = Line { tenant, ..line.clone() };
                    let messages = page(store, &reader, &thread, Visibility::All).await?;
                    let PersistResult::Import(imported) = &mut response.result else { continue };
                    for (row, reported) in import.rows.iter().zip(&mut imported.rows) {
                        if let Some(there) = messages.iter().find(|message| message.id == row.id) {
                            *reported = ImportedRow::Differs(there.seq);
                        }
                    }
                }
                Ok(response)
            }
            (Self::UpdatesEverywhere, PersistArgs::UpdateContent(update)) => {
                for (tenant, thread) in others {
                    let update = throughline_core::messages::UpdateContent { thread, ..update.clone() };
                    // There may be no message of that id there.
                    drop(store.sound(Line { tenant, args: update.into(), key: None, now: line.now }).await);
                }
                store.sound(line).await
            }
            (Self::InheritsAttachments, PersistArgs::Add(mut add)) if add.attachments.is_empty() => {
                for (tenant, thread) in others {
                    let reader = Line { tenant, ..line.clone() };
                    let messages = page(store, &reader, &thread, Visibility::All).await?;
                    if let Some(there) = messages.into_iter().find(|message| message.id == add.id) {
                        add.attachments = there.attachments;
                    }
                }
                line.args = add.into();
                store.sound(line).await
            }
            _ => store.sound(line).await,
        }
    }

    /// Changes a read.
    async fn show(self, store: &Faulty, line: Line) -> Result<PersistResponse> {
        let mut response = store.sound(line.clone()).await?;
        match (self, &line.args) {
            (Self::ListsAtOnce, PersistArgs::Read(ReadArgs::Threads(read))) => {
                let threads = store.memory.seen(|seen| seen.threads.clone());
                let ours = threads.into_iter().filter(|(tenant, _)| *tenant == line.tenant);
                let mut entries = Vec::new();
                for (_, thread) in ours {
                    entries.extend(entry(store, &line, &thread).await?);
                }
                entries.sort_by(|a, b| {
                    ThreadCursor::of(read.order, a).compare(&ThreadCursor::of(read.order, b))
                });
                let after =
                    |entry: &ThreadSummary| read.after.as_ref().is_none_or(|after| after.is_before(entry));
                entries.retain(|entry| {
                    after(entry) && read.shows(&ThreadSummary { listed: true, ..entry.clone() })
                });
                if let PersistResult::Read(ReadResult::Threads(list)) = &mut response.result {
                    entries.truncate(read.limit as usize);
                    list.threads = entries;
                }
            }
            (Self::ShowsWhatIsNot, PersistArgs::Read(ReadArgs::Thread(get))) => {
                if let PersistResult::Read(ReadResult::Thread(entry @ None)) = &mut response.result {
                    *entry = Some(fabricated::entry(&line.tenant, &get.thread, line.now));
                }
            }
            (Self::MergesThreads, PersistArgs::Read(ReadArgs::Page(read))) => {
                let mut more = Vec::new();
                for (tenant, thread) in others(store, &line) {
                    let there =
                        page(store, &Line { tenant, ..line.clone() }, &thread, Visibility::All).await?;
                    more.extend(there.into_iter().map(|message| Message {
                        thread: read.thread.clone(),
                        tenant: line.tenant.clone(),
                        ..message
                    }));
                }
                if let PersistResult::Read(ReadResult::Page(page)) = &mut response.result {
                    page.messages.extend(more);
                }
            }
            (Self::PreviewsAnybody | Self::CountsOpen, PersistArgs::Read(ReadArgs::Thread(get))) => {
                let messages = page(store, &line, &get.thread, Visibility::All).await?;
                change::entries(&mut response, |entry| {
                    if self == Self::CountsOpen {
                        entry.messages = messages.len() as u64;
                        return;
                    }
                    let last = messages.iter().rev().find(|message| message.state == MessageState::Final);
                    if let Some(last) = last.filter(|message| message.role != Role::User) {
                        entry.preview = Some(last.content.as_json().to_owned());
                    }
                });
            }
            (Self::KeepsPreviews, _) => change::entries(&mut response, |entry| {
                let name = (entry.tenant.clone(), entry.thread.clone());
                store.memory.seen(|seen| match (seen.kept.contains(&name), &entry.preview) {
                    (true, _) => entry.preview = seen.previews.get(&name).cloned(),
                    (false, Some(preview)) => drop(seen.previews.insert(name, preview.clone())),
                    (false, None) => {}
                });
            }),
            (Self::ActsAtEveryWrite, _) => change::entries(&mut response, |entry| {
                let name = (entry.tenant.clone(), entry.thread.clone());
                let written = store.memory.seen(|seen| seen.written.get(&name).copied());
                entry.active_at = written.unwrap_or(entry.active_at);
                entry.updated_at = entry.active_at;
            }),
            _ => {}
        }
        Ok(response)
    }
}

/// The threads that were written to, but for the one that a call is about.
fn others(store: &Faulty, line: &Line) -> Vec<Name> {
    let here = line.args.thread().map(|thread| (line.tenant.clone(), thread.clone()));
    let threads = store.memory.seen(|seen| seen.threads.clone());
    threads.into_iter().filter(|name| Some(name) != here.as_ref()).collect()
}

async fn entry(store: &Faulty, line: &Line, thread: &ThreadId) -> Result<Option<ThreadSummary>> {
    let get = GetThread { thread: thread.clone() };
    let line = Line { args: get.into(), key: None, ..line.clone() };
    match store.journal.read(&line).await?.result {
        PersistResult::Read(ReadResult::Thread(entry)) => Ok(entry),
        _ => Ok(None),
    }
}

async fn page(
    store: &Faulty,
    line: &Line,
    thread: &ThreadId,
    visibility: Visibility,
) -> Result<Vec<Message>> {
    let read = ReadPage::new(thread.clone(), PageFrom::Start, ReadPage::MAX_LIMIT).showing(visibility);
    let line = Line { args: read.into(), key: None, ..line.clone() };
    match store.journal.read(&line).await?.result {
        PersistResult::Read(ReadResult::Page(page)) => Ok(page.messages),
        _ => Ok(Vec::new()),
    }
}
