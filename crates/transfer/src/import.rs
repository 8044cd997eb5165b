//! The common part of all imports: one thread reads the files, and the writer imports their messages through the
//! pipeline.

use throughline_core::{
    Effect, ErrorKind, NewThread, PersistError, Persistence, ThreadId,
    messages::{Import, ImportRow, ImportedRow},
    threads::{ArchiveThread, PublishThread},
};
use tokio::{
    sync::mpsc,
    task::{JoinError, spawn_blocking},
};

use crate::{FindingKind, Location, Report, TransferError};

/// A conversation to import.
#[derive(Debug)]
pub(crate) struct Conversation {
    pub(crate) id: ThreadId,
    pub(crate) new: NewThread,
    pub(crate) archived: bool,
    /// Its location in the source.
    pub(crate) location: Location,
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
}

/// A file or a folder, which is read on a blocking thread.
pub(crate) trait Source: Send + 'static {
    fn read(&self, sink: &mut dyn Sink, report: &mut Report) -> Result<(), TransferError>;
}

/// Counts the threads and messages of a plan.
#[derive(Default)]
struct Count {
    threads: u64,
    messages: u64,
}

impl Sink for Count {
    fn take(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Begin(_) => {}
            Step::Row(..) => self.messages += 1,
            Step::End => self.threads += 1,
        }
        Some(())
    }
}

impl Sink for mpsc::Sender<Step> {
    fn take(&mut self, step: Step) -> Option<()> {
        self.blocking_send(step).ok()
    }
}

/// Reads everything and writes nothing.
pub(crate) async fn plan(source: impl Source) -> Result<Report, TransferError> {
    let read = spawn_blocking(move || {
        let (mut count, mut report) = (Count::default(), Report::default());
        source.read(&mut count, &mut report)?;
        (report.threads, report.messages) = (count.threads, count.messages);
        Ok(report)
    });
    read.await.unwrap_or_else(resume)
}

/// The most rows of one import; an import also has a limit of bytes, unless a single row is larger.
const ROWS: usize = 200;
const BYTES: usize = 1 << 20;

/// Imports the conversations of a source.
pub(crate) async fn import(source: impl Source, db: &Persistence) -> Result<Report, TransferError> {
    // Few messages are buffered, because each may be large.
    let (mut sender, mut steps) = mpsc::channel(16);
    let reader = spawn_blocking(move || {
        let mut report = Report::default();
        source.read(&mut sender, &mut report).map(|()| report)
    });
    let mut writer = Writer { db, report: Report::default(), thread: None, rows: Vec::new(), bytes: 0 };
    while let Some(step) = steps.recv().await {
        writer.take(step).await?;
    }
    let mut report = reader.await.unwrap_or_else(resume)?;
    let written = writer.report;
    report.threads = written.threads;
    report.messages = written.messages;
    report.already_there = written.already_there;
    report.append_skipped(written);
    Ok(report)
}

/// Continues a panic of the reading thread in the caller.
pub(crate) fn resume<T>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => panic!("the runtime ended while files were read: {error}"),
    }
}

/// Writes one thread after the other.
struct Writer<'a> {
    db: &'a Persistence,
    report: Report,
    thread: Option<Begun>,
    rows: Vec<(ImportRow, Location)>,
    bytes: usize,
}

struct Begun {
    id: ThreadId,
    archived: bool,
    /// The reason why the thread cannot be imported.
    refusal: Option<FindingKind>,
}

impl Writer<'_> {
    async fn take(&mut self, step: Step) -> Result<(), TransferError> {
        match step {
            Step::Begin(conversation) => self.begin(*conversation).await,
            Step::Row(row, location) => {
                let bytes = row.content.byte_len() + row.metadata.byte_len();
                if self.rows.len() == ROWS || self.bytes + bytes > BYTES {
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
        let Conversation { id, new, archived, location } = conversation;
        // Hidden until all of it is imported.
        let refusal = match self.db.create_thread(new.with_id(id.clone()).hidden()).await {
            Ok(_) => None,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => None,
            // A deleted thread is not created again.
            Err(error) if error.kind() == ErrorKind::Gone => Some(FindingKind::Deleted),
            Err(error) => Some(FindingKind::Refused(refused(error, &id)?)),
        };
        if let Some(found) = &refusal {
            self.report.skip(&location, found.clone());
        }
        self.thread = Some(Begun { id, archived, refusal });
        Ok(())
    }

    async fn end(&mut self) -> Result<(), TransferError> {
        self.write().await?;
        let Some(Begun { id: thread, archived, refusal }) = self.thread.take() else { return Ok(()) };
        self.report.threads += 1;
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
        let entry = self.db.thread(thread.clone()).summary().await?;
        let Some(entry) = entry.filter(|entry| !entry.listed) else { return Ok(()) };
        if archived && !entry.archived {
            self.db.on_thread(ArchiveThread { thread: thread.clone(), archived }).await?;
        }
        self.db.on_thread(PublishThread { thread: thread.clone() }).await?;
        Ok(())
    }

    async fn write(&mut self) -> Result<(), TransferError> {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
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
        let imported = match self.db.run(import).await {
            Ok(imported) => imported,
            Err(error) => return refused(error, thread).map(Some),
        };
        for ((_, location), outcome) in rows.iter().zip(imported.rows) {
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
