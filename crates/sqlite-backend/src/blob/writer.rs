use std::{borrow::Cow, collections::HashMap};

use blake3::Hash;
use throughline_core::Content;

use super::{BlobFolder, BlobRef};
use crate::error::EngineError;

/// The blobs of the transactions of a writer.
#[derive(Debug)]
pub(crate) struct BlobWriter {
    folder: BlobFolder,
    /// The longest content that stays in its row. `None` keeps every content there.
    above: Option<u64>,
    /// The space that stays free.
    floor: u64,
    /// The blobs that were written for the writes of the transaction, and whether a row names them.
    written: HashMap<Hash, bool>,
    /// The blobs that rows may no longer name.
    dropped: Vec<Hash>,
}

impl BlobWriter {
    pub(crate) fn new(folder: BlobFolder, above: Option<u64>, floor: u64) -> Self {
        Self { folder, above, floor, written: HashMap::new(), dropped: Vec::new() }
    }

    /// Records that these blobs were written for a write of the transaction.
    pub(crate) fn were_written(&mut self, blobs: &[BlobRef]) {
        for blob in blobs {
            self.written.entry(blob.hash()).or_default();
        }
    }

    /// Returns the text of the column for a content. A long one is in a file when this returns, and stays there until the
    /// transaction ends, because the transaction holds the write lock.
    ///
    /// It does not look for rows that name the content already. They may be those of another tenant, which would notice from
    /// the time of the write that another one has the content.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn column<'c>(&mut self, content: &'c Content) -> Result<Cow<'c, str>, EngineError> {
        if self.above.is_none_or(|above| content.byte_len() as u64 <= above) {
            return Ok(Cow::Borrowed(content.as_json()));
        }
        let blob = BlobRef::of(content.as_json().as_bytes());
        let written = self.written.get_mut(&blob.hash()).map(|is_named| *is_named = true);
        // Another process may have removed it before this transaction began.
        if written.is_none() || !self.folder.touch(&blob) {
            self.folder.write(&blob, content, self.floor)?;
        }
        Ok(Cow::Owned(blob.as_str().to_owned()))
    }

    /// Records that a row does not name a blob any more.
    pub(crate) fn dropped(&mut self, blob: Option<&BlobRef>) {
        self.dropped.extend(blob.map(BlobRef::hash));
    }

    /// Ends the transaction, and returns the blobs that rows may not name.
    pub(crate) fn end_transaction(&mut self) -> Vec<Hash> {
        let unnamed = self.written.drain().filter(|(_, is_named)| !is_named).map(|(hash, _)| hash);
        self.dropped.extend(unnamed);
        std::mem::take(&mut self.dropped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a folder for a store that has only its file.
    fn writer() -> (tempfile::TempDir, BlobWriter) {
        let directory = tempfile::tempdir().unwrap();
        let store = directory.path().join("chat.db");
        std::fs::write(&store, "").unwrap();
        let writer = BlobWriter::new(BlobFolder::of_store(&store), Some(10), 0);
        (directory, writer)
    }

    #[test]
    fn a_blob_that_was_written_before_its_transaction_is_another_one_when_a_row_names_it() {
        let (_directory, mut writer) = writer();
        let content = Content::text("a long content");
        let blob = writer.folder.write_content(&content, 0).unwrap();
        let seen = writer.folder.state(blob.hash()).unwrap();
        assert!(seen.is_some());
        writer.were_written(std::slice::from_ref(&blob));
        assert_eq!(writer.folder.state(blob.hash()).unwrap(), seen);
        assert_eq!(writer.column(&content).unwrap(), blob.as_str());
        assert_ne!(
            writer.folder.state(blob.hash()).unwrap(),
            seen,
            "a process that has seen it may remove it"
        );
        assert!(writer.end_transaction().is_empty());
    }

    #[test]
    fn a_blob_that_no_row_names_at_the_end_of_the_transaction_may_be_removed() {
        let (_directory, mut writer) = writer();
        let (named, refused) = (Content::text("a long content"), Content::text("another one"));
        let blobs = [&named, &refused].map(|content| writer.folder.write_content(content, 0).unwrap());
        writer.were_written(&blobs);
        writer.column(&named).unwrap();
        assert_eq!(writer.end_transaction(), [blobs[1].hash()]);
        writer.dropped(Some(&blobs[0]));
        assert_eq!(writer.end_transaction(), [blobs[0].hash()]);
    }
}
