//! Destroys the keys of a thread, and finds the forks that copied its messages.

use std::collections::{BTreeMap, BTreeSet};

use super::{EncryptLayer, thread_keys::ThreadKeys};
use throughline_core::{
    Effect, ErrorKind, PersistError, Persistence, Result, ThreadId,
    messages::ReadPage,
    threads::{GetThread, ListThreads},
};

/// What [`EncryptLayer::shred`] has done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shredded {
    /// The threads whose keys were destroyed, the one that was asked for first.
    pub threads: Vec<ThreadId>,
    /// The forks of these that have keys of their own: what was copied into them stays readable.
    pub readable_forks: Vec<ThreadId>,
    /// The threads whose entry is damaged: nothing says whether they are forks.
    pub unread: Vec<ThreadId>,
    /// The damaged records of the store of keys, of all tenants, [as it names them](super::thread_keys::Listed::damaged): nothing says which
    /// thread they are of. What is under such a key cannot be read while its record is not restored.
    pub unread_keys: Vec<String>,
}

/// What each fork of a tenant is a fork of, as far as entries can be read.
#[derive(Default)]
struct Origins {
    of: BTreeMap<ThreadId, ThreadId>,
    unread: Vec<ThreadId>,
    unread_keys: Vec<String>,
}

impl Origins {
    /// Reads the entry of one thread. Of one whose key is destroyed nothing is to be found.
    async fn read(&mut self, db: &Persistence, thread: ThreadId) -> Result<()> {
        match db.read(GetThread { thread: thread.clone() }).await {
            Ok(entry) => {
                let point = entry.and_then(|entry| entry.forked_from);
                self.of.extend(point.map(|point| (thread, point.thread)));
            }
            Err(error) if error.kind() == ErrorKind::Gone => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => self.unread.push(thread),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The threads that branched off from one of these or from another fork: the nearest first.
    fn forks_of(&self, threads: &[ThreadId]) -> Vec<ThreadId> {
        let (mut found, mut known) = (Vec::new(), threads.iter().cloned().collect::<BTreeSet<_>>());
        loop {
            let is_next = |(thread, origin): &(&ThreadId, &ThreadId)| {
                known.contains(*origin) && !known.contains(*thread)
            };
            let next: Vec<ThreadId> =
                self.of.iter().filter(is_next).map(|(thread, _)| thread.clone()).collect();
            if next.is_empty() {
                return found;
            }
            known.extend(next.iter().cloned());
            found.extend(next);
        }
    }
}

impl EncryptLayer {
    /// Destroys the key of a thread of the tenant of `db`, where threads have keys: nothing of it can be read any more, in no copy
    /// of the store. Every call that needs it is answered [`Gone`](throughline_core::ErrorKind::Gone) from then on, and other threads are as
    /// before. The rows stay until the thread is deleted.
    ///
    /// A [fork](throughline_core::Thread::fork) is a copy under a key of its own. The answer names the forks of the thread, and the forks of
    /// those, also the ones that no list shows; [`shred_with_forks`](Self::shred_with_forks) destroys their keys too. A fork of a
    /// fork is found by the entry of the one between: it is named by the call that shreds that one, and no later call finds it.
    ///
    /// What the thread has under a key of the ring, from a time without keys of threads, is refused too, and is out of reach
    /// only once it was [written again](super::Rewrite) before.
    ///
    /// # Errors
    /// `Unsupported` where threads have no keys; what the store of keys answers. With the effect `Applied`, what a read answers
    /// that looks for forks: the key is destroyed then, and the same call can be made again.
    ///
    /// # Cost
    /// One pass over the list of the tenant's threads, and one over the store of keys, which has those of all tenants. The entry of each
    /// thread that no list shows, or whose entry is damaged, is read by itself.
    ///
    /// # Cancel safety
    /// The key is destroyed or is not. The same call can be made again.
    pub async fn shred(&self, db: &Persistence, thread: &ThreadId) -> Result<Shredded> {
        let keys = self.thread_keys()?;
        keys.destroy(db.tenant(), thread).await?;
        // Looked for afterwards: a fork has its thread before it reads what it copies, and from now on it reads nothing.
        let threads = vec![thread.clone()];
        let origins = self.origins(db).await.map_err(half_done)?;
        let readable_forks = origins.forks_of(&threads);
        let Origins { unread, unread_keys, .. } = origins;
        Ok(Shredded { threads, readable_forks, unread, unread_keys })
    }

    /// Destroys the key of a thread as [`shred`](Self::shred) does, and those of its forks and of their forks: everything that was
    /// copied from it, with what was said in the forks since.
    ///
    /// # Errors
    /// As of [`shred`](Self::shred).
    ///
    /// # Cost
    /// That of [`shred`](Self::shred) once more after each round of forks, and so twice where no fork is begun meanwhile.
    ///
    /// # Cancel safety
    /// Each key is destroyed or is not: that of the thread first, and that of a fork after those of its forks. A call that was
    /// dropped or failed can be made again, and finds the others.
    pub async fn shred_with_forks(&self, db: &Persistence, thread: &ThreadId) -> Result<Shredded> {
        let keys = self.thread_keys()?;
        keys.destroy(db.tenant(), thread).await?;
        let mut threads = vec![thread.clone()];
        loop {
            // Also those that were begun of a fork meanwhile.
            let origins = self.origins(db).await.map_err(half_done)?;
            let forks = origins.forks_of(&threads);
            if forks.is_empty() {
                let Origins { unread, unread_keys, .. } = origins;
                return Ok(Shredded { threads, readable_forks: Vec::new(), unread, unread_keys });
            }
            for fork in forks.into_iter().rev() {
                keys.destroy(db.tenant(), &fork).await.map_err(half_done)?;
                threads.push(fork);
            }
        }
    }

    fn thread_keys(&self) -> Result<&dyn ThreadKeys> {
        match &self.cabinet().threads {
            Some(keys) => Ok(&**keys),
            None => Err(PersistError::unsupported("to shred a thread without keys of threads")),
        }
    }

    /// Of the threads that lists show, and of those that have a key.
    async fn origins(&self, db: &Persistence) -> Result<Origins> {
        let (mut origins, mut seen) = (Origins::default(), BTreeSet::new());
        let mut list = Some(ListThreads::new(ReadPage::MAX_LIMIT).archived_too());
        while let Some(read) = list.take() {
            let page = db.read(read.clone()).await?;
            for entry in page.entries {
                origins.of.extend(entry.forked_from.map(|point| (entry.thread.clone(), point.thread)));
                seen.insert(entry.thread);
            }
            for thread in page.damaged {
                if seen.insert(thread.clone()) {
                    origins.read(db, thread).await?;
                }
            }
            list = page.next.map(|next| ListThreads { after: Some(next), ..read });
        }
        let (keys, mut after) = (self.thread_keys()?, None);
        loop {
            let listed = keys.list(after.as_ref(), ReadPage::MAX_LIMIT as usize).await?;
            origins.unread_keys.extend(listed.damaged);
            let Some((last, _)) = listed.keys.last() else { return Ok(origins) };
            after = Some(last.clone());
            for ((tenant, thread), _) in listed.keys {
                if tenant == *db.tenant() && seen.insert(thread.clone()) {
                    origins.read(db, thread).await?;
                }
            }
        }
    }
}

/// A key is destroyed already.
fn half_done(error: PersistError) -> PersistError {
    error
        .context("the key of the thread is destroyed, and its forks are not all known")
        .with_effect(Effect::Applied)
}
