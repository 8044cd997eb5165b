use tempfile::TempDir;
use throughline::{MessageId, Persistence, Seq, Thread, messages::PageFrom, sqlite::SqliteBackend};

use crate::{Failure, PAGE, prefill::prefill, raw::Raw, stack};

/// The number of messages that are read by id. A prime number, so that they do not align with the pages of the file.
const PICKED: usize = 997;

/// A store that contains one thread of a given length, with a driver connection to the same file.
pub(crate) struct FilledStore {
    pub(crate) messages: usize,
    pub(crate) db: Persistence,
    pub(crate) thread: Thread,
    pub(crate) raw: Raw,
    /// Ids from the whole thread, in a scattered order.
    pub(crate) picked: Vec<MessageId>,
}

impl FilledStore {
    pub(crate) async fn open(folder: &TempDir, messages: usize) -> Result<Self, Failure> {
        let path = folder.path().join(format!("filled{messages}.db"));
        let db = stack::over(SqliteBackend::open(&path).await?)?;
        let thread = db.thread("filled");
        prefill(&db, thread.id()?, messages).await?;
        let mut picked = Vec::with_capacity(PICKED);
        for n in 0..PICKED {
            // Multiples of the golden ratio spread evenly over the thread and never repeat.
            let part = (n as f64 * 0.618_033_988_75).fract();
            let before = Seq::new((part * messages as f64) as u64);
            let page = thread.page(PageFrom::After(before), 1).await?;
            picked.extend(page.messages.into_iter().map(|message| message.id));
        }
        Ok(Self { messages, raw: Raw::open(&path).await?, db, thread, picked })
    }

    /// Reads a page, and checks that it is full.
    pub(crate) async fn page(&self, from: PageFrom) -> Result<(), Failure> {
        let page = self.thread.page(from, PAGE).await?;
        if page.messages.len() == PAGE as usize { Ok(()) } else { Err("a page is not full".into()) }
    }

    /// Returns a different sequence number for each `n`, with a full page after it.
    pub(crate) fn scattered_seq(&self, n: usize) -> u64 {
        let range = self.messages - PAGE as usize;
        ((n as f64 * 0.618_033_988_75).fract() * range as f64) as u64
    }
}
