use std::{future::poll_fn, sync::Arc};

use super::PersistService;
use crate::{
    Context, GetMessage, Message, MessageId, PersistArgs, PersistError, PersistRequest, PersistResponse,
    PersistResult, ReadResult, Result, ThreadId, context::Shape,
};

/// What stands inside a layer that makes several calls of one: each is made on a clone that is readied for it.
#[derive(Clone)]
pub(crate) struct Inner<S> {
    inner: S,
}

impl<S: PersistService<Error = PersistError>> Inner<S> {
    pub(crate) const fn new(inner: S) -> Self {
        Self { inner }
    }

    /// The call itself.
    pub(crate) async fn pass(&self, request: PersistRequest) -> Result<PersistResponse> {
        let mut inner = self.inner.clone();
        poll_fn(|cx| inner.poll_ready(cx)).await?;
        inner.call(request).await
    }

    /// Another call on behalf of it.
    pub(crate) async fn call(
        &self,
        context: &Context,
        args: PersistArgs,
        keep_key: bool,
    ) -> Result<PersistResponse> {
        let sites = Arc::clone(&context.call().sites);
        let context = context.child(Shape::of(&args), sites, keep_key);
        self.pass(PersistRequest { args, context }).await
    }

    /// A message as it is stored, read on behalf of the call.
    pub(crate) async fn message(
        &self,
        context: &Context,
        thread: &ThreadId,
        id: &MessageId,
    ) -> Result<Option<Message>> {
        let get = GetMessage { thread: thread.clone(), id: id.clone() };
        match self.call(context, get.into(), false).await?.result {
            PersistResult::Read(ReadResult::Get(message)) => Ok(message),
            _ => Err(PersistError::new(
                crate::ErrorKind::ContractViolation,
                "a read was answered as something else",
            )),
        }
    }
}
