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
    /// The blobs that were written for the writes of the transaction or that it has read, and whether a row names them.
    known: HashMap<Hash, bool>,
    /// The blobs that rows may no longer name.
    dropped: Vec<Hash>,
}

impl BlobWriter {
    pub(crate) fn new(folder: BlobFolder, above: Option<u64>, floor: u64) -> Self {
        Self { folder, above, floor, known: HashMap::new(), dropped: Vec::new() }
    }

    /// Records that these blobs were written for a write of the transaction.
    pub(crate) fn were_written(&mut self, blobs: &[BlobRef]) {
        for blob in blobs {
            self.known.entry(blob.hash()).or_default();
        }
    }

    /// Records that a row names this blob, which was read.
    pub(crate) fn was_read(&mut self, blob: &BlobRef) {
        self.known.insert(blob.hash(), true);
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
        let known = self.known.get_mut(&blob.hash()).map(|is_named| *is_named = true);
        // Another process may have removed it before this transaction began.
        if known.is_none() || !self.folder.touch(&blob) {
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
        let unnamed = self.known.drain().filter(|(_, is_named)| !is_named).map(|(hash, _)| hash);
        self.dropped.extend(unnamed);
        std::mem::take(&mut self.dropped)
    }
}
