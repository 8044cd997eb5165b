//! Waiting for a health of the store.

use std::time::Duration;

use throughline_sqlite::{Health, Maintenance};
use tokio::time::timeout;

/// Waits until the health of the store meets the condition, and returns it.
///
/// # Panics
/// If the health does not meet the condition within the limit.
pub async fn health_when(
    maintenance: &Maintenance,
    limit: Duration,
    condition: impl Fn(&Health) -> bool,
) -> Health {
    let waiting = async {
        let mut health = maintenance.health();
        while !condition(&health) {
            health = maintenance.health_other_than(&health).await;
        }
        health
    };
    timeout(limit, waiting).await.unwrap_or_else(|_| panic!("the health stays {:?}", maintenance.health()))
}
