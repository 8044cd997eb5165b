//! A backend with hooks before and after each call, which pause, fail or count it. The backend receives the admitted call.

mod counts;
mod faults;
mod pause;

use std::{future::Future, sync::Arc};

use throughline_core::{
    Admitted, Backend, Capabilities, OpKind, Operation as _, ReadArgs, Reply, Result,
    audit::RejectedCallRecords,
    changes::{CommitNotifications, ConsumerArgs},
    messages::{Add, Batch, Delete, Import, Reserve, Update, UpdateContent},
    operations::FingerprintKey,
    replication::ReplicaArgs,
    sessions::SessionArgs,
    threads::ThreadArgs,
};

pub(crate) use self::{
    counts::Counts,
    faults::{Fault, Faults},
    pause::{PausePoint, PausePoints},
};
use crate::erased::AnyBackend;

/// The hooks before and after a backend.
pub(crate) trait Tap: Send + Sync + 'static {
    /// Runs before the backend is called. An error is answered instead.
    fn before(&self, kind: OpKind) -> impl Future<Output = Result<()>> + Send;

    /// Runs after the backend has succeeded. An error replaces the answer.
    fn after(&self, kind: OpKind) -> impl Future<Output = Result<()>> + Send;
}

/// A backend with a tap.
pub(crate) struct Tapped<T> {
    inner: AnyBackend,
    tap: Arc<T>,
}

impl<T: Tap> Tapped<T> {
    pub(crate) fn new(inner: AnyBackend, tap: &Arc<T>) -> Self {
        Self { inner, tap: Arc::clone(tap) }
    }
}

macro_rules! hand_on {
    ($($method:ident: $operation:ident;)+) => {
        impl<T: Tap> Backend for Tapped<T> {
            fn name(&self) -> &str {
                self.inner.name()
            }

            fn capabilities(&self) -> Capabilities {
                self.inner.capabilities()
            }

            fn fingerprint_key(&self) -> Option<FingerprintKey> {
                self.inner.fingerprint_key()
            }

            async fn close(&self) -> Result<()> {
                self.inner.close().await
            }

            fn waits_in(&self) -> Option<String> {
                self.inner.waits_in()
            }

            fn commit_notifications(&self) -> Option<CommitNotifications> {
                self.inner.commit_notifications()
            }

            async fn record_rejected_calls(&self, records: RejectedCallRecords) -> Result<()> {
                self.inner.record_rejected_calls(records).await
            }

            $(
                async fn $method(&self, call: Admitted<'_, $operation>) -> Result<Reply<$operation>> {
                    self.tap.before($operation::KIND).await?;
                    let reply = self.inner.$method(call).await?;
                    self.tap.after($operation::KIND).await?;
                    Ok(reply)
                }
            )+
        }
    };
}

hand_on! {
    add: Add;
    reserve: Reserve;
    update_content: UpdateContent;
    update: Update;
    delete: Delete;
    batch: Batch;
    import: Import;
    thread: ThreadArgs;
    consumer: ConsumerArgs;
    session: SessionArgs;
    replica: ReplicaArgs;
    read: ReadArgs;
}
