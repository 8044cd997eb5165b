//! Imports and exports a folder of chats: `catalog.json` and `<uuid>/chat.jsonl`.

mod catalog;
mod chat_id;
mod export;
mod facts;
mod line;
mod mark;
mod read;
mod turn;
mod value;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use throughline_core::{Metadata, Persistence};

pub use self::chat_id::{ChatId, InvalidChatId};
use crate::{AnySource, Report, TransferError, any_source::Probe};

/// The file of a chat in its folder.
const TRANSCRIPT: &str = "chat.jsonl";
/// The known version of the format.
const SCHEMA_VERSION: u64 = 1;
/// The extra field of an export, for data that the format cannot express.
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
/// assert!(other.thread("telegram:42").summary().await?.is_some());
/// # Ok(())
/// # }
/// ```
///
/// # From chats to threads
/// A chat becomes the thread with its UUID, in lower case. Its title is that of its catalog entry. The metadata of the
/// thread keeps the header and the entry, `chat.header` and `chat.entry`, so unknown fields are kept byte for byte. The
/// counts, the preview and the activity follow from the messages.
///
/// A turn becomes two messages: `turn-<seq>-question` of the user, and `turn-<seq>-answer` of the assistant, both with
/// the time of the line. A text becomes a block of text with the same escapes; any other value becomes a block itself.
/// A number that occurs again becomes `turn-<seq>.2-question`, and a line without a number `line-<number of the
/// line>-question`. The metadata of the question keeps the other fields of the line: `chat.line` is the line with `0`
/// or `{}` in place of question and answer. A line with a newer `schema_version` becomes a system message without text,
/// with the whole line in its metadata, `chat.opaque`.
///
/// The import skips blank and torn lines, lines that are no object or of an unknown type, and headers after the first;
/// the report names them with their numbers. It does not follow symbolic links. It reports and skips other files, such
/// as attachments.
///
/// # From threads to chats
/// The name of a thread's folder is its id if that is a UUID in lower case, otherwise a UUID derived from the id. The
/// export writes every settled message, and reports open ones. An imported turn without changes becomes the same line,
/// byte for byte. The field `throughline` keeps the data that a question, an answer and a time cannot express:
///
/// | in | field `throughline` |
/// |---|---|
/// | header | `thread`, the id; `createdAt`, microseconds |
/// | entry | owner, labels, metadata, the archive flag, the point of a fork, and a title that the format cannot express |
/// | turn | `messages`: each message as an [`ImportRow`](throughline_core::messages::ImportRow), under `question` or `answer` if its content is that of the line, and under `message` otherwise; as a string if its JSON has line breaks |
/// | catalog | `{"export":1,"tenant":…}`, by which a later export of this tenant recognizes the folder |
///
/// An import of the folder creates the same threads with the same messages. Of the provider aliases of a message
/// ([`Origin`](throughline_core::messages::Origin)) the export writes the first. It does not write hidden threads.
#[derive(Debug, Clone)]
pub struct ChatFolder {
    dir: PathBuf,
    ignores_catalog: bool,
    max_line_bytes: usize,
    fields: Metadata,
}

impl ChatFolder {
    /// The default limit on a line of a transcript, 256 MiB; [`with_max_line_bytes`](Self::with_max_line_bytes) sets
    /// another one.
    pub const MAX_LINE_BYTES: usize = 256 << 20;

    /// Opens an existing folder. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`] if the folder does not exist.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, TransferError> {
        let dir = dir.as_ref().to_owned();
        let found = fs::metadata(&dir).map_err(TransferError::io(&dir, "read"))?;
        if !found.is_dir() {
            let source = io::Error::from(io::ErrorKind::NotADirectory);
            return Err(TransferError::Io { path: dir, operation: "read", source });
        }
        let max_line_bytes = Self::MAX_LINE_BYTES;
        Ok(Self { dir, ignores_catalog: false, max_line_bytes, fields: Metadata::new() })
    }

    /// Opens a folder for an export, and creates it if it is missing. It blocks on the disk.
    ///
    /// # Errors
    /// [`TransferError::Io`] if the folder cannot be created.
    pub fn create(dir: impl AsRef<Path>) -> Result<Self, TransferError> {
        fs::create_dir_all(&dir).map_err(TransferError::io(dir.as_ref(), "made"))?;
        Self::open(dir)
    }

    /// Whether a folder has a catalog, or a chat.
    pub(crate) fn recognizes(probe: &Probe) -> bool {
        let Some(folder) = probe.folder() else { return false };
        let is_chat = |entry: fs::DirEntry| {
            let is_id = entry.file_name().to_str().is_some_and(|name| name.parse::<ChatId>().is_ok());
            is_id && entry.path().join(TRANSCRIPT).is_file()
        };
        let mut entries = fs::read_dir(folder).into_iter().flatten().take(AnySource::MAX_PROBED_FILES);
        folder.join(catalog::FILE).is_file() || entries.any(|entry| entry.is_ok_and(is_chat))
    }

    /// Ignores the catalog and reads only the transcripts, for a corrupt catalog. Titles are lost; everything else
    /// follows from the transcripts.
    #[must_use]
    pub const fn without_catalog(mut self) -> Self {
        self.ignores_catalog = true;
        self
    }

    /// Sets the most bytes of a line, which is held in memory as a whole. A longer line is skipped without being held,
    /// and the report names its file and number. An export writes lines of about 1 MiB, and longer ones only for single
    /// messages that are larger.
    #[must_use]
    pub const fn with_max_line_bytes(mut self, bytes: usize) -> Self {
        self.max_line_bytes = bytes;
        self
    }

    /// Writes these fields into the catalog of an export, such as the [`Report::catalog_fields`] of another folder.
    #[must_use]
    pub fn with_catalog_fields(mut self, fields: Metadata) -> Self {
        self.fields = fields;
        self
    }

    /// Reads everything and writes nothing. Returns the report of an import into a store without any of the chats.
    ///
    /// # Errors
    /// [`TransferError::Io`]; [`TransferError::Corrupt`] for a corrupt catalog, and [`TransferError::SymbolicLink`] if
    /// the catalog is a link. A missing catalog is no error.
    ///
    /// # Cancel safety
    /// It only reads. If it is dropped, the reading thread continues to its end without effect.
    pub async fn plan(&self) -> Result<Report, TransferError> {
        AnySource::from(self.clone()).plan().await
    }

    /// Imports the messages that the store does not have, a few hundred at a time, through the pipeline. A repeated
    /// import adds the new messages of the folder; the title and the other fields of an existing thread stay.
    ///
    /// # Errors
    /// As for [`plan`](Self::plan), and [`TransferError::Store`] if the store fails. Imported messages stay, and a
    /// repeated import continues.
    ///
    /// # Cancel safety
    /// A dropped import stops between two calls of the store, and its current thread stays hidden.
    pub async fn import(&self, db: &Persistence) -> Result<Report, TransferError> {
        AnySource::from(self.clone()).import(db).await
    }

    /// Writes every listed thread of the tenant into the folder, and the catalog at the end. Each file is written under
    /// a temporary name, synced and then renamed, so a reader finds either the old file or the new one. Only the owner
    /// can read the files.
    ///
    /// The folder must be empty, or written by an earlier export. A repeated export of an unchanged store changes no
    /// byte. The chat of a thread that the store no longer has stays, and the report names it. Of two concurrent
    /// exports to one folder, one is refused, except where folders cannot be locked: on Windows and on some network
    /// file systems.
    ///
    /// # Errors
    /// [`TransferError::ExportUnderWay`]; [`TransferError::NotAnExport`] if the folder contains anything else;
    /// [`TransferError::NewerSchema`] and [`TransferError::Corrupt`] for its catalog; [`TransferError::SymbolicLink`];
    /// [`TransferError::Io`]; and [`TransferError::Store`] if a read fails.
    ///
    /// # Cancel safety
    /// A dropped export stops between two files. A repeated export continues.
    pub async fn export(&self, db: &Persistence) -> Result<Report, TransferError> {
        export::export(&self.dir, &self.fields, db).await
    }
}
