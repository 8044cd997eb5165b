use super::{Persistence, ReplicaRequest};
use crate::operation::{OperationOf, ReplicaArgs};

impl Persistence {
    /// What is done about exact copies of the store, typed. It is of every tenant, whoever this handle is bound to. What a host calls
    /// to copy a store is in `mirror`; this is what that is made of.
    ///
    /// ```no_run
    /// use throughline_core::{Persistence, replication::{GetReplicationStatus, SetReplicationState}};
    ///
    /// # async fn example(db: Persistence) -> throughline_core::Result<()> {
    /// // A store that was left following, and whose leader is gone for good, takes the writes.
    /// let standing = db.read(GetReplicationStatus {}).await?;
    /// db.on_replica(SetReplicationState::new(standing.replication_state, standing.replication_state.promoted())).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// What the store answers; [`Stale`](crate::ErrorKind::Stale) where it is something else than the call says.
    pub fn on_replica<R: OperationOf<ReplicaArgs>>(&self, operation: R) -> ReplicaRequest<R> {
        ReplicaRequest::new(self.clone(), Ok(operation))
    }
}
