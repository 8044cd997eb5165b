//! A backend and a fixture without their types: the checks are compiled once, for every backend.

use std::{future::Future, pin::Pin};

use throughline_core::{
    Admitted, Backend, BoxError, Capabilities, ReadArgs, Reply, Result,
    audit::RejectedCallRecords,
    changes::{CommitNotifications, ConsumerArgs},
    messages::{Add, Batch, Delete, Import, Reserve, Update, UpdateContent},
    operations::FingerprintKey,
    replication::ReplicaArgs,
    sessions::SessionArgs,
    threads::ThreadArgs,
};

use crate::{Fixture, Profile, StoreLocation};

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A [`Fixture`] without its type.
pub(crate) trait Subject: Send + Sync {
    fn profile(&self) -> Profile;
    fn open<'a>(&'a self, location: &'a StoreLocation) -> BoxFuture<'a, Result<AnyBackend, BoxError>>;
    fn clean<'a>(&'a self, location: &'a StoreLocation) -> BoxFuture<'a, ()>;
}

impl<F: Fixture> Subject for F {
    fn profile(&self) -> Profile {
        Fixture::profile(self)
    }

    fn open<'a>(&'a self, location: &'a StoreLocation) -> BoxFuture<'a, Result<AnyBackend, BoxError>> {
        Box::pin(async move { Ok(AnyBackend(Box::new(Fixture::open(self, location).await?))) })
    }

    fn clean<'a>(&'a self, location: &'a StoreLocation) -> BoxFuture<'a, ()> {
        Box::pin(Fixture::clean(self, location))
    }
}

/// A backend without its type.
pub(crate) struct AnyBackend(Box<dyn DynBackend>);

macro_rules! erase {
    ($($method:ident: $operation:ident;)+) => {
        trait DynBackend: Send + Sync {
            fn name(&self) -> &str;
            fn capabilities(&self) -> Capabilities;
            fn fingerprint_key(&self) -> Option<FingerprintKey>;
            fn close(&self) -> BoxFuture<'_, Result<()>>;
            fn waits_in(&self) -> Option<String>;
            fn commit_notifications(&self) -> Option<CommitNotifications>;
            fn record_rejected_calls(&self, records: RejectedCallRecords) -> BoxFuture<'_, Result<()>>;
            $(
                fn $method<'a, 't: 'a>(
                    &'a self,
                    call: Admitted<'t, $operation>,
                ) -> BoxFuture<'a, Result<Reply<$operation>>>;
            )+
        }

        impl<B: Backend> DynBackend for B {
            fn name(&self) -> &str {
                Backend::name(self)
            }

            fn capabilities(&self) -> Capabilities {
                Backend::capabilities(self)
            }

            fn fingerprint_key(&self) -> Option<FingerprintKey> {
                Backend::fingerprint_key(self)
            }

            fn close(&self) -> BoxFuture<'_, Result<()>> {
                Box::pin(Backend::close(self))
            }

            fn waits_in(&self) -> Option<String> {
                Backend::waits_in(self)
            }

            fn commit_notifications(&self) -> Option<CommitNotifications> {
                Backend::commit_notifications(self)
            }

            fn record_rejected_calls(&self, records: RejectedCallRecords) -> BoxFuture<'_, Result<()>> {
                Box::pin(Backend::record_rejected_calls(self, records))
            }

            $(
                fn $method<'a, 't: 'a>(
                    &'a self,
                    call: Admitted<'t, $operation>,
                ) -> BoxFuture<'a, Result<Reply<$operation>>> {
                    Box::pin(Backend::$method(self, call))
                }
            )+
        }

        impl Backend for AnyBackend {
            fn name(&self) -> &str {
                self.0.name()
            }

            fn capabilities(&self) -> Capabilities {
                self.0.capabilities()
            }

            fn fingerprint_key(&self) -> Option<FingerprintKey> {
                self.0.fingerprint_key()
            }

            async fn close(&self) -> Result<()> {
                self.0.close().await
            }

            fn waits_in(&self) -> Option<String> {
                self.0.waits_in()
            }

            fn commit_notifications(&self) -> Option<CommitNotifications> {
                self.0.commit_notifications()
            }

            async fn record_rejected_calls(&self, records: RejectedCallRecords) -> Result<()> {
                self.0.record_rejected_calls(records).await
            }

            $(
                async fn $method(&self, call: Admitted<'_, $operation>) -> Result<Reply<$operation>> {
                    self.0.$method(call).await
                }
            )+
        }
    };
}

erase! {
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
