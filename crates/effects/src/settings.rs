use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// The delivery settings of a runner.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) parallel: usize,
    pub(super) attempts: u32,
    pub(super) time_limit: Duration,
    pub(super) shortest_wait: Duration,
    pub(super) longest_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            parallel: 16,
            attempts: 8,
            time_limit: Duration::from_secs(30),
            shortest_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(30),
        }
    }
}

impl Settings {
    pub(super) fn waits(&self) -> Waits {
        let builder = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(self.shortest_wait)
            .with_max_delay(self.longest_wait)
            .without_max_times();
        Waits { waits: builder.build(), longest: self.longest_wait }
    }
}

/// The waits between attempts, without end.
#[derive(Debug)]
pub(super) struct Waits {
    waits: ExponentialBackoff,
    longest: Duration,
}

impl Waits {
    pub(super) fn next(&mut self) -> Duration {
        self.waits.next().unwrap_or(self.longest)
    }
}
