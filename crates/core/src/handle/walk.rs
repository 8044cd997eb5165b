use std::{collections::VecDeque, fmt};

use super::Persistence;
use crate::{
    Message, OpKind, Result, Seq, ThreadId,
    operation::{DamagedMessage, PageFrom, ReadPage, Visibility},
};

/// An iteration over the messages of a thread, forward or backward: see [`Thread::walk`](super::Thread::walk).
///
/// The walk reads pages of 100 messages, and returns each message as of the read of its page. A forward walk also returns
/// messages that are added in the meantime; a backward walk does not. No message is returned twice, and no message that exists
/// during the whole walk is missed. A damaged message is returned as an error in its position, and the walk continues after it.
///
/// ```no_run
/// use throughline_core::{Persistence, messages::{PageFrom, Visibility}};
///
/// # async fn example(db: Persistence) -> throughline_core::Result<()> {
/// let mut history = db.thread("telegram:42").walk(PageFrom::Start, Visibility::Final);
/// while let Some(message) = history.next().await? {
///     println!("{}: {}", message.role, message.content.as_json());
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is read before `next`"]
pub struct Walk {
    db: Persistence,
    /// The next page to read. `None` at the end.
    next: Result<Option<ReadPage>>,
    page: VecDeque<std::result::Result<Message, DamagedMessage>>,
}

/// The number of messages in one read.
const PAGE: u32 = 100;

impl Walk {
    pub(super) fn new(
        db: Persistence,
        thread: Result<ThreadId>,
        from: PageFrom,
        visibility: Visibility,
    ) -> Self {
        let next = thread.map(|thread| Some(ReadPage::new(thread, from, PAGE).showing(visibility)));
        Self { db, next, page: VecDeque::new() }
    }

    /// Returns the next message. Returns `None` at the end, and in every later call.
    ///
    /// # Errors
    /// The error of the read of a page. The next call reads that page again.
    ///
    /// [`Corrupt`](crate::ErrorKind::Corrupt) for a damaged message; the error names the message. The next call returns the
    /// message after it.
    ///
    /// # Cancel safety
    /// If the future is dropped before it returns, the walk has not advanced.
    pub async fn next(&mut self) -> Result<Option<Message>> {
        while self.page.is_empty() {
            let Some(read) = self.next.clone()? else { return Ok(None) };
            let page = self.db.read(read.clone()).await?;
            self.next = Ok(page.next(read.from).map(|from| ReadPage { from, ..read.clone() }));
            let damaged = page.damaged.into_iter().map(Err);
            self.page = page.messages.into_iter().map(Ok).chain(damaged).collect();
            let page = self.page.make_contiguous();
            page.sort_by_key(seq_of);
            if !read.from.is_forward() {
                page.reverse();
            }
        }
        self.page.pop_front().transpose().map_err(|damaged| damaged.to_error().at_the_edge(OpKind::Read))
    }
}

/// Returns the sequence number that a page is sorted by. A damaged message without a `seq` comes first.
fn seq_of(found: &std::result::Result<Message, DamagedMessage>) -> Option<Seq> {
    found.as_ref().map_or_else(|damaged| damaged.seq, |message| Some(message.seq))
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("next", &self.next)
            .field("buffered", &self.page.len())
            .finish_non_exhaustive()
    }
}
