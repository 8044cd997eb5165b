use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    time::Duration,
};

use super::{Persistence, Request};
use crate::{ErrorKind, IdempotencyKey, InvalidId, PersistError, Result, ThreadArgs, ThreadOperation};

/// Something that is done to a thread as a whole when it is awaited.
///
/// # Cancel safety
/// As for a [`Request`].
#[must_use = "nothing happens before it is awaited"]
pub struct ThreadRequest<T> {
    request: Request<ThreadArgs>,
    operation: PhantomData<fn() -> T>,
}

impl<T: ThreadOperation> ThreadRequest<T> {
    pub(super) fn new(db: Persistence, operation: Result<T>) -> Self {
        Self { request: Request::new(db, operation.map(Into::into)), operation: PhantomData }
    }

    /// Gives the call an idempotency key: see [`IdempotencyKey`]. An unusable key is answered as `Invalid`.
    pub fn key<K>(mut self, key: K) -> Self
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<InvalidId>,
    {
        self.request = self.request.key(key);
        self
    }

    /// How long the caller waits. When it is over, the answer is `Timeout`, with the effect known at that moment; a
    /// write that was handed over goes on.
    pub fn deadline(mut self, after: Duration) -> Self {
        self.request = self.request.deadline(after);
        self
    }
}

impl<T: ThreadOperation> IntoFuture for ThreadRequest<T> {
    type Output = Result<T::Output>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let result = self.request.await?;
            let answered = result.as_str();
            T::output(result).ok_or_else(|| {
                let detail = format!("an answer to `{answered}` where another was due");
                PersistError::new(ErrorKind::ContractViolation, detail)
            })
        })
    }
}

impl<T> fmt::Debug for ThreadRequest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ThreadRequest").field(&self.request).finish()
    }
}
