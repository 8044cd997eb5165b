//! Reads a database or an export.

use std::{collections::HashSet, fs};

use throughline_core::ThreadId;

use super::{OpenWebUi, chat, database::Database, message};
use crate::{
    FindingKind, Location, Progress, Report, TransferError,
    import::{Sink, Source},
    message_tree::{MessageTree, Node},
    object::Object,
    records::Records,
};

impl Source for OpenWebUi {
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        progress.expect(fs::metadata(&self.path).map_or(0, |found| found.len()));
        let mut chats = Chats { sink, report, threads: HashSet::new() };
        if self.is_database {
            return Database::read(&self.path, self.max_record_bytes, &mut chats, progress);
        }
        let mut records = Records::open(&self.path, self.max_record_bytes, progress)?;
        while let Some((line, found)) = records.next()? {
            let location = Location::Line { file: self.path.clone(), line };
            match found {
                Ok(found) => {
                    if chats.take(&found, Vec::new(), &location)?.is_none() {
                        return Ok(());
                    }
                }
                Err(found) => chats.report.skip(&location, found),
            }
        }
        Ok(())
    }
}

/// Sends chats, each once.
pub(super) struct Chats<'a> {
    sink: &'a mut dyn Sink,
    pub(super) report: &'a mut Report,
    threads: HashSet<ThreadId>,
}

impl Chats<'_> {
    /// Sends a chat with the rows of its messages; `None` if the receiver stopped.
    pub(super) fn take<'a>(
        &mut self,
        found: &Object<'a>,
        rows: Vec<Node<'a>>,
        location: &Location,
    ) -> Result<Option<()>, TransferError> {
        if chat::is_shared_copy(found) {
            self.report.omit("shared chat".to_owned());
            return Ok(Some(()));
        }
        let found = match chat::tree(found, rows, location, self.report) {
            Ok(tree) if self.threads.insert(tree.id.clone()) => return self.send(tree),
            Ok(_) => FindingKind::Twice,
            Err(found) => found,
        };
        self.report.skip(location, found);
        Ok(Some(()))
    }

    fn send(&mut self, tree: MessageTree<'_>) -> Result<Option<()>, TransferError> {
        tree.send(message::row, self.sink, self.report)
    }
}
