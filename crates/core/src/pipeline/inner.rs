use std::{future::poll_fn, sync::Arc};

use super::PersistService;
use crate::{Context, PersistArgs, PersistError, PersistRequest, PersistResponse, Result, context::Shape};

/// The inner service of a layer that makes further calls on behalf of the one that it was given. Each call runs on a clone
/// that was made ready for it.
///
/// A further call has the tenant, actor, deadline and extensions of the call that it is made for. What it writes counts
/// towards the effect of that call.
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
    /// Makes calls on clones of this service.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }

    /// Passes the call itself on.
    ///
    /// # Errors
    /// What the inner service answers.
    pub async fn forward(&self, request: PersistRequest) -> Result<PersistResponse> {
        let mut inner = self.inner.clone();
        poll_fn(|cx| inner.poll_ready(cx)).await?;
        inner.call(request).await
    }

    /// Makes another call on behalf of the call with this context. It has no idempotency key.
    ///
    /// # Errors
    /// What the inner service answers.
    pub async fn call(&self, context: &Context, args: impl Into<PersistArgs>) -> Result<PersistResponse> {
        self.call_as(context, args.into(), false).await
    }

    /// Makes a call in place of the call with this context: the same as [`call`](Self::call), with the idempotency key of that
    /// call, so that a repetition of the one is a repetition of the other.
    ///
    /// # Errors
    /// What the inner service answers.
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
