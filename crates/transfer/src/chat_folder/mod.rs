//! A folder of chats: `catalog.json` and `<uuid>/chat.jsonl`.

mod catalog;
mod chat_id;
mod export;
mod facts;
mod line;
mod lines;
mod mark;
mod object;
mod output;
mod read;
mod turn;
mod value;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use throughline_core::{Metadata, Persistence};

pub use self::chat_id::{ChatId, InvalidChatId};
use crate::{Report, TransferError, intake};

/// The file of a chat in its folder.
const TRANSCRIPT: &str = "chat.jsonl";
/// The version of the form that is known here.
const SCHEMA_VERSION: u64 = 1;
/// The field in which an export says what the form has no place for.
const MARK: &str = "throughline";

/// A folder with `catalog.json` and, for each chat, `<uuid>/chat.jsonl`: a header, then a line for each turn.
///
/// ```
/// use throughline_core::{NewMessage, Persistence};
/// use throughline_memory::MemoryBackend;
/// use throughline_transfer::ChatFolder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().join("chats");
/// let db = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// db.thread("telegram:42").add(NewMessage::user("hello")).await?;
/// ChatFolder::create(&dir)?.export(&db).await?;
///
/// let other = Persistence::builder().backend(MemoryBackend::new()).build()?;
/// let report = ChatFolder::open(&dir)?.import(&other).await?;
/// assert_eq!((report.threads, report.messages), (1, 1));
/// assert!(other.thread("telegram:42").entry().await?.is_some());
/// # Ok(())
/// # }
/// ```
///
/// # What becomes of a chat
/// The chat is the thread of its UUID, lower-case. Its title is that of its entry in the catalog. Header and entry stand as they
/// are in the metadata of the thread, `chat.header` and `chat.entry`, so that fields that are not known here are kept to the
/// byte. The counts, the preview and the activity follow from the messages.
///
/// A turn is two messages: `turn-<seq>-question` of the user, and `turn-<seq>-answer` of the assistant, both of the time of
/// the line. A text becomes a block of text, with its bytes as they are escaped; whatever else stands there becomes a block
/// itself. A number that was used before makes `turn-<seq>.2-question`, and a line without one `line-<number of the line>-question`.
/// What else the line has stands in the metadata of the question, `chat.line`: the line with `0` or `{}` in the place of
/// question and answer. A line with a newer `schema_version` is a message of the system without text, and stands whole in its
/// metadata, `chat.opaque`.
///
/// Blank and torn lines, lines that are no object or of an unknown type, and headers after the first are left out and named in
/// the report, with their numbers. Symbolic links are not followed. Other files, such as attachments, are named and left.
///
/// # What becomes of a thread
/// Its folder is named by its id where that is a UUID in lower case, and by one that follows from it otherwise. Every settled
/// message is written; what is still being written is named in the report. A turn that was imported and is as it was is the same
/// line, byte for byte. What a question, an answer and a time do not tell stands in the field `throughline`:
///
/// | where | holds |
/// |---|---|
/// | header | `thread`, the id; `createdAt`, microseconds |
/// | entry | owner, labels, metadata, archive, where it branched off, and a title that the form cannot have |
/// | turn | `messages`: each message as an [`ImportRow`](throughline_core::messages::ImportRow), under `question` or `answer` where its content is that of the line, and under `message` otherwise; a text where its JSON has line breaks |
/// | catalog | `{"export":1,"tenant":…}`, by which a later export of this tenant knows the folder for its own |
///
/// An import of it makes the same threads with the same messages. Of the names that providers gave a message
/// ([`Origin`](throughline_core::messages::Origin)) the first is written. Threads that no list shows are not.
#[derive(Debug, Clone)]
pub struct ChatFolder {
    dir: PathBuf,
    ignores_catalog: bool,
    max_line_bytes: usize,
    fields: Metadata,
}

impl ChatFolder {
    /// The longest line of a transcript that is read, unless [`with_max_line_bytes`](Self::with_max_line_bytes) names another: 256 MiB.
    pub const MAX_LINE_BYTES: usize = 256 << 20;

    /// A folder that is there. It waits for the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`] where there is none.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, TransferError> {
        let dir = dir.as_ref().to_owned();
        let found = fs::metadata(&dir).map_err(TransferError::io(&dir, "read"))?;
        if !found.is_dir() {
            let source = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(TransferError::Io { path: dir, what: "read", source });
        }
        let max_line_bytes = Self::MAX_LINE_BYTES;
        Ok(Self { dir, ignores_catalog: false, max_line_bytes, fields: Metadata::new() })
    }

    /// A folder to export to, made where there is none. It waits for the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`] where it cannot be made.
    pub fn create(dir: impl AsRef<Path>) -> Result<Self, TransferError> {
        fs::create_dir_all(&dir).map_err(TransferError::io(dir.as_ref(), "made"))?;
        Self::open(dir)
    }

    /// Reads the transcripts alone: for a catalog that is corrupt. Titles are lost with it; all else follows from the
    /// transcripts.
    #[must_use]
    pub const fn without_catalog(mut self) -> Self {
        self.ignores_catalog = true;
        self
    }

    /// Reads lines of at most so many bytes: one is held in memory at a time. A longer line is skipped without being held, and the report
    /// names its file and its number. An export writes lines of about 1 MiB, and longer ones only for single messages that are larger.
    #[must_use]
    pub const fn with_max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// Writes these fields into the catalog of an export: what [`Report::catalog_fields`] has of another folder.
    #[must_use]
    pub fn with_catalog_fields(mut self, fields: Metadata) -> Self {
        self.fields = fields;
        self
    }

    /// Reads everything and writes nothing: what an import into a store with none of it would come to.
    ///
    /// # Errors
    /// [`TransferError::Io`]; [`TransferError::Corrupt`] where the catalog is, and [`TransferError::SymbolicLink`] where it is
    /// a link. A catalog that is not there is no error.
    ///
    /// # Cancel safety
    /// It only reads; dropped, it reads on by itself and answers nobody.
    pub async fn plan(&self) -> Result<Report, TransferError> {
        intake::plan(self.clone()).await
    }

    /// Brings over what the store does not have, a few hundred messages at a time, through the pipeline. Done again, it adds what
    /// was added to the folder since; the title and whatever else is said of a thread that is there stays.
    ///
    /// # Errors
    /// As [`plan`](Self::plan), and [`TransferError::Store`] where the store fails. What was brought over stays, and done again
    /// it goes on.
    ///
    /// # Cancel safety
    /// Dropped, it stops between two calls of the store, and leaves the thread that it was at in no list.
    pub async fn import(&self, db: &Persistence) -> Result<Report, TransferError> {
        intake::import(self.clone(), db).await
    }

    /// Writes every listed thread of the tenant into the folder, and the catalog at the end. Each file is written beside its
    /// place, synced and then put there, so that a reader finds the old one or the new one. Files are readable by
    /// their owner alone.
    ///
    /// The folder is empty, or was written by an earlier export. Done again over the same store it changes no byte. A chat that
    /// the store does not have any more is left, and named in the report. Of two exports to one folder at once one is refused;
    /// not where folders cannot be locked, which is so on Windows and on some network file systems.
    ///
    /// # Errors
    /// [`TransferError::ExportUnderWay`], [`TransferError::NotAnExport`] where the folder holds anything else, [`TransferError::NewerSchema`] and
    /// [`TransferError::Corrupt`] for its catalog, [`TransferError::SymbolicLink`], [`TransferError::Io`], and
    /// [`TransferError::Store`] where a read fails.
    ///
    /// # Cancel safety
    /// Dropped, it stops between two files. Done again, it goes on.
    pub async fn export(&self, db: &Persistence) -> Result<Report, TransferError> {
        export::export(&self.dir, &self.fields, db).await
    }
}
