use std::{collections::VecDeque, fmt};

use super::Persistence;
use crate::{
    Message, OpKind, Result, Seq, ThreadId,
    operation::{DamagedMessage, PageFrom, ReadPage, Visibility},
};

/// The messages of a thread one after the other, in the direction that the walk began in; read a page at a time.
///
/// It reads 100 messages at once, and shows each as it was when its page was read. A walk to the end of the thread meets what
/// is added while it goes; one back to the beginning does not. No message is met twice, and none that is there all the
/// time is missed. One that is damaged is met as an error at its place, and the walk goes on behind it. See [`Thread::walk`](super::Thread::walk).
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
    /// The page to read when the one at hand is used up; nothing at the end.
    next: Result<Option<ReadPage>>,
    page: VecDeque<std::result::Result<Message, DamagedMessage>>,
}

/// How many messages are read at once.
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

    /// The next message; nothing at the end, and nothing again after it.
    ///
    /// # Errors
    /// What the read of a page answers. The walk stays where it is: called again, it reads that page again.
    ///
    /// [`Corrupt`](crate::ErrorKind::Corrupt), naming a message that is damaged. Called again, it answers what comes behind that
    /// one.
    ///
    /// # Cancel safety
    /// Dropped before it answers, it has not moved.
    pub async fn next(&mut self) -> Result<Option<Message>> {
        while self.page.is_empty() {
            let Some(read) = self.next.clone()? else { return Ok(None) };
            let page = self.db.read(read.clone()).await?;
            self.next = Ok(page.next(read.from).map(|from| ReadPage { from, ..read.clone() }));
            let damaged = page.damaged.into_iter().map(Err);
            self.page = page.messages.into_iter().map(Ok).chain(damaged).collect();
            let page = self.page.make_contiguous();
            page.sort_by_key(place);
            if !read.from.is_forward() {
                page.reverse();
            }
        }
        self.page.pop_front().transpose().map_err(|damaged| damaged.to_error().at_the_edge(OpKind::Read))
    }
}

/// Where it is met; what has no place comes first.
fn place(met: &std::result::Result<Message, DamagedMessage>) -> Option<Seq> {
    met.as_ref().map_or_else(|damaged| damaged.seq, |message| Some(message.seq))
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("next", &self.next)
            .field("at_hand", &self.page.len())
            .finish_non_exhaustive()
    }
}
