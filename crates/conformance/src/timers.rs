//! Timers that fire without waiting.
//!
//! The test advances the clock of the runtime, but not the clock of the operating system. A store can use either, so later
//! calls come from another runtime.

use std::{thread, time::Duration};

use tokio::{runtime::Builder, sync::oneshot, task, time};

/// Advances the timers of this runtime, and then runs every task until it waits.
pub(crate) async fn advance_timers(by: Duration) {
    settle().await;
    time::pause();
    time::advance(by).await;
    time::resume();
    settle().await;
}

/// Runs every task until it waits.
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
        // The receiver is gone if the check has already failed.
        reported.send(runtime.block_on(work)).ok();
    });
    answer.await.expect("work without assertions")
}
