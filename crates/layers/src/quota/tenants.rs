//! What each tenant has left.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    account::{Account, Beyond, Weight},
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
    /// Those who are full again are looked for when there are so many.
    sweep_at: usize,
    recovered: Option<Instant>,
}

/// Fewer than this are not worth a look.
const FEW: usize = 1024;

/// How often those who are full again are looked for while there are too many.
const AGAIN: Duration = Duration::from_millis(100);

/// Why a call is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    Beyond(Beyond),
    /// There is no room to remember another tenant.
    NoRoom {
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
        weight: Weight,
        quota: &Quota,
        must: bool,
    ) -> Result<(), Refused> {
        let now = Instant::now();
        let mut state = self.state();
        if let Some(account) = state.accounts.get_mut(tenant) {
            return account.take(weight, quota, must, now).map_err(Refused::Beyond);
        }
        let mut account = Account::full(now);
        account.take(weight, quota, must, now).map_err(Refused::Beyond)?;
        if account.is_full(now) {
            return Ok(());
        }
        state.make_room(self.max, now);
        if state.accounts.len() < self.max {
            state.accounts.insert(tenant.clone(), account);
            return Ok(());
        }
        if must { Ok(()) } else { Err(Refused::NoRoom { after: AGAIN }) }
    }

    pub(super) fn give_back(&self, tenant: &TenantId, weight: Weight, quota: &Quota) {
        if let Some(account) = self.state().accounts.get_mut(tenant) {
            account.give_back(weight, quota);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets those who are full again. Looks at all of them only when twice as many have come as were left, so that a new
    /// tenant costs no more than a few; and while there are too many, only every so often.
    fn make_room(&mut self, max: usize, now: Instant) {
        if self.accounts.len() < self.sweep_at.max(FEW).min(max) {
            return;
        }
        if self.recovered.is_some_and(|recovered| now < recovered + AGAIN) && self.accounts.len() >= max {
            return;
        }
        self.accounts.retain(|_, account| !account.is_full(now));
        self.sweep_at = self.accounts.len().saturating_mul(2);
        self.accounts.shrink_to(self.sweep_at.max(FEW));
        self.recovered = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const ONE: Weight = Weight { operations: 1, bytes: 0 };

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
        assert_eq!(take(2000), Err(Refused::NoRoom { after: AGAIN }));
        assert!(take(7).is_ok(), "who is known is served");
        assert!(tenants.take(&tenant(2000), ONE, &quota, true).is_ok(), "what has to go on does");
        advance(Duration::from_secs(1)).await;
        take(2000).unwrap();
        assert!(tenants.state().accounts.len() <= 2, "who is full again is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_no_limit_takes_no_memory() {
        let tenants = Tenants::new(1);
        for number in 0..10 {
            tenants.take(&tenant(number), ONE, &Quota::new(), false).unwrap();
        }
        assert!(tenants.state().accounts.is_empty());
    }
}
