use std::{fs, time::Duration};

use crate::Failure;

/// The I/O counters of this process, as the kernel reports them.
#[derive(Clone, Copy)]
pub(crate) struct IoCounters {
    /// Bytes that the process passed to write calls.
    handed: u64,
    /// Bytes of dirtied page-cache pages.
    dirtied: u64,
}

impl IoCounters {
    pub(crate) fn now() -> Result<Self, Failure> {
        let counters = fs::read_to_string("/proc/self/io")?;
        let entry = |name: &str| {
            let line = counters.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.and_then(|value| value.parse().ok()).ok_or("/proc/self/io has no such counter")
        };
        Ok(Self { handed: entry("wchar")?, dirtied: entry("write_bytes")? })
    }

    /// Returns the difference to `self`, together with the elapsed time.
    pub(crate) fn cost(self, took: Duration) -> Result<Cost, Failure> {
        let now = Self::now()?;
        Ok(Cost {
            seconds: took.as_secs_f64(),
            handed: (now.handed - self.handed) as f64,
            dirtied: (now.dirtied - self.dirtied) as f64,
            commits: 0,
        })
    }
}

/// The cost of one run.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    pub(crate) handed: f64,
    pub(crate) dirtied: f64,
    pub(crate) commits: u64,
}
