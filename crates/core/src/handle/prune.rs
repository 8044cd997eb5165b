//! What takes several short operations: pruning and purging.

use super::{Persistence, ReadRequest, Thread};
use crate::{
    ErrorKind, OpKind, Result, ThreadId,
    id::AttachmentKey,
    operation::{ListPurgeable, PlanPrune, PruneThread, Pruned, PurgeThread, Purged},
    thread::Keep,
};

/// How many messages one operation takes away.
const STEP: u32 = 500;

impl Thread {
    /// Finds out what [`prune`](Self::prune) would take away, and takes nothing.
    pub fn plan_prune(&self, keep: Keep) -> ReadRequest<PlanPrune> {
        ReadRequest::new(self.persistence().clone(), self.with_id(|thread| PlanPrune { thread, keep }))
    }

    /// Takes the oldest messages away, so that the thread keeps no more than `keep`; never beyond the first open message.
    /// The answer sums up what was taken away.
    ///
    /// # Errors
    /// What the plan or one of the steps answers; what the steps before it took away is gone. `Stale` when the thread is
    /// cleared meanwhile.
    ///
    /// # Cancel safety
    /// Dropping it stops between two steps of 500 messages each. Begun again, it goes on.
    pub async fn prune(&self, keep: Keep) -> Result<Pruned> {
        let plan = self.plan_prune(keep).await?;
        let thread = plan.thread;
        let mut sum = Pruned {
            thread: thread.clone(),
            messages: 0,
            bytes: 0,
            attachments: Vec::new(),
            more: false,
            deduplicated: false,
        };
        let Some(through) = plan.through else { return Ok(sum) };
        loop {
            let step =
                PruneThread { thread: thread.clone(), through, generation: plan.generation, limit: STEP };
            let pruned = self.persistence().on_thread(step).await?;
            sum.messages += pruned.messages;
            sum.bytes += pruned.bytes;
            sum.attachments.extend(pruned.attachments);
            if !pruned.more {
                return Ok(sum);
            }
        }
    }

    /// Frees what the thread takes up for messages that are gone since it was cleared or deleted. Answers the attachments
    /// that they had.
    ///
    /// # Errors
    /// What one of the steps answers.
    ///
    /// # Cancel safety
    /// Dropping it stops between two steps of 500 messages each. Begun again, it goes on.
    pub async fn purge(&self) -> Result<Vec<AttachmentKey>> {
        let thread = self.id_to_write(OpKind::Thread).await?;
        self.persistence().purge_thread(&thread).await
    }
}

impl Persistence {
    async fn purge_thread(&self, thread: &ThreadId) -> Result<Vec<AttachmentKey>> {
        let mut attachments = Vec::new();
        loop {
            let step = PurgeThread { thread: thread.clone(), limit: STEP };
            let Purged { attachments: freed, more, .. } = self.on_thread(step).await?;
            attachments.extend(freed);
            if !more {
                return Ok(attachments);
            }
        }
    }

    /// Frees what the threads of the tenant take up for messages that are gone since they were cleared or deleted. Safe to
    /// run at any time, in any number of processes. Answers the attachments that they had, by thread.
    ///
    /// # Errors
    /// What reading the list answers, at once; what the first step that failed answers, when the other threads are done.
    ///
    /// # Cancel safety
    /// Dropping it stops between two steps of 500 messages each. Begun again, it goes on.
    pub async fn purge(&self) -> Result<Vec<(ThreadId, AttachmentKey)>> {
        let (mut attachments, mut after, mut failed) = (Vec::new(), None, None);
        loop {
            let list = self.read(ListPurgeable { after, limit: STEP }).await?;
            let Some(last) = list.threads.last().cloned() else {
                return failed.map_or(Ok(attachments), Err);
            };
            after = Some(last);
            for thread in list.threads {
                match self.purge_thread(&thread).await {
                    Ok(freed) => attachments.extend(freed.into_iter().map(|key| (thread.clone(), key))),
                    // Another process has freed it.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    // One that cannot be purged hinders no other.
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
    }
}
