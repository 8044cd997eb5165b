//! Timers that fire without waiting.
//!
//! The clock of the runtime is turned, and the clock of the operating system is not. A store may wait by either, so what
//! is asked of it afterwards is asked from another runtime.

use std::{thread, time::Duration};

use tokio::{runtime::Builder, sync::oneshot, task, time};

/// Lets the time of timers pass on this runtime, and what they set off go on as far as it can by itself.
pub(crate) async fn advance_timers(by: Duration) {
    settle().await;
    time::pause();
    time::advance(by).await;
    time::resume();
    settle().await;
}

/// Lets every task go on that can.
pub(crate) async fn settle() {
    for _ in 0..32 {
        task::yield_now().await;
    }
}

/// Runs `work` on a runtime whose clock the test does not advance. It asserts nothing: a panic would be attributed to this thread.
pub(crate) async fn on_other_runtime<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let (reported, answer) = oneshot::channel();
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        // The check has failed already if it does not listen any more.
        reported.send(runtime.block_on(work)).ok();
    });
    answer.await.expect("work without assertions")
}
