use std::{fs, time::Duration};

use crate::Failure;

/// What the process has written since it began, by the books of the kernel.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    /// Bytes handed to a write.
    handed: u64,
    /// Bytes of the cache that were made dirty, in whole pages.
    dirtied: u64,
}

impl Written {
    pub(crate) fn now() -> Result<Self, Failure> {
        let books = fs::read_to_string("/proc/self/io")?;
        let entry = |name: &str| {
            let line = books.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.and_then(|value| value.parse().ok()).ok_or("the kernel keeps no such books")
        };
        Ok(Self { handed: entry("wchar")?, dirtied: entry("write_bytes")? })
    }

    /// What was written from `self` on, and how long it took.
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

/// What one turn came to.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) seconds: f64,
    pub(crate) handed: f64,
    pub(crate) dirtied: f64,
    pub(crate) commits: u64,
}
