/// Implements operation methods of [`Backend`](crate::Backend) by one method of the store, which takes any operation.
///
/// `writes => method` implements every operation but `read` and `replica`, and `all => method` implements these two
/// also. A later kind of operation joins its set, so that no store keeps a refusing default by mistake.
///
/// ```
/// use throughline_core::{
///     Admitted, Backend, Capabilities, Durability, ErrorKind, Operation, PersistError, Reply, Result,
///     backend::forward_operations,
/// };
///
/// struct Refuse;
///
/// impl Refuse {
///     async fn refuse<O: Operation>(&self, call: Admitted<'_, O>) -> Result<Reply<O>> {
///         drop(call);
///         Err(PersistError::new(ErrorKind::Denied, "this store refuses every call"))
///     }
/// }
///
/// impl Backend for Refuse {
///     fn name(&self) -> &str {
///         "refuse"
///     }
///
///     fn capabilities(&self) -> Capabilities {
///         Capabilities::new(Durability::Volatile)
///     }
///
///     forward_operations!(all => refuse);
/// }
/// ```
#[doc(hidden)]
#[macro_export]
macro_rules! __forward_operations {
    (writes => $method:ident) => {
        $crate::__forward_operations! { @each $method:
            add: messages::Add,
            reserve: messages::Reserve,
            update_content: messages::UpdateContent,
            update: messages::Update,
            delete: messages::Delete,
            batch: messages::Batch,
            import: messages::Import,
            thread: threads::ThreadArgs,
            consumer: changes::ConsumerArgs,
            session: sessions::SessionArgs,
        }
    };
    (all => $method:ident) => {
        $crate::__forward_operations!(writes => $method);
        $crate::__forward_operations! { @each $method: read: ReadArgs, replica: replication::ReplicaArgs, }
    };
    (@each $method:ident: $($name:ident: $($operation:ident)::+,)+) => {$(
        async fn $name(
            &self,
            call: $crate::Admitted<'_, $crate::$($operation)::+>,
        ) -> $crate::Result<$crate::Reply<$crate::$($operation)::+>> {
            self.$method(call).await
        }
    )+};
}
