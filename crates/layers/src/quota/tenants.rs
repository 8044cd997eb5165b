//! The rate buckets of all tenants.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    account::{Account, Cost, RateExceeded},
    rates::Quota,
};
use throughline_core::TenantId;

/// The tenants whose buckets are not full.
#[derive(Debug)]
pub(super) struct Tenants {
    state: Mutex<State>,
    max: usize,
}

#[derive(Debug, Default)]
struct State {
    accounts: HashMap<TenantId, Account>,
    /// The number of tenants at which the map removes those with full buckets.
    cleanup_at: usize,
    recovered: Option<Instant>,
}

/// Maps with fewer tenants are never cleaned up.
const FEW: usize = 1024;

/// The interval between cleanups while the map is at its limit.
const AGAIN: Duration = Duration::from_millis(100);

/// The reason why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    RateExceeded(RateExceeded),
    /// The map of tenants is at its limit.
    TooManyTenants {
        after: Duration,
    },
}

impl Tenants {
    pub(super) fn new(max: usize) -> Self {
        Self { state: Mutex::default(), max: max.max(1) }
    }

    pub(super) fn take(
        &self,
        tenant: &TenantId,
        cost: Cost,
        quota: &Quota,
        must: bool,
    ) -> Result<(), Refused> {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(account) = state.accounts.get_mut(tenant) {
            return account.take(cost, quota, must, now).map_err(Refused::RateExceeded);
        }
        let mut account = Account::full(now);
        account.take(cost, quota, must, now).map_err(Refused::RateExceeded)?;
        if account.is_full(now) {
            return Ok(());
        }
        state.remove_full(self.max, now);
        if state.accounts.len() < self.max {
            state.accounts.insert(tenant.clone(), account);
            return Ok(());
        }
        if must { Ok(()) } else { Err(Refused::TooManyTenants { after: AGAIN }) }
    }

    pub(super) fn refund(&self, tenant: &TenantId, cost: Cost, quota: &Quota) {
        if let Some(account) = self.state().accounts.get_mut(tenant) {
            account.refund(cost, quota);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Removes the tenants whose buckets are full again. It scans only when the map has doubled since the last scan, so
    /// that a new tenant has a constant average cost. At the limit of the map it scans once per interval.
    fn remove_full(&mut self, max: usize, now: Instant) {
        if self.accounts.len() < self.cleanup_at.max(FEW).min(max) {
            return;
        }
        if self.recovered.is_some_and(|recovered| now < recovered + AGAIN) && self.accounts.len() >= max {
            return;
        }
        self.accounts.retain(|_, account| !account.is_full(now));
        self.cleanup_at = self.accounts.len().saturating_mul(2);
        self.accounts.shrink_to(self.cleanup_at.max(FEW));
        self.recovered = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const ONE: Cost = Cost { operations: 1, bytes: 0 };

    fn tenant(number: usize) -> TenantId {
        number.to_string().parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_in_tenants_and_given_back() {
        let tenants = Tenants::new(2000);
        let quota = Quota::new().operations(1, 2);
        let take = |number| tenants.take(&tenant(number), ONE, &quota, false);
        for number in 0..2000 {
            take(number).unwrap();
        }
        assert_eq!(take(2000), Err(Refused::TooManyTenants { after: AGAIN }));
        assert!(take(7).is_ok(), "a known tenant is served");
        assert!(tenants.take(&tenant(2000), ONE, &quota, true).is_ok(), "a call that must pass does");
        advance(Duration::from_secs(1)).await;
        take(2000).unwrap();
        assert!(tenants.state().accounts.len() <= 2, "a tenant with full buckets is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn a_tenant_without_limits_takes_no_memory() {
        let tenants = Tenants::new(1);
        for number in 0..10 {
            tenants.take(&tenant(number), ONE, &Quota::new(), false).unwrap();
        }
        assert!(tenants.state().accounts.is_empty());
    }
}
