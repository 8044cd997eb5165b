use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    time::Duration,
};

use tokio::{runtime::Builder, time::timeout};

pub(crate) type Checked = Pin<Box<dyn Future<Output = ()>>>;

/// A check of a layer, by name, over what its stacks are made with.
pub(crate) struct Check<S> {
    pub(crate) name: &'static str,
    pub(crate) run: fn(S) -> Checked,
}

/// No check waits for long: the clock of the runtime stands still while anything goes on, and goes on when nothing does.
const HANG: Duration = Duration::from_secs(24 * 3600);

/// The names of the checks that fail, in their order.
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

/// Writes a table of checks over the stacks of a type.
macro_rules! checks {
    ($stacks:ty; $($name:literal => $run:ident;)+) => {
        pub(super) const CHECKS: &[$crate::kit::Check<$stacks>] =
            &[$($crate::kit::Check { name: $name, run: |stacks| Box::pin($run(stacks)) }),+];
    };
}
pub(crate) use checks;
