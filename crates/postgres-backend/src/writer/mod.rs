//! The writers: tasks that each own a connection, take waiting writes, and commit them together.
//!
//! The writer of a thread receives all its writes, so that they are applied in arrival order. Advisory locks
//! coordinate the writers of all processes. The tasks own the connections: a caller that drops its future cannot
//! leave a connection in the middle of a transaction.

mod attempt;
mod decide;
mod held;
mod link;
mod locks;
mod optimistic;
mod outcome;
mod worker;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Mutex, PoisonError},
};

use throughline_core::{
    Effect, ErrorKind, PersistArgs, PersistError, Result,
    backend::{QueueCapacity, closed},
    changes::CommitNotifier,
};
use tokio::{sync::mpsc, task::JoinHandle};

use self::worker::Worker;
pub(crate) use self::{
    link::{Link, in_time},
    locks::Locks,
};
use crate::{
    engine::Engine,
    options::Settings,
    queue::{Pending, Write},
};

/// The handle to the writers.
#[derive(Debug)]
pub(crate) struct Writers {
    pub(crate) admission: QueueCapacity,
    /// Empty after the store was closed.
    shards: Mutex<Vec<mpsc::UnboundedSender<Pending>>>,
    tasks: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
}

impl Writers {
    /// Starts the writers; each connects at its first write.
    pub(crate) fn start(settings: &Settings, commits: &CommitNotifier, engine: &Engine) -> Self {
        let admission = QueueCapacity::new(settings.options.queue_operations, settings.options.queue_bytes);
        let (mut shards, mut tasks) = (Vec::new(), Vec::new());
        // The last writer runs replication operations, so that no other write waits for them.
        for _ in 0..=settings.options.writers {
            let (sender, receiver) = mpsc::unbounded_channel();
            let worker = Worker::new(settings.clone(), receiver, commits.clone());
            let keep_alive = engine.keep_alive();
            tasks.push(engine.handle().spawn(async move {
                worker.run().await;
                drop(keep_alive);
            }));
            shards.push(sender);
        }
        Self { admission, shards: Mutex::new(shards), tasks: tokio::sync::Mutex::new(tasks) }
    }

    /// Passes a write to the writer of its thread.
    pub(crate) fn push(&self, pending: Pending) {
        // No code panics while it holds the lock.
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(shard) = shards.get(shard_of(&pending.write, shards.len())) else {
            drop(shards);
            return pending.answer(Err(closed()));
        };
        if let Err(mpsc::error::SendError(pending)) = shard.send(pending) {
            let error = PersistError::new(ErrorKind::Unavailable, "the writer of the store was lost");
            pending.answer(Err(error.with_effect(Effect::NotApplied)));
        }
    }

    /// Applies the admitted writes, and ends.
    pub(crate) async fn close(&self) -> Result<()> {
        self.admission.close();
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut tasks = self.tasks.lock().await;
        for task in tasks.iter_mut() {
            if task.await.is_err() {
                tasks.clear();
                return Err(PersistError::new(ErrorKind::Internal, "a writer of the store was lost")
                    .with_effect(Effect::Unknown));
            }
        }
        tasks.clear();
        Ok(())
    }
}

/// Returns the index of a write's writer; any number if there are none.
fn shard_of(write: &Write, shards: usize) -> usize {
    let writers = shards.saturating_sub(1);
    if matches!(write.args, PersistArgs::Replica(_)) {
        return writers;
    }
    let mut hasher = DefaultHasher::new();
    write.tenant.hash(&mut hasher);
    match &write.args {
        PersistArgs::Consumer(args) => args.consumer().hash(&mut hasher),
        args => args.key_scope().hash(&mut hasher),
    }
    let shards = u64::try_from(writers).unwrap_or(1).max(1);
    usize::try_from(hasher.finish() % shards).unwrap_or_default()
}
