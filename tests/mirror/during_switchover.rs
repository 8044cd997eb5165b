//! Writes that arrive during a switchover.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use throughline::{
    Effect, ErrorKind, NewMessage, OpKind, PersistArgs, PersistRequest, PersistResponse, Persistence, Phase,
    Result,
    audit::AuditOutcome,
    layers::audit::AuditLayer,
    memory::MemoryBackend,
    messages::Added,
    mirror::{Switch, Switched},
    plugin::{NextRequest, from_fn},
    replication::{ReplicaArgs, ReplicationRole},
};
use tokio::{sync::Notify, task::JoinHandle};

use super::{
    audited::{key, log},
    support::{all_ids, fill, memory},
};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A switchover that blocks after its old store has become a replica.
struct BlockedSwitchover {
    switch: Switch,
    host: Persistence,
    new: Persistence,
    old: Arc<Old>,
}

/// The counters and barriers of the old store.
#[derive(Default)]
struct Old {
    /// The number of adds that reached the store.
    adds_received: AtomicUsize,
    /// How often the store was made a replica.
    demotions: AtomicUsize,
    is_replica: Notify,
    proceed: Notify,
    /// Whether an add blocks before it runs, and the signal that releases it.
    blocks_adds: AtomicBool,
    add_barrier: Notify,
}

impl Old {
    async fn serve(self: Arc<Self>, request: PersistRequest, next: NextRequest) -> Result<PersistResponse> {
        let is_demotion = matches!(&request.args, PersistArgs::Replica(ReplicaArgs::SetState(change)) if change.to.role == ReplicationRole::Replica);
        if request.kind() == OpKind::Add {
            self.adds_received.fetch_add(1, SeqCst);
            if self.blocks_adds.load(SeqCst) {
                self.add_barrier.notified().await;
            }
        }
        if is_demotion {
            self.demotions.fetch_add(1, SeqCst);
        }
        let answer = next.run(request).await;
        if is_demotion {
            self.is_replica.notify_one();
            self.proceed.notified().await;
        }
        answer
    }
}

impl BlockedSwitchover {
    async fn open() -> Self {
        let seen = Arc::new(Old::default());
        let layer = {
            let seen = Arc::clone(&seen);
            from_fn("held", Phase::Route, move |request: PersistRequest, next: NextRequest| {
                Arc::clone(&seen).serve(request, next)
            })
        };
        let old = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
        fill(&old, 1, 5).await;
        let new = memory("new");
        let switch = Switch::open(old, new.clone()).await.unwrap();
        switch.follow().await.unwrap();
        let stack = Persistence::builder().layer(AuditLayer::new(key()));
        let host = stack.backend(switch.backend()).build().unwrap();
        seen.adds_received.store(0, SeqCst);
        Self { switch, host, new, old: seen }
    }

    fn change(&self) -> JoinHandle<Result<Switched>> {
        let switch = self.switch.clone();
        tokio::spawn(async move { switch.switch_over(TIMEOUT).await })
    }

    fn add(&self, id: &str) -> JoinHandle<Result<Added>> {
        let (thread, message) = (self.host.thread("t0"), NewMessage::user("x").with_id(id.parse().unwrap()));
        tokio::spawn(async move { thread.add(message).await })
    }

    /// Runs all tasks until they wait. All tasks run on this thread.
    async fn settle() {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_write_during_a_switchover_waits_and_is_applied_to_the_new_primary() {
    let blocked = BlockedSwitchover::open().await;
    let change = blocked.change();
    blocked.old.is_replica.notified().await;
    let write = blocked.add("middle");
    BlockedSwitchover::settle().await;
    assert!(!write.is_finished());
    // Reads continue, and return the old state.
    assert_eq!(blocked.host.thread("t0").get("middle".parse().unwrap()).await.unwrap(), None);
    blocked.old.proceed.notify_one();
    change.await.unwrap().unwrap();
    write.await.unwrap().unwrap();
    assert_eq!(blocked.old.adds_received.load(SeqCst), 0, "the old store received no add");
    assert_eq!(all_ids(&blocked.new, "t0").await.last().map(String::as_str), Some("middle"));
}

#[tokio::test]
async fn a_write_whose_deadline_passes_during_a_switchover_reports_not_applied() {
    let blocked = BlockedSwitchover::open().await;
    let change = blocked.change();
    blocked.old.is_replica.notified().await;
    let impatient = blocked.host.with_deadline(Duration::from_millis(50));
    let message = NewMessage::user("hasty").with_id("hasty".parse().unwrap());
    let error = impatient.thread("t0").add(message).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied));
    blocked.old.proceed.notify_one();
    change.await.unwrap().unwrap();
    BlockedSwitchover::settle().await;
    assert_eq!(blocked.old.adds_received.load(SeqCst), 0);
    assert_eq!(blocked.new.thread("t0").get("hasty".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn a_running_write_completes_before_the_store_becomes_a_replica() {
    let blocked = BlockedSwitchover::open().await;
    blocked.old.blocks_adds.store(true, SeqCst);
    let write = blocked.add("under-way");
    BlockedSwitchover::settle().await;
    assert_eq!(blocked.old.adds_received.load(SeqCst), 1);
    let change = blocked.change();
    BlockedSwitchover::settle().await;
    assert_eq!(blocked.old.demotions.load(SeqCst), 0, "the add is still running");
    blocked.old.add_barrier.notify_one();
    write.await.unwrap().unwrap();
    blocked.old.proceed.notify_one();
    change.await.unwrap().unwrap();
    assert_eq!(all_ids(&blocked.new, "t0").await.last().map(String::as_str), Some("under-way"));
}

/// A call that fails during the switchover is recorded in the new primary, after all copied records.
#[tokio::test]
async fn a_rejected_call_record_waits_for_the_end_of_a_switchover() {
    let blocked = BlockedSwitchover::open().await;
    let change = blocked.change();
    blocked.old.is_replica.notified().await;
    // The call is refused before any store.
    let refused =
        NewMessage::user("x").with_metadata(serde_json::from_str(r#"{"throughline.x":1}"#).unwrap());
    blocked.host.thread("t0").add(refused).await.unwrap_err();
    let host = blocked.host.clone();
    let recorded = tokio::spawn(async move { host.write_audit_records().await });
    BlockedSwitchover::settle().await;
    assert!(!recorded.is_finished());
    blocked.old.proceed.notify_one();
    change.await.unwrap().unwrap();
    recorded.await.unwrap().unwrap();
    let outcomes: Vec<_> = log(&blocked.new).await.into_iter().map(|entry| entry.record.outcome).collect();
    assert!(matches!(outcomes[..], [AuditOutcome::Failed { .. }]), "{outcomes:?}");
}
