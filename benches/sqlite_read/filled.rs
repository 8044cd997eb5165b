use tempfile::TempDir;
use throughline::{MessageId, Persistence, Seq, Thread, messages::PageFrom, sqlite::SqliteBackend};

use crate::{Failure, PAGE, prefill::prefill, raw::Raw, stack};

/// Messages that are read by their ids. A prime, so that they stand in no step with the pages of the file.
const PICKED: usize = 997;

/// A store with a thread of some length, and the driver by itself over the same file.
pub(crate) struct Filled {
    pub(crate) messages: usize,
    pub(crate) db: Persistence,
    pub(crate) thread: Thread,
    pub(crate) raw: Raw,
    /// From everywhere in the thread, in no order.
    pub(crate) picked: Vec<MessageId>,
}

impl Filled {
    pub(crate) async fn open(folder: &TempDir, messages: usize) -> Result<Self, Failure> {
        let path = folder.path().join(format!("filled{messages}.db"));
        let db = stack::over(SqliteBackend::open(&path).await?)?;
        let thread = db.thread("filled");
        prefill(&db, thread.id()?, messages).await?;
        let mut picked = Vec::with_capacity(PICKED);
        for n in 0..PICKED {
            // Steps of a golden section go everywhere and never come back.
            let part = (n as f64 * 0.618_033_988_75).fract();
            let before = Seq::new((part * messages as f64) as u64);
            let page = thread.page(PageFrom::After(before), 1).await?;
            picked.extend(page.messages.into_iter().map(|message| message.id));
        }
        Ok(Self { messages, raw: Raw::open(&path).await?, db, thread, picked })
    }

    /// Reads a page, and checks that it is a full one.
    pub(crate) async fn page(&self, from: PageFrom) -> Result<(), Failure> {
        let page = self.thread.page(from, PAGE).await?;
        if page.messages.len() == PAGE as usize { Ok(()) } else { Err("a page is not full".into()) }
    }

    /// Somewhere in the thread, another place for each `n`, with a full page after it.
    pub(crate) fn somewhere(&self, n: usize) -> u64 {
        let places = self.messages - PAGE as usize;
        ((n as f64 * 0.618_033_988_75).fract() * places as f64) as u64
    }
}
