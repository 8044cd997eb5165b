use crate::{
    Context, PersistArgs, PersistResponse, Persistence, Result, backend::RejectedCallRecords,
    operation::FingerprintKey,
};

/// An inner pipeline, to which the backend of an outer pipeline forwards its calls, as a proxy does to its upstream.
///
/// A forwarded call keeps the tenant, actor, idempotency key and deadline of the outer call, and its effect is the effect of the
/// outer call. The outer pipeline writes the audit record.
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
    /// Returns the upstream for the pipeline of this handle. It ignores the tenant, actor and deadline of the handle.
    #[must_use]
    pub const fn new(db: &'a Persistence) -> Self {
        Self { db }
    }

    /// Runs a call in the inner pipeline, on behalf of the outer call with this context.
    ///
    /// # Errors
    /// The error of the inner pipeline.
    ///
    /// # Cancel safety
    /// As for every call: if the store has received a write, it may apply the write.
    pub async fn forward(&self, context: &Context, args: PersistArgs) -> Result<PersistResponse> {
        self.db.core().execute_forwarded(context, args).await
    }

    /// Writes rejected-call records of the outer pipeline. A backend calls it in
    /// [`Backend::record_rejected_calls`](crate::Backend::record_rejected_calls).
    ///
    /// # Errors
    /// The error of the inner backend.
    pub async fn write_rejected_call_records(&self, records: RejectedCallRecords) -> Result<()> {
        self.db.core().record_rejected_calls(records).await
    }

    /// Returns the fingerprint key of the inner store. A backend returns it from
    /// [`Backend::fingerprint_key`](crate::Backend::fingerprint_key).
    #[must_use]
    pub fn fingerprint_key(&self) -> Option<FingerprintKey> {
        self.db.core().store_key()
    }
}
