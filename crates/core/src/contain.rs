//! Containment of panics: a panic in a hook or task of the host does not fail a call or end a task of the library.
//!
//! ```
//! use throughline_core::contain;
//!
//! assert_eq!(contain::catch(|| 1 + 1).unwrap(), 2);
//! let panicked = contain::catch(|| panic!("no route")).unwrap_err();
//! assert_eq!(panicked.to_string(), "it panicked: no route");
//! ```

use std::{
    any::Any,
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::Poll,
};

/// A panic that was caught. It displays the message of the panic if that is a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panicked {
    message: Option<String>,
}

impl Panicked {
    fn new(payload: &(dyn Any + Send)) -> Self {
        let message = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        Self { message: message.or_else(|| payload.downcast_ref::<String>().cloned()) }
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "it panicked: {message}"),
            None => f.write_str("it panicked"),
        }
    }
}

impl std::error::Error for Panicked {}

/// Calls a hook and catches its panic.
///
/// # Errors
/// [`Panicked`] if the hook panicked.
pub fn catch<T>(hook: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(hook)).map_err(|payload| Panicked::new(&*payload))
}

/// Runs a future and catches its panics, including those of its destructor.
///
/// # Errors
/// [`Panicked`] if a poll of the future panicked.
///
/// # Cancel safety
/// The inner future is dropped. A panic of its destructor is caught.
pub async fn catch_future<T>(future: impl Future<Output = T> + Send) -> Result<T, Panicked> {
    let mut guarded = CatchDrop(Some(Box::pin(future)));
    poll_fn(|cx| {
        let Some(future) = guarded.0.as_mut() else { return Poll::Pending };
        match catch(|| future.as_mut().poll(cx)) {
            Ok(polled) => polled.map(Ok),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    })
    .await
}

/// Catches a panic in the destructor of a future.
struct CatchDrop<F>(Option<Pin<Box<F>>>);

impl<F> Drop for CatchDrop<F> {
    fn drop(&mut self) {
        let future = self.0.take();
        drop(catch(|| drop(future)));
    }
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
    async fn panics_of_a_future_and_of_its_destructor_are_contained() {
        let panicked = catch_future(async { panic!("at {}", "work") }).await.map(|()| 0).unwrap_err();
        assert_eq!(panicked.to_string(), "it panicked: at work");
        let hangs = async {
            let _held = PanicsWhenDropped;
            std::future::pending::<()>().await;
        };
        assert!(timeout(Duration::from_secs(1), catch_future(hangs)).await.is_err());
    }
}
