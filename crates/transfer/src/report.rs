use std::{collections::BTreeMap, fmt, path::PathBuf};

use throughline_core::{InvalidId, MessageId, Metadata, ThreadId};

/// The result of a transfer, or of its plan.
///
/// Each list keeps its first [`MAX_LISTED`](Report::MAX_LISTED) elements, so that a large or hostile source cannot fill
/// the memory. [`not_listed`](Report::not_listed) counts the others.
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
    /// The threads that were read to their end.
    pub threads: u64,
    /// The messages that were imported; in a plan, those that would be imported into a store without any of them.
    pub messages: u64,
    /// The messages that the store already had, unchanged.
    pub already_there: u64,
    /// The messages, rows and lines that were skipped, with the location and the reason.
    pub skipped: Vec<Finding>,
    /// The messages, rows and lines that were transferred in spite of a defect.
    pub warnings: Vec<Finding>,
    /// Unknown fields or columns, and the number of their occurrences. The transfer keeps their values.
    pub unknown_fields: BTreeMap<String, u64>,
    /// The files and lines of a newer version of the format, which are kept unchanged.
    pub newer: Vec<Location>,
    /// The unknown fields of a catalog, byte for byte: see
    /// [`ChatFolder::with_catalog_fields`](crate::ChatFolder::with_catalog_fields).
    pub catalog_fields: Metadata,
    /// The number of elements that the lists do not keep.
    pub not_listed: NotListed,
}

impl Report {
    /// The most elements of each list in a report.
    pub const MAX_LISTED: usize = 1_000;

    pub(crate) fn skip(&mut self, location: &Location, kind: FindingKind) {
        list(&mut self.skipped, &mut self.not_listed.skipped, || Finding {
            location: location.clone(),
            kind,
        });
    }

    pub(crate) fn warn(&mut self, location: &Location, kind: FindingKind) {
        list(&mut self.warnings, &mut self.not_listed.warnings, || Finding {
            location: location.clone(),
            kind,
        });
    }

    pub(crate) fn add_newer(&mut self, location: &Location) {
        list(&mut self.newer, &mut self.not_listed.newer, || location.clone());
    }

    pub(crate) fn unknown(&mut self, name: String) {
        if let Some(count) = self.unknown_fields.get_mut(&name) {
            *count += 1;
        } else if self.unknown_fields.len() < Self::MAX_LISTED {
            self.unknown_fields.insert(name, 1);
        } else {
            self.not_listed.unknown_fields += 1;
        }
    }

    /// Appends what another part of the same transfer skipped.
    pub(crate) fn append_skipped(&mut self, other: Self) {
        self.not_listed.skipped += other.not_listed.skipped;
        for finding in other.skipped {
            list(&mut self.skipped, &mut self.not_listed.skipped, || finding);
        }
    }
}

/// Appends an element, or counts it if the list is full.
fn list<T>(listed: &mut Vec<T>, not_listed: &mut u64, element: impl FnOnce() -> T) {
    if listed.len() < Report::MAX_LISTED {
        listed.push(element());
    } else {
        *not_listed += 1;
    }
}

/// The number of elements that each list of a [`Report`] does not keep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotListed {
    /// The elements that [`Report::skipped`] does not keep.
    pub skipped: u64,
    /// The elements that [`Report::warnings`] does not keep.
    pub warnings: u64,
    /// The occurrences of fields and columns whose names [`Report::unknown_fields`] does not keep.
    pub unknown_fields: u64,
    /// The elements that [`Report::newer`] does not keep.
    pub newer: u64,
}

impl NotListed {
    /// Returns the sum of all counts.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.skipped + self.warnings + self.unknown_fields + self.newer
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { threads, messages, already_there, skipped, warnings, newer, not_listed, .. } = self;
        let left_out = skipped.len() as u64 + not_listed.skipped;
        write!(
            f,
            "{messages} messages in {threads} threads, {already_there} were there already, {left_out} were left out"
        )?;
        match not_listed.total() {
            0 => Ok(()),
            more => {
                let listed = skipped.len() + warnings.len() + newer.len() + self.unknown_fields.len();
                write!(f, "; the report lists {listed} findings, and {more} more were counted only")
            }
        }
    }
}

/// A defect, and its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The location of the defect.
    pub location: Location,
    /// The kind of defect.
    pub kind: FindingKind,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location, self.kind)
    }
}

/// A location in a source, a folder or a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A row of a table.
    Row {
        /// The table.
        table: String,
        /// Its row id; in a table without row ids, its message id.
        row: String,
    },
    /// A line of a file.
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
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

impl fmt::Display for Location {
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

/// The kind of a defect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindingKind {
    /// An invalid id.
    #[error("{0}")]
    InvalidId(InvalidId),
    /// An invalid time.
    #[error("`{0}` is no time")]
    NoTime(&'static str),
    /// A value of the wrong type for its column.
    #[error("`{column}` is no {expected}")]
    NoValue {
        /// The column.
        column: &'static str,
        /// The expected type.
        expected: &'static str,
    },
    /// A text that is not UTF-8.
    #[error("`{0}` is not UTF-8")]
    NotUtf8(&'static str),
    /// An unknown role.
    #[error("there is no role `{0}`")]
    UnknownRole(String),
    /// A second message or chat with the same id.
    #[error("its id occurs a second time")]
    Twice,
    /// The store or a layer refused it.
    #[error("{0}")]
    Refused(String),
    /// The store has another message with its id.
    #[error("the store has another message of its id")]
    Differs,
    /// The store had it, and it was deleted.
    #[error("it was deleted from the store")]
    Deleted,
    /// A blank line.
    #[error("the line is blank")]
    Blank,
    /// A line beyond the limit.
    #[error("the line has more than {max} bytes")]
    LineTooLong {
        /// The limit in bytes.
        max: usize,
    },
    /// A line that is not JSON, for example torn by a crash.
    #[error("the line is not JSON, from column {0} on")]
    NotJson(usize),
    /// A line that is JSON, but no object.
    #[error("the line is no object")]
    NoObject,
    /// A line of an unknown type, or without a type.
    #[error("the line is of the type `{0}`")]
    UnknownType(String),
    /// A header after the first.
    #[error("it is a second header")]
    SecondHeader,
    /// A transcript without a header.
    #[error("the transcript has no header")]
    NoHeader,
    /// A header that names another chat than its folder.
    #[error("the header names another chat")]
    HeaderOfAnother,
    /// A required field is missing.
    #[error("there is no field `{0}`")]
    NoField(&'static str),
    /// A field of the wrong type.
    #[error("the field `{0}` has the wrong type")]
    WrongField(&'static str),
    /// Missing numbers of turns.
    #[error("turn {seq} follows turn {after}")]
    SeqGap {
        /// The number before.
        after: u64,
        /// This number.
        seq: u64,
    },
    /// A number that occurred before.
    #[error("turn {0} is there a second time")]
    SeqTwice(u64),
    /// A number lower than an earlier one.
    #[error("turn {seq} comes after turn {after}")]
    SeqOutOfOrder {
        /// The highest number before.
        after: u64,
        /// This number.
        seq: u64,
    },
    /// A newer version wrote it.
    #[error("it has schema version {0}")]
    Newer(String),
    /// A folder or an entry that is no chat.
    #[error("it is not named by a UUID")]
    NoChatId,
    /// A symbolic link, which is not followed.
    #[error("it is a symbolic link")]
    SymbolicLink,
    /// A file next to a transcript.
    #[error("it is no transcript")]
    OtherFile,
    /// A folder without a transcript, or a catalog entry without a folder.
    #[error("there is no transcript")]
    NoTranscript,
    /// A chat that the catalog does not name.
    #[error("the catalog does not name it")]
    NotInCatalog,
    /// A title that is too long; the thread has no title.
    #[error("its title is too long")]
    TitleTooLong,
    /// An open message.
    #[error("it is still being written")]
    Open,
    /// A thread summary that the store cannot read.
    #[error("its entry is damaged")]
    Damaged,
    /// A thread whose folder belongs to another thread.
    #[error("its folder would be that of the thread `{0}`")]
    FolderTaken(ThreadId),
    /// A chat of an earlier export whose thread the store no longer has; its files stay.
    #[error("the store does not have it any more")]
    NoLongerThere,
}
