use std::time::Duration;

/// The rates of a tenant. A missing rate means no limit.
///
/// ```
/// use throughline_layers::quota::Quota;
///
/// // 50 operations a second on average, 200 at once; 1 MiB a second, 8 MiB at once.
/// let quota = Quota::new().operations(50, 200).bytes(1 << 20, 8 << 20);
/// # let _ = quota;
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quota {
    pub(super) operations: Option<Rate>,
    pub(super) bytes: Option<Rate>,
}

impl Quota {
    /// Returns a quota without limits.
    #[must_use]
    pub const fn new() -> Self {
        Self { operations: None, bytes: None }
    }

    /// Limits the operations to `per_second` on average, with bursts of `burst` after a pause; each is at least 1.
    #[must_use]
    pub fn operations(mut self, per_second: u64, burst: u64) -> Self {
        self.operations = Some(Rate::new(per_second, burst));
        self
    }

    /// Limits the written bytes of content and metadata to `per_second` on average, with bursts of `burst` after a
    /// pause; each is at least 1. A single write larger than the burst never passes, so the burst must be at least the
    /// size of the largest message.
    #[must_use]
    pub fn bytes(mut self, per_second: u64, burst: u64) -> Self {
        self.bytes = Some(Rate::new(per_second, burst));
        self
    }
}

/// A token bucket of `burst` tokens that refills at `per_second`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) per_second: u64,
    pub(super) burst: u64,
}

/// The longest debt of a bucket, so that its instant never overflows.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

impl Rate {
    fn new(per_second: u64, burst: u64) -> Self {
        Self { per_second: per_second.max(1), burst: burst.max(1) }
    }

    /// Returns the time to refill this many tokens.
    pub(super) fn time_of(&self, amount: u64) -> Duration {
        let nanos = u128::from(amount) * 1_000_000_000 / u128::from(self.per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(LONGEST)
    }
}
