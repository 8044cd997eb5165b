//! Faults that need more than a changed call or answer.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use throughline_core::{
    ErrorKind, IdempotencyKey, Message, MessageId, PersistArgs, PersistError, PersistResponse, PersistResult,
    ReadArgs, ReadResult, Result, Seq, TenantId, ThreadId, Timestamp,
    messages::{Batched, ContentChange, Delete, GetMessage, PageFrom, ReadPage, UpdateContent, UpdateMode},
    operations::Addressed as _,
    pipeline::Receipt,
    threads::ThreadArgs,
};
use tokio::task;

use super::{
    audit::AuditFault,
    backend::{Faulty, silent},
    change,
    changes::{ChangeFault, Known},
    fabricated,
    finds::{FindFault, Found},
    journal::Line,
    searches::{SearchFault, Writers},
    sessions::{SessionFault, Sessions},
    store_key::KeyFault,
    threads::{Seen, ThreadFault},
};
use crate::call::call;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Special {
    DropsEveryThird,
    AcksEarly,
    ForgetsPartials,
    ForgetsKeys,
    ForgetsThreads,
    HalvesBatches,
    IgnoresKeys,
    KeysAcrossThreads,
    UsesKeysOfRefusals,
    IgnoresTenants,
    IgnoresThreads,
    IgnoresCase,
    ReadsStale,
    LatePartials,
    NeverRenews,
    RevivesTheDead,
    ReusesSeqs,
    ChangesGoBack,
    PartialBatches,
    RewritesWithoutLimit,
    ChecksThenAdds,
    MakesWhatIsMissing,
    RefusesSilently,
    AnswersEarly,
    RefusesBatches,
    RefusesKeys,
    RewritesContent,
    DeletesEverywhere,
    MissesEmptyThreads,
    FailsToClose,
    TakesNothing,
    /// A fault of threads as a whole.
    Thread(ThreadFault),
    /// A fault of the change feed.
    Change(ChangeFault),
    /// A fault of agent sessions.
    Session(SessionFault),
    /// A fault of searches.
    Search(SearchFault),
    /// A fault of finds.
    Find(FindFault),
    /// A fault of the audit log.
    Audit(AuditFault),
    /// A fault of the key of the store.
    Key(KeyFault),
}

/// Whose message it is, and which.
type Name = (TenantId, ThreadId, MessageId);

/// The state of the faults.
#[derive(Default)]
pub(super) struct Memory(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    threads: HashSet<ThreadId>,
    read: HashMap<Name, Message>,
    changed: HashMap<Name, Timestamp>,
    used: HashMap<IdempotencyKey, ThreadId>,
    refused: HashSet<IdempotencyKey>,
    threads_seen: Seen,
    known: Known,
    sessions: Sessions,
    writers: Writers,
    found: Found,
    /// A write that was answered and is still to be made.
    later: Option<Line>,
}

impl Memory {
    fn get(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of the faults of threads.
    pub(super) fn seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        look(&mut self.get().threads_seen)
    }

    /// The state of the faults of changes.
    pub(super) fn known<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.get().known)
    }

    /// The state of the faults of searches.
    pub(super) fn writers<T>(&self, look: impl FnOnce(&mut Writers) -> T) -> T {
        look(&mut self.get().writers)
    }

    /// The state of the faults of finds.
    pub(super) fn found<T>(&self, look: impl FnOnce(&mut Found) -> T) -> T {
        look(&mut self.get().found)
    }

    /// The state of the faults of agent sessions.
    pub(super) fn sessions<T>(&self, look: impl FnOnce(&mut Sessions) -> T) -> T {
        look(&mut self.get().sessions)
    }

    fn wrote(&self, line: &Line) {
        let mut memory = self.get();
        memory.threads.extend(line.args.thread().cloned());
        if let Some(name) = name(line) {
            memory.changed.insert(name, line.now);
        }
    }
}

fn name(line: &Line) -> Option<Name> {
    Some((line.tenant.clone(), line.args.thread()?.clone(), line.args.message()?.clone()))
}

const fn is_get(args: &PersistArgs) -> bool {
    matches!(args, PersistArgs::Read(ReadArgs::Get(_)))
}

fn conflict(key: &IdempotencyKey) -> PersistError {
    PersistError::new(ErrorKind::Conflict, format!("the key `{key}` was used"))
}

impl Special {
    pub(super) async fn serve(self, store: &Faulty, mut line: Line) -> Result<PersistResponse> {
        let is_write = line.args.kind().is_write();
        match self {
            Self::DropsEveryThird if is_write && store.writes.fetch_add(1, Ordering::SeqCst) % 3 == 2 => {
                on_a_copy(store, &line).await
            }
            Self::AcksEarly
            | Self::ForgetsPartials
            | Self::ForgetsKeys
            | Self::ForgetsThreads
            | Self::HalvesBatches
                if is_write =>
            {
                self.keep(store, line).await
            }
            Self::IgnoresKeys => {
                line.key = None;
                store.sound(line).await
            }
            Self::KeysAcrossThreads | Self::UsesKeysOfRefusals if line.key.is_some() => {
                self.key(store, line).await
            }
            Self::IgnoresTenants | Self::IgnoresThreads | Self::ReadsStale | Self::ChangesGoBack => {
                self.look(store, line).await
            }
            Self::IgnoresCase => {
                fold_case(&mut line.args);
                store.sound(line).await
            }
            Self::LatePartials | Self::NeverRenews => match line.args.clone() {
                PersistArgs::UpdateContent(update) => self.update(store, line, update).await,
                _ => store.sound(line).await,
            },
            Self::RevivesTheDead | Self::ReusesSeqs | Self::ChecksThenAdds => {
                if matches!(line.args, PersistArgs::Add(_)) {
                    self.add(store, line).await
                } else {
                    store.sound(line).await
                }
            }
            Self::PartialBatches => match &line.args {
                PersistArgs::Batch(batch) => one_by_one(store, &line, batch.items.clone()).await,
                _ => store.sound(line).await,
            },
            Self::RewritesWithoutLimit => match (store.sound(line.clone()).await, &line.args) {
                (Err(error), PersistArgs::Batch(batch)) if error.kind() == ErrorKind::TooLarge => {
                    one_by_one(store, &line, batch.items.clone()).await
                }
                (answer, _) => answer,
            },
            Self::MakesWhatIsMissing => {
                let asked = line.args.clone();
                store.sound(line).await.or_else(|error| match error.kind() {
                    ErrorKind::NotFound => fabricated::done(&asked).ok_or(error),
                    _ => Err(error),
                })
            }
            Self::RefusesSilently => store.sound(line).await.map_err(|error| silent(&error)),
            Self::AnswersEarly if is_write => {
                let earlier = store.memory.get().later.replace(line.clone());
                if let Some(earlier) = earlier {
                    // Refused or not: it was answered long ago.
                    drop(store.sound(earlier).await);
                }
                on_a_copy(store, &line).await
            }
            Self::RefusesBatches if matches!(line.args, PersistArgs::Batch(_)) => {
                Err(PersistError::unsupported("`batch`"))
            }
            Self::RefusesKeys if line.key.is_some() => Err(PersistError::unsupported("a key")),
            Self::RewritesContent => {
                let response = store.sound(line.clone()).await?;
                if let (true, Some(message)) = (is_write, read(store, &line).await?) {
                    store.journal.write_to_temporary(&message);
                }
                Ok(response)
            }
            Self::DeletesEverywhere => {
                store.memory.wrote(&line);
                if let PersistArgs::Delete(delete) = &line.args {
                    let others: Vec<ThreadId> = store.memory.get().threads.iter().cloned().collect();
                    for thread in others.into_iter().filter(|thread| *thread != delete.thread) {
                        let other = Delete::new(thread, delete.id.clone());
                        // There may be none of that id there.
                        drop(store.sound(Line { args: other.into(), key: None, ..line.clone() }).await);
                    }
                }
                store.sound(line).await
            }
            Self::TakesNothing if matches!(line.args, PersistArgs::Thread(ThreadArgs::TakeLast(_))) => {
                on_a_copy(store, &line).await
            }
            Self::MissesEmptyThreads => {
                let response = store.sound(line).await?;
                match &response.result {
                    PersistResult::Read(ReadResult::Page(page)) if page.messages.is_empty() => {
                        Err(PersistError::new(ErrorKind::NotFound, "there is no such thread"))
                    }
                    _ => Ok(response),
                }
            }
            Self::Thread(fault) => fault.serve(store, line).await,
            Self::Change(fault) => fault.serve(store, line).await,
            Self::Session(fault) => Box::pin(fault.serve(store, line)).await,
            Self::Search(fault) => Box::pin(fault.serve(store, line)).await,
            Self::Find(fault) => Box::pin(fault.serve(store, line)).await,
            _ => store.sound(line).await,
        }
    }

    /// Decides when a write reaches the file.
    async fn keep(self, store: &Faulty, mut line: Line) -> Result<PersistResponse> {
        let (response, mut pending) = store.journal.apply(&line).await?;
        if response.receipt.position.is_none() {
            return Ok(response);
        }
        let is_partial =
            matches!(&line.args, PersistArgs::UpdateContent(UpdateContent { mode: UpdateMode::Partial, .. }));
        match (self, &mut line.args) {
            (Self::ForgetsPartials, _) if is_partial => return Ok(response),
            (Self::ForgetsThreads, PersistArgs::Thread(_)) => return Ok(response),
            (Self::ForgetsKeys, _) => line.key = None,
            (Self::HalvesBatches, PersistArgs::Batch(batch)) => batch.items.truncate(2),
            _ => {}
        }
        pending.write(&line);
        if self != Self::AcksEarly {
            pending.flush();
        }
        Ok(response)
    }

    async fn key(self, store: &Faulty, line: Line) -> Result<PersistResponse> {
        let (Some(key), Some(thread)) = (line.key.clone(), line.args.thread().cloned()) else {
            return store.sound(line).await;
        };
        if self == Self::KeysAcrossThreads {
            let first = store.memory.get().used.entry(key.clone()).or_insert_with(|| thread.clone()).clone();
            return if first == thread { store.sound(line).await } else { Err(conflict(&key)) };
        }
        if store.memory.get().refused.contains(&key) {
            return Err(conflict(&key));
        }
        let answer = store.sound(line).await;
        if answer.is_err() {
            store.memory.get().refused.insert(key);
        }
        answer
    }

    async fn look(self, store: &Faulty, mut line: Line) -> Result<PersistResponse> {
        let asked = line.clone();
        if line.args.kind().is_write() {
            store.memory.wrote(&line);
            return store.sound(line).await;
        }
        if self == Self::IgnoresTenants {
            line.tenant = TenantId::default();
        }
        let mut response = store.sound(line).await?;
        match self {
            Self::IgnoresTenants => {
                change::messages(&mut response, |message| message.tenant = asked.tenant.clone());
            }
            Self::ChangesGoBack => change::messages(&mut response, |message| {
                let name = (message.tenant.clone(), message.thread.clone(), message.id.clone());
                if let Some(changed) = store.memory.get().changed.get(&name) {
                    message.updated_at = *changed;
                }
            }),
            Self::IgnoresThreads if is_get(&asked.args) => {
                found_anywhere(store, &asked, &mut response).await?;
            }
            Self::ReadsStale if is_get(&asked.args) => {
                if let (Some(name), PersistResult::Read(ReadResult::Get(Some(message)))) =
                    (name(&asked), &mut response.result)
                {
                    *message = store.memory.get().read.entry(name).or_insert_with(|| message.clone()).clone();
                }
            }
            _ => {}
        }
        Ok(response)
    }

    async fn update(self, store: &Faulty, mut line: Line, update: UpdateContent) -> Result<PersistResponse> {
        if self == Self::NeverRenews && update.mode == UpdateMode::Partial && update.change.is_none() {
            return match read(store, &line).await? {
                Some(message) => Ok(fabricated::renewed(&message)),
                None => store.sound(line).await,
            };
        }
        match store.sound(line.clone()).await {
            Err(error)
                if self == Self::LatePartials
                    && error.kind() == ErrorKind::Stale
                    && update.mode == UpdateMode::Partial =>
            {
                line.args = UpdateContent { mode: UpdateMode::Edit, expected: None, ..update }.into();
                store.sound(line).await
            }
            answer => answer,
        }
    }

    async fn add(self, store: &Faulty, mut line: Line) -> Result<PersistResponse> {
        let PersistArgs::Add(asked) = line.args.clone() else { unreachable!("an addition") };
        if self == Self::ChecksThenAdds {
            if read(store, &line).await?.is_none() {
                for _ in 0..8 {
                    task::yield_now().await;
                }
                if let Err(error) = store.sound(line.clone()).await {
                    if error.kind() != ErrorKind::AlreadyExists {
                        return Err(error);
                    }
                    let change = ContentChange::Replace(asked.content.clone());
                    let edit = UpdateContent::new(asked.thread, asked.id, change, UpdateMode::Edit);
                    store.sound(Line { args: edit.into(), key: None, ..line.clone() }).await?;
                }
                let message = read(store, &line).await?;
                return message
                    .map(fabricated::added)
                    .ok_or_else(|| PersistError::new(ErrorKind::Busy, "lost"));
            }
            return store.sound(line).await;
        }
        let mut response = match store.sound(line.clone()).await {
            Err(error) if self == Self::RevivesTheDead && error.kind() == ErrorKind::Gone => {
                let mut again = asked.clone();
                again.id = format!("{} again", asked.id).parse()?;
                line.args = again.into();
                store.sound(line.clone()).await?
            }
            answer => answer?,
        };
        let left = store.journal.read(&Line { args: all_of(&asked.thread), ..line }).await?;
        if let PersistResult::Add(added) = &mut response.result {
            added.message.id = asked.id;
            if let (Self::ReusesSeqs, PersistResult::Read(read)) = (self, &left.result) {
                added.message.seq = Seq::new(read.messages().len() as u64);
            }
        }
        Ok(response)
    }
}

fn all_of(thread: &ThreadId) -> PersistArgs {
    ReadPage::new(thread.clone(), PageFrom::Start, ReadPage::MAX_LIMIT).into()
}

/// The current message of a call.
async fn read(store: &Faulty, line: &Line) -> Result<Option<Message>> {
    let (Some(thread), Some(id)) = (line.args.thread().cloned(), line.args.message().cloned()) else {
        return Ok(None);
    };
    let get = Line { args: GetMessage { thread, id }.into(), key: None, ..line.clone() };
    match store.journal.read(&get).await?.result {
        PersistResult::Read(ReadResult::Get(message)) => Ok(message),
        _ => Ok(None),
    }
}

/// The answer of a store that would have made this call.
pub(super) async fn on_a_copy(store: &Faulty, line: &Line) -> Result<PersistResponse> {
    let copied = store.journal.copy().await;
    let (db, clock) =
        copied.map_err(|error| PersistError::new(ErrorKind::Internal, "no copy").with_source(error))?;
    clock.set(line.now);
    call(&db.for_tenant(line.tenant.clone()), line.args.clone(), line.key.clone()).await
}

/// A message of this id in any thread, where the right one has none.
async fn found_anywhere(store: &Faulty, asked: &Line, response: &mut PersistResponse) -> Result<()> {
    let PersistResult::Read(ReadResult::Get(found @ None)) = &mut response.result else { return Ok(()) };
    let Some((_, thread, id)) = name(asked) else { return Ok(()) };
    let threads: Vec<ThreadId> = store.memory.get().threads.iter().cloned().collect();
    for other in threads {
        let get = Line { args: GetMessage { thread: other, id: id.clone() }.into(), ..asked.clone() };
        if let Some(message) = read(store, &get).await? {
            *found = Some(Message { thread, ..message });
            break;
        }
    }
    Ok(())
}

fn fold_case(args: &mut PersistArgs) {
    let id = match args {
        PersistArgs::Add(add) => &mut add.id,
        PersistArgs::Reserve(reserve) => &mut reserve.id,
        _ => return,
    };
    *id = id.as_str().to_lowercase().parse().unwrap_or_else(|_| id.clone());
}

/// A batch as if it were so many calls.
async fn one_by_one(store: &Faulty, line: &Line, items: Vec<PersistArgs>) -> Result<PersistResponse> {
    let mut outputs = Vec::new();
    let mut receipt = Receipt::default();
    for (index, args) in items.into_iter().enumerate() {
        let item = Line { args, key: None, ..line.clone() };
        let response = store.sound(item).await.map_err(|error| error.with_batch_index(index))?;
        receipt = response.receipt;
        outputs.push(response.result);
    }
    Ok(fabricated::response(Batched { outputs, deduplicated: false }.into(), receipt))
}
