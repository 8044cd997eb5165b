//! Moves a live host from a SQLite file to Postgres and back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use throughline::{
    MessageId, NewMessage, Persistence, Position, Thread,
    changes::GetCursor,
    layers::audit::{AuditLayer, anchor, verify},
    mirror::{Mirror, Switch},
};

use super::{
    audited::key,
    everything::{TENANTS, changes, fill, keyed, latest, read_all},
    server::Database,
    support::{self, equal, position, sqlite},
};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Adds messages with keys until it is stopped, each one twice. Returns the acknowledged ids in order.
async fn write(thread: Thread, stop: Arc<AtomicBool>) -> Vec<MessageId> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if stop.load(SeqCst) {
            break;
        }
        let id: MessageId = format!("q{n}").parse().unwrap();
        let message = || NewMessage::user("question").with_id(id.clone());
        let first = thread.add(message()).key(id.as_str()).await.unwrap();
        // The key is already used, whichever store answers now.
        let again = thread.add(message()).key(id.as_str()).await.unwrap();
        assert!(!first.deduplicated && again.deduplicated);
        assert_eq!(first.message, again.message);
        acknowledged.push(id);
    }
    acknowledged
}

/// Checks everything that the concurrent writers do not change.
async fn assert_unchanged(
    db: &Persistence,
    before: &super::everything::Contents,
    half: &(Position, Vec<throughline::changes::Change>),
) {
    assert_eq!(read_all(db).await, *before);
    // A reader of the change feed continues from its position.
    let since = changes(db, half.0).await;
    assert_eq!(since[..half.1.len()], half.1);
    for tenant in TENANTS {
        let db = db.for_tenant(tenant.parse().unwrap());
        assert_eq!(keyed(&db).await, ("first".parse().unwrap(), true));
        assert_eq!(latest(&db).await.as_str(), "m");
        let cursor = db.read(GetCursor { consumer: "c".parse().unwrap() }).await.unwrap();
        assert_eq!((cursor.position, cursor.quarantined), (Position::new(3), 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_host_moves_from_a_file_into_postgres_and_back() {
    let Some(database) = Database::fresh().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let old = sqlite(&path).await;
    support::fill(&old, 3, 100).await;
    fill(&old).await;
    // Start the copy, and interrupt it.
    {
        let new = database.db().await;
        let mirror = Mirror::start(old.clone(), new.clone()).await.unwrap();
        while mirror.status().images == 0 {
            tokio::task::yield_now().await;
        }
        drop(mirror);
        new.close().await.unwrap();
    }
    let before = read_all(&old).await;
    let all = changes(&old, Position::ZERO).await;
    let middle = all.len() / 2;
    let half = (all[middle - 1].position, all[middle..].to_vec());
    old.close().await.unwrap();

    // The host restarts on both stores, and writes.
    let (old, new) = (sqlite(&path).await, database.db().await);
    let switch = Switch::open(old.clone(), new.clone()).await.unwrap();
    let db = Persistence::builder().layer(AuditLayer::new(key())).backend(switch.backend()).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..4).map(|n| tokio::spawn(write(db.thread(format!("w{n}")), Arc::clone(&stop)))).collect();
    switch.follow().await.unwrap();
    switch.switch_over(TIMEOUT).await.unwrap();
    assert_eq!(switch.primary(), 1);
    assert_unchanged(&new, &before, &half).await;
    assert_unchanged(&db, &before, &half).await;
    let anchored = anchor(&db, &key()).await.unwrap();
    switch.switch_back(TIMEOUT).await.unwrap();
    assert_eq!(switch.primary(), 0);
    assert_unchanged(&old, &before, &half).await;
    stop.store(true, SeqCst);
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.push(writer.await.unwrap());
    }
    // One more switchover copies the rest.
    switch.switch_over(TIMEOUT).await.unwrap();
    switch.stop().await;
    equal(&new, &old).await;
    let report = verify(&db, &key(), &[anchored]).await.unwrap();
    assert!(report.is_intact() && report.anchored == anchored.count, "{report:?}");
    let writes: usize = acknowledged.iter().map(Vec::len).sum();
    assert!(writes > 0 && anchored.count.get() > 0);
    assert!(report.intact.get() >= writes as u64);
    for store in [&old, &new] {
        assert!(position(store).await > half.0);
        for (n, acknowledged) in acknowledged.iter().enumerate() {
            let mut found = Vec::new();
            let thread = store.thread(format!("w{n}"));
            let mut walk =
                thread.walk(throughline::messages::PageFrom::Start, throughline::messages::Visibility::All);
            while let Some(message) = walk.next().await.unwrap() {
                assert_eq!(message.seq.get(), found.len() as u64 + 1);
                found.push(message.id);
            }
            assert_eq!(found, *acknowledged);
        }
    }
}
