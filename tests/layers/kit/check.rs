use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    time::Duration,
};

use tokio::{runtime::Builder, time::timeout};

pub(crate) type Checked = Pin<Box<dyn Future<Output = ()>>>;

/// A named check of a layer. `S` creates the stacks.
pub(crate) struct Check<S> {
    pub(crate) name: &'static str,
    pub(crate) run: fn(S) -> Checked,
}

/// The clock of the runtime is paused, so it advances only while every task waits: a hanging check ends at once.
const HANG: Duration = Duration::from_secs(24 * 3600);

/// Returns the names of the failing checks, in order.
pub(crate) fn failing<S: Clone>(checks: &[Check<S>], stacks: &S) -> Vec<&'static str> {
    let fails = |check: &&Check<S>| {
        let runtime =
            Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
        let run = || {
            runtime.block_on(async {
                timeout(HANG, (check.run)(stacks.clone())).await.expect("the check hangs");
            });
        };
        catch_unwind(AssertUnwindSafe(run)).is_err()
    };
    checks.iter().filter(fails).map(|check| check.name).collect()
}

/// Declares the table of checks for stacks of a type.
macro_rules! checks {
    ($stacks:ty; $($name:literal => $run:ident;)+) => {
        pub(super) const CHECKS: &[$crate::kit::Check<$stacks>] =
            &[$($crate::kit::Check { name: $name, run: |stacks| Box::pin($run(stacks)) }),+];
    };
}
pub(crate) use checks;
