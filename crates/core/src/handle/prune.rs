//! Prunes and purges: each runs several short operations.

use super::{Persistence, ReadRequest, Thread};
use crate::{
    ErrorKind, OpKind, Result, ThreadId,
    id::AttachmentKey,
    operation::{ListPurgeable, PlanPrune, PruneThread, Pruned, PurgeThread, Purged},
    thread::Keep,
};

/// The number of messages that one operation deletes.
const STEP: u32 = 500;

impl Thread {
    /// Computes the messages that [`prune`](Self::prune) would delete, and deletes none.
    pub fn plan_prune(&self, keep: Keep) -> ReadRequest<PlanPrune> {
        ReadRequest::new(self.persistence().clone(), self.with_id(|thread| PlanPrune { thread, keep }))
    }

    /// Deletes the oldest messages, so that the thread has no more than `keep`. It stops before the first open message.
    /// The answer has the sums of all deleted messages.
    ///
    /// # Errors
    /// `Stale` if another caller clears the thread in the meantime. Otherwise the error of the plan or of a step. The
    /// deletions of earlier steps stay.
    ///
    /// # Cancel safety
    /// Each step deletes 500 messages. A dropped future stops after the current step, and the next call continues.
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

    /// Frees the space of messages that a clear or a deletion of the thread removed. Returns the attachments of these
    /// messages.
    ///
    /// # Errors
    /// The error of a step.
    ///
    /// # Cancel safety
    /// Each step frees 500 messages. A dropped future stops after the current step, and the next call continues.
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

    /// Purges every thread of the tenant: frees the space of messages that a clear or a deletion of a thread removed. It
    /// can run at any time, in any number of processes. Returns the attachments of these messages, with their threads.
    ///
    /// # Errors
    /// The error of the list, at once. If a step fails, the method continues with the other threads and then returns the
    /// first error.
    ///
    /// # Cancel safety
    /// Each step frees 500 messages. A dropped future stops after the current step, and the next call continues.
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
                    // Another process has purged the thread.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    // The error of one thread does not stop the others.
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
    }
}
