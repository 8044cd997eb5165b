use std::{future::poll_fn, sync::Arc};

use super::PersistService;
use crate::{Context, PersistArgs, PersistError, PersistRequest, PersistResponse, Result, context::Shape};

/// The inner service of a layer that makes further calls on behalf of a call. Each call runs on a clone that was made ready for
/// it.
///
/// A further call has the tenant, actor, deadline and extensions of its parent. Its writes count for the effect of the parent.
///
/// ```
/// use throughline_core::{
///     Context, PersistError, PersistResult, ReadResult, Result,
///     messages::GetMessage,
///     pipeline::{InnerService, PersistService},
/// };
///
/// /// Reads a message before a layer decides about a call.
/// async fn exists<S>(inner: &InnerService<S>, context: &Context, get: GetMessage) -> Result<bool>
/// where
///     S: PersistService<Error = PersistError>,
/// {
///     let answer = inner.call(context, get).await?.result;
///     Ok(matches!(answer, PersistResult::Read(ReadResult::Get(Some(_)))))
/// }
/// ```
#[derive(Debug, Clone)]
pub struct InnerService<S> {
    inner: S,
}

impl<S: PersistService<Error = PersistError>> InnerService<S> {
    /// Returns a value that makes calls on clones of this service.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }

    /// Forwards the call itself.
    ///
    /// # Errors
    /// The error of the inner service.
    pub async fn forward(&self, request: PersistRequest) -> Result<PersistResponse> {
        let mut inner = self.inner.clone();
        poll_fn(|cx| inner.poll_ready(cx)).await?;
        inner.call(request).await
    }

    /// Makes another call on behalf of the call with this context. It has no idempotency key.
    ///
    /// # Errors
    /// The error of the inner service.
    pub async fn call(&self, context: &Context, args: impl Into<PersistArgs>) -> Result<PersistResponse> {
        self.call_as(context, args.into(), false).await
    }

    /// Makes a call in place of the call with this context. Like [`call`](Self::call), but with the idempotency key of that call,
    /// so that a repetition of one is a repetition of the other.
    ///
    /// # Errors
    /// The error of the inner service.
    /// The error of the inner service.
    pub async fn call_with_key(
        &self,
        context: &Context,
        args: impl Into<PersistArgs>,
    ) -> Result<PersistResponse> {
        self.call_as(context, args.into(), true).await
    }

    async fn call_as(&self, context: &Context, args: PersistArgs, keep_key: bool) -> Result<PersistResponse> {
        let context = context.child(Shape::of(&args), Arc::clone(&context.call().sites), keep_key);
        self.forward(PersistRequest { args, context }).await
    }
}
