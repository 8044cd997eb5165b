use std::{fmt, sync::Arc};

use tokio::{sync::RwLockReadGuard, time::timeout_at};

use super::Shared;
use crate::link::replication_status;
use throughline_core::{
    Admitted, Backend, Capabilities, Context, Durability, Effect, ErrorKind, OpKind, Operation, PersistArgs,
    PersistError, PersistResponse, ReadArgs, Reply, Result, audit::RejectedCallRecords,
    backend::forward_operations, changes::CommitNotifications, redirect::Upstream, replication::ReplicaArgs,
};

/// The backend of a [`Switch`](super::Switch), which forwards every call to the primary.
///
/// It claims the operations and guarantees that both stores claim, and does not support replication itself. Positions of the
/// change feed are the same in both stores.
pub struct SwitchBackend {
    shared: Arc<Shared>,
    claims: Capabilities,
}

impl SwitchBackend {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let claims =
            common(shared.stores[0].describe().capabilities(), shared.stores[1].describe().capabilities());
        let backend = Self { shared, claims };
        backend.forward_notifications();
        backend
    }

    /// Forwards the commit notifications of both stores.
    fn forward_notifications(&self) {
        for store in &self.shared.stores {
            let Some(mut commits) = store.commit_notifications() else { continue };
            let shared = Arc::downgrade(&self.shared);
            drop(store.spawn(async move {
                while let Some(position) = commits.changed().await {
                    let Some(shared) = shared.upgrade() else { return };
                    if position > shared.commits.latest() {
                        shared.commits.notify(position);
                    } else {
                        // The other store had a higher position. Wake readers, so that they read the new primary.
                        shared.commits.wake();
                    }
                }
            }));
        }
    }

    async fn forward<O: Operation>(&self, call: Admitted<'_, O>) -> Result<Reply<O>> {
        let (op, context, _) = call.into_parts();
        let args: PersistArgs = op.into();
        let response = if O::KIND.is_write() {
            let pass = self.pass(&context).await?;
            let answer = self.ask(&context, args).await;
            drop(pass);
            answer?
        } else {
            self.look_before_reading().await?;
            self.ask(&context, args).await?
        };
        Reply::from_response(response)
    }

    /// Waits during a switchover, at most until the deadline of the caller.
    async fn pass(&self, context: &Context) -> Result<RwLockReadGuard<'_, ()>> {
        let Some(deadline) = context.deadline() else { return Ok(self.shared.switch_lock.read().await) };
        timeout_at(deadline.into(), self.shared.switch_lock.read()).await.map_err(|_| {
            let detail = "the deadline passed during a switchover";
            PersistError::new(ErrorKind::Timeout, detail).with_effect(Effect::NotApplied)
        })
    }

    /// Checks that the primary still is one. A store that another process has made a replica does not refuse reads, and would
    /// return old data.
    async fn look_before_reading(&self) -> Result<()> {
        match replication_status(self.shared.primary_store()).await {
            Ok(replication_status) if !replication_status.replication_state.is_primary() => {
                self.shared.look().await.map(drop)
            }
            // A store that cannot be reached reports that itself when it is read.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn ask(&self, context: &Context, args: PersistArgs) -> Result<PersistResponse> {
        let asked = self.shared.primary_store();
        let answer = Upstream::new(asked).forward(context, args.clone()).await;
        match answer {
            // Another process has switched the primary. Nothing was applied, so that the call is repeated on the new primary.
            Err(error) if error.kind() == ErrorKind::NotPrimary && error.effect() == Effect::NotApplied => {
                self.shared.look().await?;
                Upstream::new(self.shared.primary_store()).forward(context, args).await
            }
            answer => answer,
        }
    }
}

/// Returns the capabilities of both stores, without replication.
fn common(a: &Capabilities, b: &Capabilities) -> Capabilities {
    let kinds: Vec<OpKind> =
        a.operations().filter(|kind| b.supports(*kind) && *kind != OpKind::Replica).collect();
    let durability: Durability = a.durability.min(b.durability);
    let mut claims = Capabilities::new(durability).with_operations(&kinds);
    claims.idempotency = a.idempotency && b.idempotency;
    claims.changes = a.changes && b.changes;
    claims.search = a.search && b.search;
    claims.audit = a.audit && b.audit;
    claims.multi_process = a.multi_process && b.multi_process;
    claims.max_content_bytes = match (a.max_content_bytes, b.max_content_bytes) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    claims
}

impl Backend for SwitchBackend {
    fn name(&self) -> &'static str {
        "switch"
    }

    fn capabilities(&self) -> Capabilities {
        self.claims.clone()
    }

    /// The key of the primary. The replica takes it over.
    fn fingerprint_key(&self) -> Option<throughline_core::operations::FingerprintKey> {
        Upstream::new(self.shared.primary_store()).fingerprint_key()
    }

    forward_operations!(writes => forward);

    async fn read(&self, call: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        if matches!(call.op(), ReadArgs::Images(_) | ReadArgs::ReplicationStatus(_)) {
            return Err(PersistError::unsupported(format_args!("the read `{}`", call.op().as_str())));
        }
        self.forward(call).await
    }

    async fn replica(&self, _: Admitted<'_, ReplicaArgs>) -> Result<Reply<ReplicaArgs>> {
        Err(PersistError::unsupported(format_args!("`{}`", OpKind::Replica)))
    }

    async fn record_rejected_calls(&self, records: RejectedCallRecords) -> Result<()> {
        let _pass = self.shared.switch_lock.read().await;
        // Another process may have switched the primary, and this call is not repeated.
        self.shared.look().await?;
        Upstream::new(self.shared.primary_store()).write_rejected_call_records(records).await
    }

    fn commit_notifications(&self) -> Option<CommitNotifications> {
        Some(self.shared.commits.subscribe())
    }
}

impl fmt::Debug for SwitchBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SwitchBackend").field("claims", &self.claims).finish_non_exhaustive()
    }
}
