use crate::{
    Context, PersistArgs, PersistResponse, Persistence, Result, backend::RejectedCallRecords,
    operation::FingerprintKey,
};

/// A pipeline that the backend of another pipeline forwards its calls to, as a proxy does to its upstream.
///
/// A forwarded call keeps the tenant, actor, idempotency key and deadline of the call that it is made for, and its effect counts for
/// that call. An audit entry is that of the outer pipeline.
///
/// ```
/// use throughline_core::{
///     Admitted, Backend, Capabilities, Durability, PersistArgs, Persistence, ReadArgs, Reply,
///     Result,
///     redirect::Upstream,
/// };
///
/// /// A backend that reads from another pipeline, and writes nothing.
/// struct Reader(Persistence);
///
/// impl Backend for Reader {
///     fn name(&self) -> &str {
///         "reader"
///     }
///
///     fn capabilities(&self) -> Capabilities {
///         Capabilities::new(Durability::Volatile)
///     }
///
///     async fn read(&self, call: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
///         let (read, context, _) = call.into_parts();
///         Reply::from_response(Upstream::new(&self.0).forward(&context, PersistArgs::Read(read)).await?)
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Upstream<'a> {
    db: &'a Persistence,
}

impl<'a> Upstream<'a> {
    /// Forwards to the pipeline of this handle. The tenant, actor and deadline of the handle are not used.
    #[must_use]
    pub const fn new(db: &'a Persistence) -> Self {
        Self { db }
    }

    /// Runs a call in the pipeline, in place of the call with this context.
    ///
    /// # Errors
    /// What the pipeline answers.
    ///
    /// # Cancel safety
    /// As for every call: what was handed to the store may be applied.
    pub async fn forward(&self, context: &Context, args: PersistArgs) -> Result<PersistResponse> {
        self.db.core().execute_forwarded(context, args).await
    }

    /// Writes records of rejected calls of the outer pipeline: what a backend answers to [`Backend::record_rejected_calls`](crate::Backend::record_rejected_calls).
    ///
    /// # Errors
    /// What the backend of the pipeline answers.
    pub async fn write_rejected_call_records(&self, records: RejectedCallRecords) -> Result<()> {
        self.db.core().record_rejected_calls(records).await
    }

    /// The key of the store: what a backend answers to [`Backend::fingerprint_key`](crate::Backend::fingerprint_key).
    #[must_use]
    pub fn fingerprint_key(&self) -> Option<FingerprintKey> {
        self.db.core().store_key()
    }
}
