//! Writes that come in the middle of a change of the store that leads.

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

/// A change that stands still once its old store follows.
struct Held {
    switch: Switch,
    host: Persistence,
    new: Persistence,
    old: Arc<Old>,
}

/// What is seen of the old store, and what holds it.
#[derive(Default)]
struct Old {
    /// How many additions have come to it.
    additions: AtomicUsize,
    /// How often it was told to follow.
    told: AtomicUsize,
    stands: Notify,
    goes_on: Notify,
    /// Whether an addition waits before it is done, and what lets it go on.
    holds_additions: AtomicBool,
    adds: Notify,
}

impl Old {
    async fn serve(self: Arc<Self>, request: PersistRequest, next: NextRequest) -> Result<PersistResponse> {
        let is_told = matches!(&request.args, PersistArgs::Replica(ReplicaArgs::SetState(take)) if take.to.role == ReplicationRole::Replica);
        if request.kind() == OpKind::Add {
            self.additions.fetch_add(1, SeqCst);
            if self.holds_additions.load(SeqCst) {
                self.adds.notified().await;
            }
        }
        if is_told {
            self.told.fetch_add(1, SeqCst);
        }
        let answer = next.run(request).await;
        if is_told {
            self.stands.notify_one();
            self.goes_on.notified().await;
        }
        answer
    }
}

impl Held {
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
        seen.additions.store(0, SeqCst);
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

    /// Lets everything run that can: all of it is on one thread, and waits for no other.
    async fn settle() {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn one_waits_and_is_applied_where_it_belongs() {
    let held = Held::open().await;
    let change = held.change();
    held.old.stands.notified().await;
    let write = held.add("middle");
    Held::settle().await;
    assert!(!write.is_finished());
    // Reads go on, and show what there was.
    assert_eq!(held.host.thread("t0").get("middle".parse().unwrap()).await.unwrap(), None);
    held.old.goes_on.notify_one();
    change.await.unwrap().unwrap();
    write.await.unwrap().unwrap();
    assert_eq!(held.old.additions.load(SeqCst), 0, "the old store was never asked");
    assert_eq!(all_ids(&held.new, "t0").await.last().map(String::as_str), Some("middle"));
}

#[tokio::test]
async fn one_that_cannot_wait_is_told_that_nothing_was_applied() {
    let held = Held::open().await;
    let change = held.change();
    held.old.stands.notified().await;
    let hasty = held.host.with_deadline(Duration::from_millis(50));
    let message = NewMessage::user("hasty").with_id("hasty".parse().unwrap());
    let error = hasty.thread("t0").add(message).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied));
    held.old.goes_on.notify_one();
    change.await.unwrap().unwrap();
    Held::settle().await;
    assert_eq!(held.old.additions.load(SeqCst), 0);
    assert_eq!(held.new.thread("t0").get("hasty".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn one_that_is_under_way_ends_before_the_store_is_told_to_follow() {
    let held = Held::open().await;
    held.old.holds_additions.store(true, SeqCst);
    let write = held.add("under-way");
    Held::settle().await;
    assert_eq!(held.old.additions.load(SeqCst), 1);
    let change = held.change();
    Held::settle().await;
    assert_eq!(held.old.told.load(SeqCst), 0, "it is still written to");
    held.old.adds.notify_one();
    write.await.unwrap().unwrap();
    held.old.goes_on.notify_one();
    change.await.unwrap().unwrap();
    assert_eq!(all_ids(&held.new, "t0").await.last().map(String::as_str), Some("under-way"));
}

/// What failed in the middle of a change is noted in the store that leads afterwards, behind everything that was copied.
#[tokio::test]
async fn a_note_waits_too() {
    let held = Held::open().await;
    let change = held.change();
    held.old.stands.notified().await;
    // Refused before any store is asked.
    let refused =
        NewMessage::user("x").with_metadata(serde_json::from_str(r#"{"throughline.x":1}"#).unwrap());
    held.host.thread("t0").add(refused).await.unwrap_err();
    let host = held.host.clone();
    let noted = tokio::spawn(async move { host.write_audit_records().await });
    Held::settle().await;
    assert!(!noted.is_finished());
    held.old.goes_on.notify_one();
    change.await.unwrap().unwrap();
    noted.await.unwrap().unwrap();
    let outcomes: Vec<_> = log(&held.new).await.into_iter().map(|entry| entry.record.outcome).collect();
    assert!(matches!(outcomes[..], [AuditOutcome::Failed { .. }]), "{outcomes:?}");
}
