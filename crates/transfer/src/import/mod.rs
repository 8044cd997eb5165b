//! The common part of all imports: one thread reads the files, and the writer imports their messages through the
//! pipeline.

mod calls;
mod to_writer;
mod writer;

use std::sync::Arc;

use throughline_core::{MessageId, NewThread, Persistence, ThreadId, messages::ImportRow};
use tokio::task::{JoinError, spawn_blocking};

use self::{to_writer::ToWriter, writer::Writer};
use crate::{Location, Progress, Report, TransferError};

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

/// Imports the conversations of a source.
pub(crate) async fn import(
    source: Arc<dyn Source>,
    db: &Persistence,
    progress: &Progress,
) -> Result<Report, TransferError> {
    let (mut sink, mut items) = ToWriter::new(db);
    let counted = progress.clone();
    let reader = spawn_blocking(move || {
        let mut report = Report::default();
        source.read(&mut sink, &mut report, &counted).map(|()| report)
    });
    let mut writer = Writer::new(db, progress);
    while let Some((item, _permit)) = items.recv().await {
        writer.take(item).await?;
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
