use tokio::task::JoinHandle;

/// A task on the runtime of a pipeline: see [`Persistence::spawn`](crate::Persistence::spawn). A drop detaches the task.
#[derive(Debug)]
pub struct Task(JoinHandle<()>);

impl Task {
    pub(crate) const fn new(task: JoinHandle<()>) -> Self {
        Self(task)
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Cancels the task at its next `.await`.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Waits until the task has ended: by itself, with a panic, or by [`abort`](Self::abort).
    ///
    /// # Cancel safety
    /// A dropped future does not cancel the task, and a further call waits for it.
    ///
    /// # Panics
    /// If it is polled again after it has completed.
    pub async fn join(&mut self) {
        drop((&mut self.0).await);
    }
}
