use serde::{Deserialize, Serialize};

use super::{Addressed, CarriesContent, Place, PlaceMut, places::carries_parts};
use crate::{Message, MessageId, Seq, ThreadId};

/// The reads. They go through the same layers as the writes: an encryption layer must decrypt, a redirect must
/// answer from where it wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ReadArgs {
    /// One message.
    Get(GetMessage),
    /// A stretch of a thread.
    Page(ReadPage),
    /// The messages that a writer may still be at work on.
    OpenReservations(ListOpen),
}

impl ReadArgs {
    /// The camelCase name of the read.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Get(_) => "get",
            Self::Page(_) => "page",
            Self::OpenReservations(_) => "openReservations",
        }
    }
}

/// The answers to the reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ReadResult {
    /// To [`GetMessage`]: nothing where there is no such message.
    Get(Option<Message>),
    /// To [`ReadPage`].
    Page(Page),
    /// To [`ListOpen`].
    OpenReservations(OpenReservations),
}

impl ReadResult {
    /// The camelCase name of the read that it answers.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Get(_) => "get",
            Self::Page(_) => "page",
            Self::OpenReservations(_) => "openReservations",
        }
    }

    /// The messages it holds.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        match self {
            Self::Get(message) => message.as_slice(),
            Self::Page(page) => &page.messages,
            Self::OpenReservations(open) => &open.messages,
        }
    }
}

/// A read with its own answer. Sealed: the reads are the framework's.
pub trait ReadOperation: Into<ReadArgs> + sealed::Sealed + Send + 'static {
    /// What it answers.
    type Output: TryFrom<ReadResult, Error = ReadResult>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! reads {
    ($($name:ident => $variant:ident -> $output:ty;)+) => {$(
        impl sealed::Sealed for $name {}

        impl ReadOperation for $name {
            type Output = $output;
        }

        impl From<$name> for ReadArgs {
            fn from(read: $name) -> Self {
                Self::$variant(read)
            }
        }

        impl From<$name> for super::PersistArgs {
            fn from(read: $name) -> Self {
                Self::Read(read.into())
            }
        }

        impl TryFrom<ReadResult> for $output {
            type Error = ReadResult;

            fn try_from(result: ReadResult) -> Result<Self, ReadResult> {
                match result {
                    ReadResult::$variant(output) => Ok(output),
                    other => Err(other),
                }
            }
        }
    )+};
}

reads! {
    GetMessage => Get -> Option<Message>;
    ReadPage => Page -> Page;
    ListOpen => OpenReservations -> OpenReservations;
}

/// Reads one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetMessage {
    /// The thread.
    pub thread: ThreadId,
    /// The message.
    pub id: MessageId,
}

/// Where a page begins. Cursors are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PageFrom {
    /// The oldest messages.
    Start,
    /// The oldest messages after this one.
    After(Seq),
    /// The latest messages.
    End,
    /// The latest messages before this one.
    Before(Seq),
}

impl PageFrom {
    /// Whether the page goes from older to newer messages.
    #[must_use]
    pub const fn is_forward(self) -> bool {
        matches!(self, Self::Start | Self::After(_))
    }
}

/// Which messages a page shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Visibility {
    /// Every message, with its state.
    #[default]
    All,
    /// Final messages only: the history for a model.
    Final,
    /// Settled messages, final or abandoned, up to the first open one: for a consumer whose cursor must not
    /// pass a message that may still change.
    Settled,
}

/// Reads a stretch of a thread. The answer is in the order of the thread, oldest first, also when it was read
/// backwards ("the latest 20, oldest first"). A thread that was never written to has no messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadPage {
    /// The thread.
    pub thread: ThreadId,
    /// Where to begin.
    pub from: PageFrom,
    /// How many messages at most: 1 to [`ReadPage::MAX_LIMIT`].
    pub limit: u32,
    /// Which messages to show.
    #[serde(default)]
    pub visibility: Visibility,
}

impl ReadPage {
    /// The most messages of one page.
    pub const MAX_LIMIT: u32 = 1000;

    /// A page of all messages.
    #[must_use]
    pub const fn new(thread: ThreadId, from: PageFrom, limit: u32) -> Self {
        Self { thread, from, limit, visibility: Visibility::All }
    }

    /// Shows only these messages.
    #[must_use]
    pub const fn showing(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }
}

/// The answer to [`ReadPage`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The thread.
    pub thread: ThreadId,
    /// The messages, oldest first.
    pub messages: Vec<Message>,
    /// Whether there are more to show in the direction of the read.
    pub has_more: bool,
    /// The first open message of the thread, where there is one. Under [`Visibility::Settled`] nothing from
    /// here on is shown.
    pub first_open: Option<Seq>,
}

impl Page {
    /// Where the next page in the same direction begins; nothing when this was the last one.
    #[must_use]
    pub fn next(&self, from: PageFrom) -> Option<PageFrom> {
        if !self.has_more {
            return None;
        }
        Some(if from.is_forward() {
            PageFrom::After(self.messages.last()?.seq)
        } else {
            PageFrom::Before(self.messages.first()?.seq)
        })
    }
}

carries_parts!(Page, self => {
    let Self { thread: _, messages, has_more: _, first_open: _ } = self;
    messages
}, {
    let Self { thread: _, messages, has_more: _, first_open: _ } = self;
    messages
});

/// Lists the open messages of a thread, or of every thread of the tenant, with what is committed of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListOpen {
    /// One thread, or all of the tenant's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<ThreadId>,
    /// Only those whose lease has expired.
    #[serde(default)]
    pub expired_only: bool,
    /// Where the page before ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<OpenCursor>,
    /// How many at most: 1 to [`ReadPage::MAX_LIMIT`].
    pub limit: u32,
}

impl ListOpen {
    /// The first `limit` open messages of the tenant.
    #[must_use]
    pub const fn new(limit: u32) -> Self {
        Self { thread: None, expired_only: false, after: None, limit }
    }

    /// Of this thread only.
    #[must_use]
    pub fn in_thread(mut self, thread: ThreadId) -> Self {
        self.thread = Some(thread);
        self
    }

    /// Only those whose lease has expired.
    #[must_use]
    pub const fn expired_only(mut self) -> Self {
        self.expired_only = true;
        self
    }
}

/// A place in the list of open messages, which is ordered by thread (by the bytes of its id) and seq.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenCursor {
    /// The thread of the last message shown.
    pub thread: ThreadId,
    /// Its place.
    pub seq: Seq,
}

/// The answer to [`ListOpen`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenReservations {
    /// The open messages, by thread and seq.
    pub messages: Vec<Message>,
    /// Where the next page begins; nothing when this was the last one.
    pub next: Option<OpenCursor>,
}

carries_parts!(OpenReservations, self => {
    let Self { messages, next: _ } = self;
    messages
}, {
    let Self { messages, next: _ } = self;
    messages
});

impl CarriesContent for ReadArgs {
    fn places(&self) -> Vec<Place<'_>> {
        match self {
            Self::Get(GetMessage { thread: _, id: _ })
            | Self::Page(ReadPage { thread: _, from: _, limit: _, visibility: _ })
            | Self::OpenReservations(ListOpen { thread: _, expired_only: _, after: _, limit: _ }) => {
                Vec::new()
            }
        }
    }

    fn places_mut(&mut self) -> Vec<PlaceMut<'_>> {
        match self {
            Self::Get(GetMessage { thread: _, id: _ })
            | Self::Page(ReadPage { thread: _, from: _, limit: _, visibility: _ })
            | Self::OpenReservations(ListOpen { thread: _, expired_only: _, after: _, limit: _ }) => {
                Vec::new()
            }
        }
    }
}

impl CarriesContent for ReadResult {
    fn places(&self) -> Vec<Place<'_>> {
        match self {
            Self::Get(message) => message.iter().flat_map(CarriesContent::places).collect(),
            Self::Page(page) => page.places(),
            Self::OpenReservations(open) => open.places(),
        }
    }

    fn places_mut(&mut self) -> Vec<PlaceMut<'_>> {
        match self {
            Self::Get(message) => message.iter_mut().flat_map(CarriesContent::places_mut).collect(),
            Self::Page(page) => page.places_mut(),
            Self::OpenReservations(open) => open.places_mut(),
        }
    }
}

impl Addressed for ReadArgs {
    fn thread(&self) -> Option<&ThreadId> {
        match self {
            Self::Get(get) => Some(&get.thread),
            Self::Page(page) => Some(&page.thread),
            Self::OpenReservations(list) => list.thread.as_ref(),
        }
    }

    fn message(&self) -> Option<&MessageId> {
        match self {
            Self::Get(get) => Some(&get.id),
            Self::Page(_) | Self::OpenReservations(_) => None,
        }
    }
}

impl Addressed for ReadResult {
    fn thread(&self) -> Option<&ThreadId> {
        match self {
            Self::Get(message) => message.as_ref().map(|message| &message.thread),
            Self::Page(page) => Some(&page.thread),
            Self::OpenReservations(_) => None,
        }
    }

    fn message(&self) -> Option<&MessageId> {
        match self {
            Self::Get(message) => message.as_ref().map(|message| &message.id),
            Self::Page(_) | Self::OpenReservations(_) => None,
        }
    }
}
