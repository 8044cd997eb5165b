use tokio::task::JoinHandle;

/// A task on the runtime of a pipeline: see [`Persistence::spawn`](crate::Persistence::spawn). Dropped, the task runs on.
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

    /// Ends the task at its next `.await`.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Waits until the task has ended, by itself, by a panic or by [`abort`](Self::abort).
    ///
    /// # Cancel safety
    /// The task runs on, and a further call waits for it.
    ///
    /// # Panics
    /// When it is polled again after it has answered.
    pub async fn join(&mut self) {
        drop((&mut self.0).await);
    }
}
