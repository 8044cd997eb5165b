//! The common part of all imports: one thread reads the files, and the writer imports their messages through the
//! pipeline.

use std::{collections::HashSet, sync::Arc, time::Duration};

use throughline_core::{
    Effect, ErrorKind, MessageId, NewThread, PersistError, Persistence, ThreadId,
    messages::{Import, ImportRow, ImportedRow, PageFrom},
    threads::{ArchiveThread, PublishThread, ThreadSummary},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{JoinError, spawn_blocking},
    time::{Instant, sleep},
};

use crate::{FindingKind, Location, Progress, Report, TransferError};

/// A conversation to import.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) id: ThreadId,
    pub(crate) new: NewThread,
    pub(crate) archived: bool,
    /// Whether an earlier [`Step::Begin`] of the same source has begun it, so that reports count it once.
    pub(crate) continues: bool,
    /// Whether the source has no ids of messages, so that they are numbered.
    pub(crate) numbered: bool,
    /// The thread that it leaves, if it is a fork.
    pub(crate) leaves: Option<ThreadId>,
    /// Its location in the source.
    pub(crate) location: Location,
}

impl Conversation {
    /// Returns a conversation that is not archived.
    pub(crate) const fn new(id: ThreadId, new: NewThread, location: Location) -> Self {
        Self { id, new, archived: false, continues: false, numbered: false, leaves: None, location }
    }

    /// Marks that it is a fork of a thread.
    pub(crate) fn leaving(mut self, thread: ThreadId) -> Self {
        self.leaves = Some(thread);
        self
    }

    /// Marks that its messages are numbered.
    pub(crate) const fn numbered(mut self) -> Self {
        self.numbered = true;
        self
    }
}

/// An item of a source, in the order of reading.
#[derive(Debug)]
pub(crate) enum Step {
    Begin(Box<Conversation>),
    Row(Box<ImportRow>, Location),
    End,
}

/// The receiver of items.
pub(crate) trait Sink {
    /// Takes an item; `None` if the receiver stopped.
    fn take(&mut self, step: Step) -> Option<()>;

    /// Returns the ids of the latest messages that the store has of a thread, the latest first. A source of trees
    /// continues the path that an earlier import chose.
    fn latest(&mut self, thread: &ThreadId) -> Result<Vec<MessageId>, TransferError>;

    /// Whether the store has a message.
    fn has(&mut self, thread: &ThreadId, message: &MessageId) -> Result<bool, TransferError>;
}

/// A file or a folder, which is read on a blocking thread.
pub(crate) trait Source: Send + Sync + std::fmt::Debug + 'static {
    /// Reads every conversation: a [`Step::Begin`], its rows, and a [`Step::End`], one conversation after the other. It
    /// reports what it cannot read, and returns an error only if it cannot continue.
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError>;
}

/// Implements `plan` and `import` for a source, and its conversion to a source of any format.
macro_rules! importable {
    ($source:ident, $format:expr) => {
        impl From<$source> for crate::AnySource {
            fn from(source: $source) -> Self {
                Self::new($format, source)
            }
        }

        impl $source {
            /// Reads everything and writes nothing. Returns the report of an import into an empty store.
            ///
            /// # Errors
            /// The [`TransferError`](crate::TransferError) of a file that cannot be read at all.
            ///
            /// # Cancel safety
            /// It only reads. If it is dropped, the reading thread continues to its end without effect.
            pub async fn plan(&self) -> Result<crate::Report, crate::TransferError> {
                crate::AnySource::from(self.clone()).plan().await
            }

            /// Imports the messages that the store does not have, a few hundred at a time, through the pipeline. A
            /// repeated import adds only what is new in the source.
            ///
            /// # Errors
            /// As for [`plan`](Self::plan), and [`TransferError::Store`](crate::TransferError::Store) if the store
            /// fails. Imported messages stay, and a repeated import continues.
            ///
            /// # Cancel safety
            /// A dropped import stops between two calls of the store, and its current thread stays hidden.
            pub async fn import(
                &self,
                db: &throughline_core::Persistence,
            ) -> Result<crate::Report, crate::TransferError> {
                crate::AnySource::from(self.clone()).import(db).await
            }
        }
    };
}
pub(crate) use importable;

/// Counts the threads and messages of a plan.
struct Count<'a> {
    threads: u64,
    messages: u64,
    /// Whether the current conversation is counted already.
    continues: bool,
    progress: &'a Progress,
}

impl Sink for Count<'_> {
    fn take(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Begin(conversation) => self.continues = conversation.continues,
            Step::Row(..) => {
                self.messages += 1;
                self.progress.add_messages(1);
            }
            Step::End => self.threads += u64::from(!self.continues),
        }
        Some(())
    }

    fn latest(&mut self, _: &ThreadId) -> Result<Vec<MessageId>, TransferError> {
        Ok(Vec::new())
    }

    fn has(&mut self, _: &ThreadId, _: &MessageId) -> Result<bool, TransferError> {
        Ok(false)
    }
}

/// Passes items to the writer.
struct ToWriter {
    steps: mpsc::Sender<(Step, Option<OwnedSemaphorePermit>)>,
    /// A permit for each byte of the messages that wait for the writer, [`WAITING_BYTES`] in total.
    waiting: Arc<Semaphore>,
    db: Persistence,
    runtime: Handle,
}

/// The most items, and the most bytes of messages, that wait for the writer. A single message may be larger.
const WAITING: usize = 16;
const WAITING_BYTES: u32 = 8 << 20;
/// The most messages that [`Sink::latest`] returns.
const LATEST: u32 = 50;

impl Sink for ToWriter {
    fn take(&mut self, step: Step) -> Option<()> {
        let permit = match &step {
            Step::Row(row, _) => {
                let bytes = u32::try_from(bytes_of(row)).unwrap_or(u32::MAX).min(WAITING_BYTES);
                let permit = Arc::clone(&self.waiting).acquire_many_owned(bytes);
                Some(self.runtime.block_on(permit).ok()?)
            }
            Step::Begin(_) | Step::End => None,
        };
        self.steps.blocking_send((step, permit)).ok()
    }

    fn latest(&mut self, thread: &ThreadId) -> Result<Vec<MessageId>, TransferError> {
        let read = || self.db.thread(thread).page(PageFrom::End, LATEST).into_future();
        let page = self.runtime.block_on(admitted(read));
        match page {
            Ok(page) => Ok(page.messages.into_iter().rev().map(|message| message.id).collect()),
            // The writer reports a deleted thread.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Gone) => Ok(Vec::new()),
            // The writer reports the damage in this thread.
            Err(error) => refused(error, thread).map(|_| Vec::new()),
        }
    }

    fn has(&mut self, thread: &ThreadId, message: &MessageId) -> Result<bool, TransferError> {
        let read = || self.db.thread(thread).get(message.clone()).into_future();
        let found = self.runtime.block_on(admitted(read));
        match found {
            Ok(found) => Ok(found.is_some()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Gone) => Ok(false),
            // The thread has it, although it is damaged.
            Err(error) => refused(error, thread).map(|_| true),
        }
    }
}

/// Reads everything and writes nothing.
pub(crate) async fn plan(source: Arc<dyn Source>, progress: &Progress) -> Result<Report, TransferError> {
    let progress = progress.clone();
    let read = spawn_blocking(move || {
        let mut count = Count { threads: 0, messages: 0, continues: false, progress: &progress };
        let mut report = Report::default();
        source.read(&mut count, &mut report, &progress)?;
        progress.finish();
        (report.threads, report.messages) = (count.threads, count.messages);
        Ok(report)
    });
    read.await.unwrap_or_else(resume)
}

/// The most rows of one import; an import also has a limit of bytes, unless a single row is larger.
const ROWS: usize = 200;
const BYTES: usize = 1 << 20;

/// Imports the conversations of a source.
pub(crate) async fn import(
    source: Arc<dyn Source>,
    db: &Persistence,
    progress: &Progress,
) -> Result<Report, TransferError> {
    let (steps, mut taken) = mpsc::channel(WAITING);
    let waiting = Arc::new(Semaphore::new(WAITING_BYTES as usize));
    let mut sink = ToWriter { steps, waiting, db: db.clone(), runtime: Handle::current() };
    let counted = progress.clone();
    let reader = spawn_blocking(move || {
        let mut report = Report::default();
        source.read(&mut sink, &mut report, &counted).map(|()| report)
    });
    let (report, rows) = (Report::default(), Vec::new());
    let deleted = HashSet::new();
    let mut writer = Writer { db, progress, report, thread: None, deleted, rows, bytes: 0 };
    while let Some((step, _permit)) = taken.recv().await {
        writer.take(step).await?;
    }
    let mut report = reader.await.unwrap_or_else(resume)?;
    let written = writer.report;
    report.threads = written.threads;
    report.messages = written.messages;
    report.already_there = written.already_there;
    report.append_skipped(written);
    progress.finish();
    Ok(report)
}

/// Continues a panic of the reading thread in the caller.
pub(crate) fn resume<T>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => panic!("the runtime ended while files were read: {error}"),
    }
}

/// Returns the bytes of a message that count.
fn bytes_of(row: &ImportRow) -> usize {
    row.content.byte_len() + row.metadata.byte_len()
}

/// Writes one thread after the other.
struct Writer<'a> {
    db: &'a Persistence,
    progress: &'a Progress,
    report: Report,
    thread: Option<Begun>,
    /// The threads of the source that were deleted from the store.
    deleted: HashSet<ThreadId>,
    rows: Vec<(ImportRow, Location)>,
    bytes: usize,
}

struct Begun {
    id: ThreadId,
    archived: bool,
    continues: bool,
    /// Whether its messages are numbered and the store may have some of them. Until the first that it does not have,
    /// each is imported by itself: one that differs shows another conversation.
    is_compared: bool,
    /// The reason why the thread cannot be imported.
    refusal: Option<FindingKind>,
}

impl Writer<'_> {
    async fn take(&mut self, step: Step) -> Result<(), TransferError> {
        match step {
            Step::Begin(conversation) => self.begin(*conversation).await,
            Step::Row(row, location) => {
                let bytes = bytes_of(&row);
                if self.rows.len() == ROWS || self.is_compared() || self.bytes + bytes > BYTES {
                    self.write().await?;
                }
                self.bytes += bytes;
                self.rows.push((*row, location));
                Ok(())
            }
            Step::End => self.end().await,
        }
    }

    async fn begin(&mut self, conversation: Conversation) -> Result<(), TransferError> {
        let Conversation { id, new, archived, continues, numbered, leaves, location } = conversation;
        let mut is_compared = false;
        let refusal = if self.leaves_deleted(&id, leaves.as_ref()).await? {
            Some(FindingKind::Deleted)
        } else {
            // Hidden until all of it is imported.
            let new = new.with_id(id.clone()).hidden();
            match admitted(|| self.db.create_thread(new.clone()).into_future()).await {
                Ok(_) => None,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    is_compared = numbered;
                    None
                }
                // A deleted thread is not created again.
                Err(error) if error.kind() == ErrorKind::Gone => Some(FindingKind::Deleted),
                Err(error) => Some(FindingKind::Refused(refused(error, &id)?)),
            }
        };
        if refusal == Some(FindingKind::Deleted) {
            self.deleted.insert(id.clone());
        }
        if let Some(found) = &refusal {
            self.report.skip(&location, found.clone());
        }
        self.thread = Some(Begun { id, archived, continues, is_compared, refusal });
        Ok(())
    }

    /// Whether a thread is a fork of a deleted one that the store does not have yet. It would bring back a part of what was
    /// deleted.
    async fn leaves_deleted(&self, id: &ThreadId, leaves: Option<&ThreadId>) -> Result<bool, TransferError> {
        let leaves = leaves.is_some_and(|thread| self.deleted.contains(thread));
        Ok(leaves && self.summary(id).await?.is_none())
    }

    fn is_compared(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| thread.is_compared)
    }

    async fn end(&mut self) -> Result<(), TransferError> {
        self.write().await?;
        let Some(Begun { id: thread, archived, continues, refusal, .. }) = self.thread.take() else {
            return Ok(());
        };
        self.report.threads += u64::from(!continues);
        if refusal.is_some() {
            return Ok(());
        }
        if let Err(error) = self.publish(&thread, archived).await {
            let found = FindingKind::Refused(refused(error, &thread)?);
            self.report.skip(&Location::Thread(thread), found);
        }
        Ok(())
    }

    async fn publish(&self, thread: &ThreadId, archived: bool) -> Result<(), PersistError> {
        // A listed thread has been published before, and its archive flag is then the host's choice.
        let entry = self.summary(thread).await?;
        let Some(entry) = entry.filter(|entry| !entry.listed) else { return Ok(()) };
        if archived && !entry.archived {
            let archive = ArchiveThread { thread: thread.clone(), archived };
            admitted(|| self.db.on_thread(archive.clone()).into_future()).await?;
        }
        let publish = PublishThread { thread: thread.clone() };
        admitted(|| self.db.on_thread(publish.clone()).into_future()).await?;
        Ok(())
    }

    async fn summary(&self, thread: &ThreadId) -> Result<Option<ThreadSummary>, PersistError> {
        admitted(|| self.db.thread(thread).summary().into_future()).await
    }

    async fn write(&mut self) -> Result<(), TransferError> {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        self.progress.add_messages(rows.len() as u64);
        let Some(thread) = self.thread.as_ref() else { return Ok(()) };
        if rows.is_empty() {
            return Ok(());
        }
        if let Some(found) = &thread.refusal {
            rows.iter().for_each(|(_, location)| self.report.skip(location, found.clone()));
            return Ok(());
        }
        let id = thread.id.clone();
        let Some(refusal) = self.import(&id, &rows).await? else { return Ok(()) };
        if let [(_, location)] = &rows[..] {
            self.report.skip(location, FindingKind::Refused(refusal));
            return Ok(());
        }
        // One of the rows may be the cause, so that each is imported by itself.
        for row in rows {
            if let Some(refusal) = self.import(&id, std::slice::from_ref(&row)).await? {
                self.report.skip(&row.1, FindingKind::Refused(refusal));
            }
        }
        Ok(())
    }

    /// Imports rows. Returns the reason if the store refused them because of their content.
    async fn import(
        &mut self,
        thread: &ThreadId,
        rows: &[(ImportRow, Location)],
    ) -> Result<Option<String>, TransferError> {
        let import = Import::new(thread.clone(), rows.iter().map(|(row, _)| row.clone()).collect());
        let imported = match admitted(|| self.db.run(import.clone()).into_future()).await {
            Ok(imported) => imported,
            Err(error) => return refused(error, thread).map(Some),
        };
        for ((_, location), outcome) in rows.iter().zip(imported.rows) {
            if let Some(thread) = self.thread.as_mut().filter(|thread| thread.is_compared) {
                thread.is_compared = !matches!(outcome, ImportedRow::Added(_));
                if matches!(outcome, ImportedRow::Differs(_)) {
                    thread.refusal = Some(FindingKind::OtherConversation);
                }
            }
            match outcome {
                // An import of files repairs no damaged row.
                ImportedRow::Added(_) | ImportedRow::Restored(_) => self.report.messages += 1,
                ImportedRow::Present(_) => self.report.already_there += 1,
                ImportedRow::Differs(_) => self.report.skip(location, FindingKind::Differs),
                ImportedRow::Gone => self.report.skip(location, FindingKind::Deleted),
            }
        }
        Ok(None)
    }
}

/// The longest time for which one call is repeated.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Makes a call, and repeats it while a quota refuses it for a stated time. A repeated import would not help: its calls for the
/// messages that the store has count against the quota too.
async fn admitted<T, F: Future<Output = Result<T, PersistError>>>(
    call: impl Fn() -> F,
) -> Result<T, PersistError> {
    let end = Instant::now() + LONGEST_WAIT;
    loop {
        let result = call().await;
        let refused = result
            .as_ref()
            .err()
            .filter(|error| (error.kind(), error.effect()) == (ErrorKind::Overloaded, Effect::NotApplied));
        match refused.and_then(PersistError::retry_after) {
            Some(wait) if Instant::now() + wait <= end => sleep(wait).await,
            _ => return result,
        }
    }
}

/// Returns the text of an error about the content of a call, or about damage in its thread. Any other error ends the
/// import.
fn refused(error: PersistError, thread: &ThreadId) -> Result<String, TransferError> {
    let is_of_this_alone = match error.kind() {
        ErrorKind::TooLarge | ErrorKind::Invalid => true,
        ErrorKind::Corrupt => error.thread() == Some(thread),
        _ => false,
    };
    if is_of_this_alone && error.effect() == Effect::NotApplied {
        return Ok(error.to_string());
    }
    Err(error.into())
}

#[cfg(test)]
mod tests {
    use throughline_core::{Content, Role, Timestamp};
    use throughline_memory::MemoryBackend;

    use super::*;

    #[tokio::test]
    async fn the_bytes_of_a_message_count_until_the_writer_took_it() {
        let db = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
        let (steps, mut taken) = mpsc::channel(WAITING);
        let waiting = Arc::new(Semaphore::new(WAITING_BYTES as usize));
        let mut sink = ToWriter { steps, waiting: Arc::clone(&waiting), db, runtime: Handle::current() };
        let all = WAITING_BYTES as usize;
        for (text, free) in [(1_000, all - 1_000), (2 * all, 0)] {
            let content = Content::text(&"x".repeat(text - r#"[{"type":"text","text":""}]"#.len()));
            let row = ImportRow::new("m".parse().unwrap(), Role::User, content, Timestamp::from_micros(0));
            let due = free - row.metadata.byte_len().min(free);
            let step = Step::Row(Box::new(row), Location::File("f".into()));
            sink = spawn_blocking(move || {
                sink.take(step).unwrap();
                sink
            })
            .await
            .unwrap();
            assert_eq!(waiting.available_permits(), due);
            drop(taken.recv().await.unwrap());
            assert_eq!(waiting.available_permits(), all);
        }
    }
}
