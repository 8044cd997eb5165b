//! The key of the fingerprints, which a replica receives when it takes its role.

use throughline_core::{
    Backend as _, Persistence,
    operations::FingerprintKey,
    replication::{GetReplicationStatus, SetReplicationState},
};
use throughline_postgres::PostgresBackend;
use tokio::runtime::Builder;

use crate::support::Database;

/// Opens the store in a new backend and returns its key.
async fn key(database: &Database) -> Option<FingerprintKey> {
    PostgresBackend::open(&database.url).await.unwrap().fingerprint_key()
}

/// The store runs on threads of its own: the runtime of the caller needs neither IO nor time.
#[test]
fn a_replica_takes_its_key_on_a_runtime_without_io() {
    let whole = Builder::new_current_thread().enable_all().build().unwrap();
    let bare = Builder::new_current_thread().enable_time().build().unwrap();
    let Some(database) = whole.block_on(Database::fresh("")) else { return };
    let db: Persistence = whole.block_on(database.db());
    let [first, second] = [7, 8].map(|byte| FingerprintKey::from_bytes([byte; 32]));
    let (primary, taken) = bare.block_on(async {
        let primary = db.read(GetReplicationStatus {}).await.unwrap();
        let follow =
            SetReplicationState::new(primary.replication_state, primary.replication_state.as_replica());
        (primary, db.on_replica(follow.with_fingerprint_key(Some(first))).await.unwrap())
    });
    // The role and the key are one commit.
    assert_eq!(taken.position.get(), primary.position.get() + 1);
    assert!(whole.block_on(key(&database)) == Some(first));

    let again = SetReplicationState::new(taken.replication_state, taken.replication_state);
    let take = async |key| db.on_replica(again.with_fingerprint_key(Some(key))).await.unwrap();
    assert_eq!(bare.block_on(take(first)), taken);
    let rekeyed = bare.block_on(take(second));
    assert_eq!(rekeyed.position.get(), taken.position.get() + 1);
    assert!(whole.block_on(key(&database)) == Some(second));
    whole.block_on(db.close()).unwrap();
}
