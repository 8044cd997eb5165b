//! Layers, plugins and a backend that do nothing.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use throughline::{
    Admitted, Backend, Call, Capabilities, Durability, Message, MessageState, Next, OpKind, Operation,
    PersistRequest, Plugin, Position, Reply, Result, Revision, Seq,
    messages::{Add, Added},
};
use tower::{Layer, Service};

/// A layer that passes every call on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noop;

impl<S> Layer<S> for Noop {
    type Service = NoopService<S>;

    fn layer(&self, inner: S) -> NoopService<S> {
        NoopService(inner)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct NoopService<S>(S);

impl<S: Service<PersistRequest>> Service<PersistRequest> for NoopService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: PersistRequest) -> S::Future {
        self.0.call(request)
    }
}

/// A plugin that awaits the rest of the stack and returns its answer.
#[derive(Debug)]
pub(crate) struct NoopPlugin(pub(crate) &'static str);

impl Plugin for NoopPlugin {
    fn name(&self) -> &str {
        self.0
    }

    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        next.run(call).await
    }
}

/// A backend that answers an add without storing it: immediately, or after one `Pending` as a backend on another thread does.
#[derive(Debug)]
pub(crate) struct NoopBackend {
    waits: bool,
}

impl NoopBackend {
    pub(crate) const AT_ONCE: Self = Self { waits: false };
    pub(crate) const WAITS: Self = Self { waits: true };
}

impl Backend for NoopBackend {
    fn name(&self) -> &str {
        "noop"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Volatile).with_operations(&[OpKind::Add])
    }

    async fn add(&self, call: Admitted<'_, Add>) -> Result<Reply<Add>> {
        let (op, context, now) = call.into_parts();
        if self.waits {
            yield_once().await;
        }
        let message = Message {
            tenant: context.tenant().clone(),
            thread: op.thread,
            id: op.id,
            seq: Seq::FIRST,
            role: op.role,
            state: MessageState::Final,
            revision: Revision::FIRST,
            content: op.content,
            metadata: op.metadata,
            attachments: op.attachments,
            abandon_reason: None,
            lease: None,
            created_at: now,
            updated_at: now,
        };
        Ok(Reply::at(Added { message, deduplicated: false }, Position::FIRST))
    }
}

/// Yields once. Unlike tokio's `yield_now`, this does not let the runtime poll its drivers.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
