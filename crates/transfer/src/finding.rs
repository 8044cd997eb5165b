use std::{fmt, path::PathBuf};

use throughline_core::{InvalidId, MessageId, ThreadId};

/// The most bytes of a text of the source that a report keeps.
const MAX_TEXT_BYTES: usize = 1_024;

/// A defect, and its location.
///
/// A finding keeps at most 1 KiB of a text of the source, such as an unknown role, so that its size has a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The location of the defect.
    pub location: Location,
    /// The kind of defect.
    pub kind: FindingKind,
}

impl Finding {
    /// Creates a finding of a limited size.
    pub(crate) fn new(location: &Location, kind: FindingKind) -> Self {
        Self { location: location.shortened(), kind: kind.shortened() }
    }
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

impl Location {
    pub(crate) fn shortened(&self) -> Self {
        match self {
            Self::Row { table, row } => Self::Row { table: table.clone(), row: shortened(row.clone()) },
            other => other.clone(),
        }
    }
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
    /// The store has another conversation with its id. Its messages are numbered, so both would mix.
    #[error("the store has another conversation of its id")]
    OtherConversation,
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
    /// An object with too many fields.
    #[error("it has more than {max} fields")]
    TooManyFields {
        /// The limit.
        max: usize,
    },
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
    /// A file that cannot be read, or not to its end.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// A record beyond the limit.
    #[error("it has more than {max} bytes")]
    TooLarge {
        /// The limit in bytes.
        max: usize,
    },
    /// A file that ends within an array.
    #[error("the file ends before its array does")]
    Torn,
    /// A file that is no array.
    #[error("the file is no JSON array")]
    NoArray,
    /// Text behind the array of a file, such as a second array, which is not read.
    #[error("there is more text behind the array of the file, which is not read")]
    BehindArray,
    /// A message with parts that the format of an export cannot express.
    #[error("only its text is written")]
    TextOnly,
    /// A text at the end of a file that is not complete.
    #[error("the file ends within it")]
    TornText,
    /// A folder below too many others, which is not read.
    #[error("it is more than {max} folders deep")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// A path in an archive that leaves it.
    #[error("its path `{0}` leaves the archive")]
    UnsafePath(String),
    /// Forks of a conversation beyond the limit.
    #[error("{omitted} of its forks are omitted, because all forks have more than {max} messages")]
    TooManyForks {
        /// The number of omitted forks, without forks of these.
        omitted: usize,
        /// The limit.
        max: usize,
    },
    /// Messages of a conversation beyond the limit, which are skipped.
    #[error("it has more than {max} messages")]
    TooManyMessages {
        /// The limit.
        max: usize,
    },
    /// A message whose parent is missing; it begins a thread.
    #[error("its parent `{0}` is missing")]
    NoParent(String),
    /// Messages that are their own ancestors.
    #[error("{0} of its messages form a circle")]
    Circle(usize),
    /// A conversation beyond the limit on the conversations of one file.
    #[error("its file has more than {max} conversations")]
    TooManyThreads {
        /// The limit.
        max: usize,
    },
    /// A chat of an earlier export whose thread the store no longer has; its files stay.
    #[error("the store does not have it any more")]
    NoLongerThere,
}

impl FindingKind {
    /// Returns the name of the kind, by which [`NotListed`](crate::NotListed) counts findings.
    ///
    /// ```
    /// use throughline_transfer::FindingKind;
    ///
    /// assert_eq!(FindingKind::NotJson(27).name(), "not-json");
    /// ```
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::InvalidId(_) => "invalid-id",
            Self::NoTime(_) => "no-time",
            Self::NoValue { .. } => "wrong-value",
            Self::NotUtf8(_) => "not-utf8",
            Self::UnknownRole(_) => "unknown-role",
            Self::Twice => "repeated-id",
            Self::Refused(_) => "refused",
            Self::Differs => "differs",
            Self::OtherConversation => "other-conversation",
            Self::Deleted => "deleted",
            Self::Blank => "blank-line",
            Self::LineTooLong { .. } => "line-too-long",
            Self::NotJson(_) => "not-json",
            Self::TooManyFields { .. } => "too-many-fields",
            Self::NoObject => "no-object",
            Self::UnknownType(_) => "unknown-type",
            Self::SecondHeader => "second-header",
            Self::NoHeader => "no-header",
            Self::HeaderOfAnother => "header-of-another-chat",
            Self::NoField(_) => "no-field",
            Self::WrongField(_) => "wrong-field",
            Self::SeqGap { .. } => "seq-gap",
            Self::SeqTwice(_) => "repeated-seq",
            Self::SeqOutOfOrder { .. } => "seq-out-of-order",
            Self::Newer(_) => "newer-version",
            Self::NoChatId => "no-chat-id",
            Self::SymbolicLink => "symbolic-link",
            Self::OtherFile => "other-file",
            Self::NoTranscript => "no-transcript",
            Self::NotInCatalog => "not-in-catalog",
            Self::TitleTooLong => "title-too-long",
            Self::Open => "open-message",
            Self::Damaged => "damaged",
            Self::FolderTaken(_) => "folder-taken",
            Self::Unreadable(_) => "unreadable",
            Self::TooLarge { .. } => "too-large",
            Self::Torn => "torn",
            Self::NoArray => "no-array",
            Self::BehindArray => "text-behind-array",
            Self::TextOnly => "text-only",
            Self::TornText => "torn-text",
            Self::TooDeep { .. } => "too-deep",
            Self::UnsafePath(_) => "unsafe-path",
            Self::TooManyForks { .. } => "too-many-forks",
            Self::TooManyMessages { .. } => "too-many-messages",
            Self::NoParent(_) => "no-parent",
            Self::Circle(_) => "circle",
            Self::TooManyThreads { .. } => "too-many-threads",
            Self::NoLongerThere => "no-longer-there",
        }
    }

    fn shortened(self) -> Self {
        match self {
            Self::UnknownRole(role) => Self::UnknownRole(shortened(role)),
            Self::Refused(error) => Self::Refused(shortened(error)),
            Self::UnknownType(name) => Self::UnknownType(shortened(name)),
            Self::Newer(version) => Self::Newer(shortened(version)),
            Self::UnsafePath(path) => Self::UnsafePath(shortened(path)),
            Self::NoParent(parent) => Self::NoParent(shortened(parent)),
            Self::Unreadable(error) => Self::Unreadable(shortened(error)),
            other => other,
        }
    }
}

/// Returns at most [`MAX_TEXT_BYTES`] of a text, with an ellipsis in place of the rest.
pub(crate) fn shortened(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES - '…'.len_utf8()));
        text.push('…');
        text.shrink_to_fit();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_keeps_at_most_1024_bytes_of_a_text() {
        let long = || "é".repeat(1 << 20);
        let short = format!("{}…", "é".repeat(510));
        assert_eq!(short.len(), 1_023);
        let location = Location::Row { table: "t".to_owned(), row: long() };
        let row = Location::Row { table: "t".to_owned(), row: short.clone() };
        for (kind, due) in [
            (FindingKind::UnknownRole(long()), FindingKind::UnknownRole(short.clone())),
            (FindingKind::Refused(long()), FindingKind::Refused(short.clone())),
            (FindingKind::UnknownType(long()), FindingKind::UnknownType(short.clone())),
            (FindingKind::Newer(long()), FindingKind::Newer(short.clone())),
        ] {
            assert_eq!(Finding::new(&location, kind), Finding { location: row.clone(), kind: due });
        }
    }

    #[test]
    fn a_text_of_1024_bytes_is_kept_whole() {
        assert_eq!(shortened("x".repeat(1_024)), "x".repeat(1_024));
        assert_eq!(shortened("x".repeat(1_025)), format!("{}…", "x".repeat(1_021)));
    }
}
