//! Reads the files of a source.

use std::{collections::HashSet, fs, path::Path};

use throughline_core::{MessageId, ThreadId, messages::ImportRow};

use super::{Zed, database, text_thread};
use crate::{
    FindingKind, Location, Progress, Report, TransferError,
    import::{Conversation, Sink, Source, Step},
    sqlite_file, walk,
};

impl Source for Zed {
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let mut skip = |path: &Path, found| report.skip(&Location::File(path.to_owned()), found);
        let found = walk::files(&self.path, Self::MAX_FILES, is_of_zed, &mut skip)?;
        if found.has_more {
            return Err(TransferError::TooManyFiles { path: self.path.clone(), max: Self::MAX_FILES });
        }
        for file in &found.files {
            progress.expect(fs::metadata(file).map_or(0, |found| found.len()));
        }
        let mut threads = Threads { sink, report, known: HashSet::new() };
        for file in &found.files {
            match self.read_file(file, &mut threads, progress) {
                Ok(Some(())) => {}
                Ok(None) => return Ok(()),
                Err(error @ TransferError::Store(_)) => return Err(error),
                // The other files of a folder are read.
                Err(error) if found.files.len() > 1 => {
                    let found = FindingKind::Unreadable(error.cause());
                    threads.report.skip(&Location::File(file.clone()), found);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Zed {
    /// Reads a file; `None` if the receiver stopped.
    fn read_file(
        &self,
        file: &Path,
        threads: &mut Threads<'_>,
        progress: &Progress,
    ) -> Result<Option<()>, TransferError> {
        if sqlite_file::is_one(file)? {
            database::read(file, self.max_record_bytes, threads, progress)
        } else {
            text_thread::read(file, self.max_record_bytes, threads, progress)
        }
    }
}

fn is_of_zed(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name == "threads.db" || name.ends_with(text_thread::EXTENSION)
}

/// Sends threads, each once.
pub(super) struct Threads<'a> {
    sink: &'a mut dyn Sink,
    pub(super) report: &'a mut Report,
    known: HashSet<ThreadId>,
}

/// The first messages that show whether the store has the same conversation.
const FIRST: usize = 10;

impl Threads<'_> {
    /// Begins a thread with these first messages; `Ok(None)` if the receiver stopped, and `false` if the thread is skipped.
    pub(super) fn begin<'i>(
        &mut self,
        conversation: Conversation,
        first: impl Iterator<Item = &'i MessageId>,
    ) -> Result<Option<bool>, TransferError> {
        let (id, location) = (conversation.id.clone(), conversation.location.clone());
        let found = if self.known.contains(&id) {
            FindingKind::Twice
        } else if self.is_other(&id, first.take(FIRST))? {
            FindingKind::OtherConversation
        } else {
            self.known.insert(id);
            return Ok(self.sink.take(Step::Begin(Box::new(conversation))).map(|()| true));
        };
        self.report.skip(&location, found);
        Ok(Some(false))
    }

    /// Whether the store has another conversation of this id: it has messages, and none of the first ones.
    fn is_other<'i>(
        &mut self,
        id: &ThreadId,
        first: impl Iterator<Item = &'i MessageId>,
    ) -> Result<bool, TransferError> {
        let mut is_empty = true;
        for message in first {
            is_empty = false;
            if self.sink.has(id, message)? {
                return Ok(false);
            }
        }
        Ok(!is_empty && !self.sink.latest(id)?.is_empty())
    }

    pub(super) fn message(&mut self, row: ImportRow, location: &Location) -> Option<()> {
        self.sink.take(Step::Row(Box::new(row), location.clone()))
    }

    pub(super) fn end(&mut self) -> Option<()> {
        self.sink.take(Step::End)
    }
}
