use super::{ConsumerRequest, Persistence};
use crate::operation::{ConsumerArgs, OperationOf};

impl Persistence {
    /// What a consumer of the changes keeps in the store, typed. The runner of `throughline-effects` does it by itself;
    /// a host does it to look after one.
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
    /// What the store answers; [`Stale`](crate::ErrorKind::Stale) to a cursor that is elsewhere.
    pub fn on_consumer<C: OperationOf<ConsumerArgs>>(&self, operation: C) -> ConsumerRequest<C> {
        ConsumerRequest::new(self.clone(), Ok(operation))
    }
}
