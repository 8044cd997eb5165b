//! Reads the files of an export whose conversations are trees.

use std::{collections::HashSet, io::Read, path::Path};

use throughline_core::ThreadId;

use super::{ReadRow, ReadTree};
use crate::{
    FindingKind, Location, Progress, Report, TransferError, documents, export_archive, import::Sink,
    object::Object,
};

/// The files of an export, each one conversation or an array of them. They are read one conversation at a time.
pub(crate) struct TreeFiles<'s> {
    pub(crate) path: &'s Path,
    /// Accepts the name of a file in a folder or an archive.
    pub(crate) takes: fn(&str) -> bool,
    pub(crate) max_record_bytes: usize,
    pub(crate) read_tree: ReadTree,
    pub(crate) read_row: ReadRow,
}

impl TreeFiles<'_> {
    /// Reads every conversation.
    pub(crate) fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let is_one_file = self.path.is_file() && !export_archive::is_archive(self.path);
        let takes = |name: &str| is_one_file || (self.takes)(name);
        let mut threads = HashSet::new();
        export_archive::each_file(self.path, takes, report, progress, |path, stream, report| {
            self.file(path, stream, sink, report, &mut threads)
        })
    }

    /// Reads a file; `None` if the receiver stopped.
    fn file<'a>(
        &self,
        path: &'a Path,
        stream: Box<dyn Read + 'a>,
        sink: &mut dyn Sink,
        report: &mut Report,
        threads: &mut HashSet<ThreadId>,
    ) -> Result<Option<()>, TransferError> {
        let mut documents = documents::over(path, stream, self.max_record_bytes)?;
        while let Some((line, document)) = documents.next()? {
            let location = Location::Line { file: path.to_owned(), line };
            match document {
                Ok(document) => {
                    if self.document(&document, &location, sink, report, threads)?.is_none() {
                        return Ok(None);
                    }
                }
                Err(found) => report.skip(&location, found),
            }
        }
        Ok(Some(()))
    }

    fn document(
        &self,
        document: &Object<'_>,
        location: &Location,
        sink: &mut dyn Sink,
        report: &mut Report,
        threads: &mut HashSet<ThreadId>,
    ) -> Result<Option<()>, TransferError> {
        let found = match (self.read_tree)(document, location, report) {
            Ok(tree) if threads.insert(tree.id.clone()) => return tree.send(self.read_row, sink, report),
            Ok(_) => FindingKind::Twice,
            Err(found) => found,
        };
        report.skip(location, found);
        Ok(Some(()))
    }
}
