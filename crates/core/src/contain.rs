//! Somebody else's code, which may panic.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
};

pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Dropped, it holds a panic of what it held back.
struct Theirs<'a, T>(Option<BoxFuture<'a, T>>);

impl<T> Drop for Theirs<'_, T> {
    fn drop(&mut self) {
        let theirs = self.0.take();
        drop(catch_unwind(AssertUnwindSafe(|| drop(theirs))));
    }
}

/// Runs it to its end, or to its panic.
pub(crate) async fn contained<T>(theirs: BoxFuture<'_, T>) -> Result<T, String> {
    let mut theirs = Theirs(Some(theirs));
    poll_fn(|cx| {
        let Some(future) = theirs.0.as_mut() else { return Poll::Pending };
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(told(&*payload))),
        }
    })
    .await
}

fn told(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.map_or_else(|| "it panicked".to_owned(), |text| format!("it panicked: {text}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("in its drop");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_stays_inside() {
        let panics = Box::pin(async { panic!("at {}", "work") });
        assert_eq!(contained::<()>(panics).await, Err("it panicked: at work".to_owned()));
        let hangs = Box::pin(async {
            let _held = PanicsWhenDropped;
            std::future::pending::<()>().await;
        });
        assert!(timeout(Duration::from_secs(1), contained(hangs)).await.is_err());
    }
}
