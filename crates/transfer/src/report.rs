use std::{collections::BTreeMap, fmt, path::PathBuf};

use throughline_core::{InvalidId, MessageId, Metadata, ThreadId};

/// What a transfer came to, or would come to.
///
/// ```
/// use throughline_transfer::Report;
///
/// let report = Report::default();
/// assert_eq!(report.to_string(), "0 messages in 0 threads, 0 were there already, 0 were left out");
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// Threads that were read to their end.
    pub threads: u64,
    /// Messages that were brought over. Of a plan: those that would be, into a store that has none of them.
    pub messages: u64,
    /// Messages that the store had already, the same.
    pub already_there: u64,
    /// What was not brought over, where it stands and why.
    pub skipped: Vec<Finding>,
    /// What was brought over, and is not as it should be.
    pub noted: Vec<Finding>,
    /// Fields or columns that are not known here, and how often they were met. They are kept.
    pub unknown_fields: BTreeMap<String, u64>,
    /// What was written by a newer version of its program, kept as it stands and not looked into.
    pub newer: Vec<Place>,
    /// The fields of a catalog that are not known here, byte for byte: see
    /// [`ChatFolder::with_catalog_fields`](crate::ChatFolder::with_catalog_fields).
    pub catalog_fields: Metadata,
}

impl Report {
    pub(crate) fn skip(&mut self, place: &Place, what: Found) {
        self.skipped.push(Finding { place: place.clone(), what });
    }

    pub(crate) fn note(&mut self, place: &Place, what: Found) {
        self.noted.push(Finding { place: place.clone(), what });
    }

    pub(crate) fn unknown(&mut self, name: String) {
        *self.unknown_fields.entry(name).or_default() += 1;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { threads, messages, already_there, skipped, .. } = self;
        let skipped = skipped.len();
        write!(
            f,
            "{messages} messages in {threads} threads, {already_there} were there already, {skipped} were left out"
        )
    }
}

/// Something that was met, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where it stands.
    pub place: Place,
    /// What it is.
    pub what: Found,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// A row of a table.
    Row {
        /// The table.
        table: String,
        /// Its row id; of a table without row ids its message id.
        row: String,
    },
    /// A line of a file.
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1 on.
        line: u64,
    },
    /// A file or a folder.
    File(PathBuf),
    /// A thread of the store.
    Thread(ThreadId),
    /// A message of the store.
    Message {
        /// Its thread.
        thread: ThreadId,
        /// Its id.
        message: MessageId,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row { table, row } => write!(f, "row {row} of `{table}`"),
            Self::Line { file, line } => write!(f, "{}:{line}", file.display()),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Thread(thread) => write!(f, "thread `{thread}`"),
            Self::Message { thread, message } => write!(f, "message `{message}` of `{thread}`"),
        }
    }
}

/// What was met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Found {
    /// An id that no store takes.
    #[error("{0}")]
    InvalidId(InvalidId),
    /// A time that is none.
    #[error("`{0}` is no time")]
    NoTime(&'static str),
    /// A value of another type than the column's.
    #[error("`{column}` is no {expected}")]
    NoValue {
        /// The column.
        column: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A text that is not UTF-8.
    #[error("`{0}` is not UTF-8")]
    NotUtf8(&'static str),
    /// A role that there is not.
    #[error("there is no role `{0}`")]
    UnknownRole(String),
    /// A second message or chat of an id.
    #[error("its id stands here a second time")]
    Twice,
    /// The store or a layer refuses it.
    #[error("{0}")]
    Refused(String),
    /// The store has a message of its id, and it is another one.
    #[error("the store has another message of its id")]
    Differs,
    /// The store had it, and it was deleted.
    #[error("it was deleted from the store")]
    Deleted,
    /// A line of nothing.
    #[error("the line is blank")]
    Blank,
    /// A line that is longer than is read of one.
    #[error("the line has more than {max} bytes")]
    LineTooLong {
        /// The longest line that is read, in bytes.
        max: usize,
    },
    /// A line that is not JSON: torn by a crash, or never was.
    #[error("the line is not JSON, from column {0} on")]
    NotJson(usize),
    /// A line of JSON that is no object.
    #[error("the line is no object")]
    NoObject,
    /// A line of a type that is not known, or of none.
    #[error("the line is of the type `{0}`")]
    UnknownType(String),
    /// A header after the first.
    #[error("it is a second header")]
    SecondHeader,
    /// A transcript without a header.
    #[error("the transcript has no header")]
    NoHeader,
    /// A header that names another chat than its folder does.
    #[error("the header names another chat")]
    HeaderOfAnother,
    /// A field that must be there.
    #[error("there is no field `{0}`")]
    NoField(&'static str),
    /// A field of another type than it must have.
    #[error("the field `{0}` is not what it must be")]
    WrongField(&'static str),
    /// Numbers that are left out.
    #[error("turn {seq} follows turn {after}")]
    SeqGap {
        /// The number before.
        after: u64,
        /// This number.
        seq: u64,
    },
    /// A number that was used before.
    #[error("turn {0} is there a second time")]
    SeqTwice(u64),
    /// A number lower than one before.
    #[error("turn {seq} stands after turn {after}")]
    SeqOutOfOrder {
        /// The highest number before.
        after: u64,
        /// This number.
        seq: u64,
    },
    /// Written by a newer version.
    #[error("it has schema version {0}")]
    Newer(String),
    /// Something that is no chat.
    #[error("it is not named by a UUID")]
    NoChatId,
    /// A symbolic link, which is not followed.
    #[error("it is a symbolic link")]
    SymbolicLink,
    /// A file beside a transcript.
    #[error("it is no transcript")]
    OtherFile,
    /// A folder without a transcript, or an entry of a catalog without a folder.
    #[error("there is no transcript")]
    NoTranscript,
    /// A chat that the catalog does not name.
    #[error("the catalog does not name it")]
    NotInCatalog,
    /// A title that is too long; the thread is untitled.
    #[error("its title is too long")]
    TitleTooLong,
    /// A message that is still being written.
    #[error("it is still being written")]
    Open,
    /// An entry that the store cannot read.
    #[error("its entry is damaged")]
    Damaged,
    /// A thread whose folder would be that of another thread.
    #[error("its folder would be that of the thread `{0}`")]
    FolderTaken(ThreadId),
    /// A chat of an earlier export that the store does not have now; it was left.
    #[error("the store does not have it any more")]
    NoLongerThere,
}
