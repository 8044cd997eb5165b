//! The budget of repetitions that all calls share.

use std::sync::atomic::{AtomicI64, Ordering};

/// The available hundredths of a repetition.
#[derive(Debug)]
pub(super) struct Budget {
    stock: AtomicI64,
    capacity: i64,
    deposit: i64,
}

const ONE: i64 = 100;

impl Budget {
    /// Creates a full budget. It allows repetitions for `percent` of the first attempts on average, and `reserve` at
    /// once.
    pub(super) fn new(percent: u32, reserve: u32) -> Self {
        let stock = i64::from(reserve) * ONE;
        // The capacity must allow one repetition, or the deposits of first attempts could never add up to one.
        let capacity = if percent == 0 { stock } else { stock.max(ONE) };
        Self { stock: AtomicI64::new(stock), capacity, deposit: i64::from(percent) }
    }

    /// Counts a first attempt.
    pub(super) fn deposit(&self) {
        // A full budget is the usual case and needs no write to the counter, which all calls share.
        if self.stock.load(Ordering::Relaxed) >= self.capacity {
            return;
        }
        let stock = self.stock.fetch_add(self.deposit, Ordering::Relaxed) + self.deposit;
        if stock > self.capacity {
            self.stock.fetch_sub(stock - self.capacity, Ordering::Relaxed);
        }
    }

    /// Takes a repetition, if one is available.
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
    fn the_reserve_is_spent_first_and_then_a_share_of_first_attempts() {
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
