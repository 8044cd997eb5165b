use super::{Persistence, ReplicaRequest};
use crate::operation::{OperationOf, ReplicaArgs};

impl Persistence {
    /// Runs an operation on the replication of the store. The operation covers all tenants, whichever tenant this handle has. To
    /// copy a store, a host uses the crate `throughline-mirror`, which calls these operations.
    ///
    /// ```no_run
    /// use throughline_core::{Persistence, replication::{GetReplicationStatus, SetReplicationState}};
    ///
    /// # async fn example(db: Persistence) -> throughline_core::Result<()> {
    /// // The primary of this replica is lost: the replica becomes the primary.
    /// let state = db.read(GetReplicationStatus {}).await?.replication_state;
    /// db.on_replica(SetReplicationState::new(state, state.promoted())).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Stale`](crate::ErrorKind::Stale) if the store is not in the state that the call expects. Otherwise the error of the
    /// store.
    pub fn on_replica<R: OperationOf<ReplicaArgs>>(&self, operation: R) -> ReplicaRequest<R> {
        ReplicaRequest::new(self.clone(), Ok(operation))
    }
}
