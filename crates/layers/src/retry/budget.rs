//! How many repetitions all calls together may make.

use std::sync::atomic::{AtomicI64, Ordering};

/// Hundredths of a repetition in stock.
#[derive(Debug)]
pub(super) struct Budget {
    stock: AtomicI64,
    capacity: i64,
    deposit: i64,
}

const ONE: i64 = 100;

impl Budget {
    /// Starts full. `percent` of the first attempts may be repeated in the long run, and `reserve` at once.
    pub(super) fn new(percent: u32, reserve: u32) -> Self {
        let stock = i64::from(reserve) * ONE;
        // Room for one repetition at least, or what the first attempts bring would never make one.
        let capacity = if percent == 0 { stock } else { stock.max(ONE) };
        Self { stock: AtomicI64::new(stock), capacity, deposit: i64::from(percent) }
    }

    /// Counts a first attempt.
    pub(super) fn deposit(&self) {
        // A full stock is the usual case, and is only read: the counter is shared by every call.
        if self.stock.load(Ordering::Relaxed) >= self.capacity {
            return;
        }
        let stock = self.stock.fetch_add(self.deposit, Ordering::Relaxed) + self.deposit;
        if stock > self.capacity {
            self.stock.fetch_sub(stock - self.capacity, Ordering::Relaxed);
        }
    }

    /// Takes a repetition, if there is one.
    pub(super) fn withdraw(&self) -> bool {
        self.stock
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |stock| (stock >= ONE).then_some(stock - ONE))
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Budget;

    #[test]
    fn a_reserve_and_then_a_share_of_the_first_attempts() {
        let budget = Budget::new(20, 2);
        assert_eq!([budget.withdraw(), budget.withdraw(), budget.withdraw()], [true, true, false]);
        for _ in 0..4 {
            budget.deposit();
        }
        assert!(!budget.withdraw());
        budget.deposit();
        assert!(budget.withdraw());
        for _ in 0..1000 {
            budget.deposit();
        }
        assert_eq!([budget.withdraw(), budget.withdraw(), budget.withdraw()], [true, true, false]);
    }
}
