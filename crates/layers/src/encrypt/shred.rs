//! Destroys the key of a thread, and finds the forks that copied its messages.

use std::collections::{BTreeMap, BTreeSet};

use super::{EncryptLayer, thread_keys::ThreadKeys};
use throughline_core::{
    Effect, ErrorKind, PersistError, Persistence, Result, ThreadId,
    messages::ReadPage,
    threads::{GetThread, ListThreads},
};

/// The result of [`EncryptLayer::shred`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shredded {
    /// The threads whose keys were destroyed; the requested thread comes first.
    pub threads: Vec<ThreadId>,
    /// The forks of these threads that have their own keys: the messages that were copied into them stay readable.
    pub readable_forks: Vec<ThreadId>,
    /// The threads whose summary is damaged, so that it is unknown whether they are forks.
    pub damaged: Vec<ThreadId>,
    /// The damaged key records of all tenants, [by the names of their store](super::thread_keys::Listed::damaged).
    /// Their threads are unknown. Data under such a key stays unreadable until the host restores the record.
    pub damaged_keys: Vec<String>,
}

/// The thread that each fork of a tenant was made from, as far as the thread summaries are readable.
#[derive(Default)]
struct Origins {
    of: BTreeMap<ThreadId, ThreadId>,
    damaged: Vec<ThreadId>,
    damaged_keys: Vec<String>,
}

impl Origins {
    /// Reads the summary of one thread. A thread whose key is destroyed has no readable summary.
    async fn read(&mut self, db: &Persistence, thread: ThreadId) -> Result<()> {
        match db.read(GetThread { thread: thread.clone() }).await {
            Ok(entry) => {
                let point = entry.and_then(|entry| entry.forked_from);
                self.of.extend(point.map(|point| (thread, point.thread)));
            }
            Err(error) if error.kind() == ErrorKind::Gone => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => self.damaged.push(thread),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Returns the forks of these threads and the forks of those forks, the nearest first.
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
    /// Destroys the key of a thread of `db`'s tenant, if threads have keys: no copy of the store can be decrypted any
    /// more. Later calls that need the key fail as [`Gone`](throughline_core::ErrorKind::Gone). Other threads are not
    /// affected. The rows stay until the thread is deleted.
    ///
    /// A [fork](throughline_core::Thread::fork) is a copy under a key of its own. The answer names the forks of the
    /// thread and the forks of those forks, including hidden threads; [`shred_with_forks`](Self::shred_with_forks) also
    /// destroys their keys. The summary of a fork leads to the next fork. So the call that shreds a fork reports the
    /// forks of that fork, and no later call can find them.
    ///
    /// The layer also refuses data of the thread that is under a key of the key ring, from the time before thread keys.
    /// That data is unreadable in copies only if it was [re-encrypted](super::Rewrite) before.
    ///
    /// # Errors
    /// `Unsupported` without thread keys; the errors of the thread key store. With the effect `Applied`, the errors of
    /// the reads that search for forks: the key is then destroyed, and the caller can repeat the call.
    ///
    /// # Cost
    /// One pass through the list of the tenant's threads, and one through the thread key store, which has the keys of all
    /// tenants. Each thread that is hidden or has a damaged summary costs a read.
    ///
    /// # Cancel safety
    /// The key is destroyed or unchanged. The caller can repeat the call.
    pub async fn shred(&self, db: &Persistence, thread: &ThreadId) -> Result<Shredded> {
        let keys = self.thread_keys()?;
        keys.destroy(db.tenant(), thread).await?;
        // The search comes second: a fork is created before it reads the messages, and those reads fail from now on.
        let threads = vec![thread.clone()];
        let origins = self.origins(db).await.map_err(half_done)?;
        let readable_forks = origins.forks_of(&threads);
        let Origins { damaged, damaged_keys, .. } = origins;
        Ok(Shredded { threads, readable_forks, damaged, damaged_keys })
    }

    /// Destroys the key of a thread as [`shred`](Self::shred) does, and the keys of all its forks and their forks. This
    /// includes the messages that were added to the forks later.
    ///
    /// # Errors
    /// The errors of [`shred`](Self::shred).
    ///
    /// # Cost
    /// The cost of [`shred`](Self::shred) for each round of forks and once more, so twice it when no fork is created
    /// meanwhile.
    ///
    /// # Cancel safety
    /// Each key is destroyed or unchanged. The key of the thread comes first, and the key of a fork comes after the
    /// keys of its forks. The caller can repeat a dropped or failed call, which then finds the remaining forks.
    pub async fn shred_with_forks(&self, db: &Persistence, thread: &ThreadId) -> Result<Shredded> {
        let keys = self.thread_keys()?;
        keys.destroy(db.tenant(), thread).await?;
        let mut threads = vec![thread.clone()];
        loop {
            // Includes the forks that were created meanwhile.
            let origins = self.origins(db).await.map_err(half_done)?;
            let forks = origins.forks_of(&threads);
            if forks.is_empty() {
                let Origins { damaged, damaged_keys, .. } = origins;
                return Ok(Shredded { threads, readable_forks: Vec::new(), damaged, damaged_keys });
            }
            for fork in forks.into_iter().rev() {
                keys.destroy(db.tenant(), &fork).await.map_err(half_done)?;
                threads.push(fork);
            }
        }
    }

    fn thread_keys(&self) -> Result<&dyn ThreadKeys> {
        match &self.key_provider().threads {
            Some(keys) => Ok(&**keys),
            None => Err(PersistError::unsupported("to shred a thread without keys of threads")),
        }
    }

    /// Reads the origin of the listed threads and of the threads with a key.
    async fn origins(&self, db: &Persistence) -> Result<Origins> {
        let (mut origins, mut seen) = (Origins::default(), BTreeSet::new());
        let mut list = Some(ListThreads::new(ReadPage::MAX_LIMIT).archived_too());
        while let Some(read) = list.take() {
            let page = db.read(read.clone()).await?;
            for entry in page.threads {
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
            origins.damaged_keys.extend(listed.damaged);
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

/// Adds that the key is already destroyed.
fn half_done(error: PersistError) -> PersistError {
    error
        .context("the key of the thread is destroyed, and its forks are not all known")
        .with_effect(Effect::Applied)
}
