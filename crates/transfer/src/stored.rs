//! Reads the threads of a store for an export.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use throughline_core::{
    ErrorKind, Message, MessageId, Persistence, ThreadId, Timestamp,
    messages::{ListAliases, Origin, PageFrom, ReadPage, Visibility, Walk},
    threads::{ListThreads, ThreadSummary},
};

use crate::TransferError;

/// The number of threads in a page of the list.
const PAGE: u32 = 200;
/// The most reads of the list, while threads become active meanwhile.
const PASSES: usize = 8;

/// Returns every listed thread, the oldest first, and the threads whose summaries are damaged. It returns ids only, because the
/// summaries of a large store do not fit into memory.
pub(crate) async fn every_thread(
    db: &Persistence,
) -> Result<(Vec<ThreadId>, BTreeSet<ThreadId>), TransferError> {
    // A thread that becomes active meanwhile moves to the front, before the current page. The next pass finds it.
    let (mut created, mut damaged) = (BTreeMap::new(), BTreeSet::new());
    for _ in 0..PASSES {
        let known = created.len();
        let mut list = ListThreads::new(PAGE).archived_too();
        loop {
            let page = db.threads(list.clone()).await?;
            damaged.extend(page.damaged);
            created.extend(page.threads.into_iter().map(|entry| (entry.thread, entry.created_at)));
            match page.next {
                Some(next) => list.after = Some(next),
                None => break,
            }
        }
        // A page is a consistent snapshot, so a list of one page is complete.
        if list.after.is_none() || created.len() == known {
            break;
        }
    }
    let mut threads: Vec<(ThreadId, Timestamp)> = created.into_iter().collect();
    threads.sort_by_key(|(_, created_at)| *created_at);
    Ok((threads.into_iter().map(|(thread, _)| thread).collect(), damaged))
}

/// Returns the provider aliases of each message of a thread, in the order of the store.
pub(crate) async fn aliases(
    db: &Persistence,
    thread: &ThreadId,
) -> Result<HashMap<MessageId, Vec<Origin>>, TransferError> {
    let mut names: HashMap<MessageId, Vec<Origin>> = HashMap::new();
    let mut list = ListAliases::new(thread.clone(), ReadPage::MAX_LIMIT);
    loop {
        let page = match db.read(list.clone()).await {
            Ok(page) => page,
            // A store may support no aliases.
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(names),
            Err(error) => return Err(error.into()),
        };
        for alias in page.aliases {
            names.entry(alias.message).or_default().push(alias.origin);
        }
        match page.next {
            Some(next) => list.after = Some(next),
            None => return Ok(names),
        }
    }
}

/// Returns the state of a thread, before and after its messages were read; `None` if it was deleted meanwhile. The pages belong to
/// one conversation only if its generation is still the same.
pub(crate) async fn summary(
    db: &Persistence,
    thread: &ThreadId,
) -> Result<Option<ThreadSummary>, TransferError> {
    match db.thread(thread.clone()).summary().await {
        Err(error) if error.kind() == ErrorKind::Gone => Ok(None),
        entry => Ok(entry?),
    }
}

/// The messages of a thread, from the first on.
pub(crate) struct Messages<'a> {
    walk: Walk,
    thread: &'a ThreadId,
}

impl<'a> Messages<'a> {
    pub(crate) fn of(db: &Persistence, thread: &'a ThreadId) -> Self {
        Self { walk: db.thread(thread.clone()).walk(PageFrom::Start, Visibility::All), thread }
    }

    /// Returns the next message; the text of the error if the thread is damaged.
    pub(crate) async fn next(&mut self) -> Result<Result<Option<Message>, String>, TransferError> {
        match self.walk.next().await {
            Ok(message) => Ok(Ok(message)),
            Err(error) if error.kind() == ErrorKind::Corrupt && error.thread() == Some(self.thread) => {
                Ok(Err(error.to_string()))
            }
            Err(error) => Err(error.into()),
        }
    }
}
