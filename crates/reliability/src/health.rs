//! Waiting for a health of the store.

use std::time::Duration;

use throughline_sqlite::{Health, Maintenance};
use tokio::time::timeout;

/// The longest wait. A store reports within seconds; a busy machine may take longer.
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until the health of the store meets the condition, and returns it.
///
/// # Panics
/// If the health does not meet the condition within 60 seconds.
pub async fn health_when(maintenance: &Maintenance, condition: impl Fn(&Health) -> bool) -> Health {
    let waiting = async {
        let mut health = maintenance.health();
        while !condition(&health) {
            health = maintenance.health_other_than(&health).await;
        }
        health
    };
    timeout(LIMIT, waiting).await.unwrap_or_else(|_| panic!("the health stays {:?}", maintenance.health()))
}
