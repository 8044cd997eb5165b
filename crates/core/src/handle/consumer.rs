use super::{ConsumerRequest, Persistence};
use crate::operation::{ConsumerArgs, OperationOf};

impl Persistence {
    /// Runs an operation on the records that the store keeps for a consumer: its cursor and its quarantine. The runner of
    /// `throughline-effects` calls these operations itself. A host calls them to inspect and repair a consumer.
    ///
    /// ```no_run
    /// use throughline_core::{
    ///     Persistence,
    ///     changes::{ListQuarantined, ReleaseChange},
    ///     ids::ConsumerName,
    /// };
    ///
    /// # async fn example(db: Persistence) -> throughline_core::Result<()> {
    /// let consumer: ConsumerName = "search".parse().expect("a valid name");
    /// let skipped = db.read(ListQuarantined::new(consumer.clone(), 100)).await?;
    /// for change in skipped.changes {
    ///     println!("{} in {}: {}", change.position, change.thread, change.why);
    ///     db.on_consumer(ReleaseChange { consumer: consumer.clone(), position: change.position }).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Stale`](crate::ErrorKind::Stale) if the cursor is not at the expected position. Otherwise the error of the store.
    pub fn on_consumer<C: OperationOf<ConsumerArgs>>(&self, operation: C) -> ConsumerRequest<C> {
        ConsumerRequest::new(self.clone(), Ok(operation))
    }
}
