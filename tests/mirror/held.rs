//! Writes that come in the middle of a change of the store that leads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use throughline::{
    Effect, ErrorKind, NewMessage, OpKind, PersistArgs, PersistRequest, Persistence, Phase, ReplicaArgs,
    memory::MemoryBackend,
    mirror::Switch,
    plugin::{NextRequest, from_fn},
    replica::Role,
};
use tokio::sync::Notify;

use super::support::{all_ids, fill, memory};

const PATIENCE: Duration = Duration::from_secs(60);

/// A change that stands still once its old store follows.
struct Held {
    switch: Switch,
    host: Persistence,
    new: Persistence,
    /// How many additions have come to the old store.
    additions: Arc<AtomicUsize>,
    stands: Arc<Notify>,
    goes_on: Arc<Notify>,
}

impl Held {
    async fn open() -> Self {
        let (additions, stands, goes_on) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()), Arc::new(Notify::new()));
        let layer = {
            let (additions, stands, goes_on) =
                (Arc::clone(&additions), Arc::clone(&stands), Arc::clone(&goes_on));
            from_fn("stands", Phase::Route, move |request: PersistRequest, next: NextRequest| {
                let (stands, goes_on) = (Arc::clone(&stands), Arc::clone(&goes_on));
                if request.kind() == OpKind::Add {
                    additions.fetch_add(1, SeqCst);
                }
                let is_it = matches!(&request.args, PersistArgs::Replica(ReplicaArgs::Stand(take)) if take.to.role == Role::Following);
                async move {
                    let answer = next.run(request).await;
                    if is_it {
                        stands.notify_one();
                        goes_on.notified().await;
                    }
                    answer
                }
            })
        };
        let old = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
        fill(&old, 1, 5).await;
        let new = memory("new");
        let switch = Switch::open(old, new.clone()).await.unwrap();
        switch.follow().await.unwrap();
        let host = Persistence::builder().backend(switch.backend()).build().unwrap();
        additions.store(0, SeqCst);
        Self { switch, host, new, additions, stands, goes_on }
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
    let switch = held.switch.clone();
    let change = tokio::spawn(async move { switch.cut_over(PATIENCE).await });
    held.stands.notified().await;
    let thread = held.host.thread("t0");
    let write = tokio::spawn(async move {
        thread.add(NewMessage::user("in the middle").with_id("middle".parse().unwrap())).await
    });
    Held::settle().await;
    assert!(!write.is_finished());
    // Nothing can be read that was not there before.
    let seen = held.host.thread("t0").get("middle".parse().unwrap()).await.unwrap();
    assert_eq!(seen, None);
    held.goes_on.notify_one();
    change.await.unwrap().unwrap();
    write.await.unwrap().unwrap();
    assert_eq!(held.additions.load(SeqCst), 0, "the old store was never asked");
    assert_eq!(all_ids(&held.new, "t0").await.last().map(String::as_str), Some("middle"));
}

#[tokio::test]
async fn one_that_cannot_wait_is_told_that_nothing_was_applied() {
    let held = Held::open().await;
    let switch = held.switch.clone();
    let change = tokio::spawn(async move { switch.cut_over(PATIENCE).await });
    held.stands.notified().await;
    let hasty = held.host.with_deadline(Duration::from_millis(50));
    let message = NewMessage::user("hasty").with_id("hasty".parse().unwrap());
    let error = hasty.thread("t0").add(message).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied));
    held.goes_on.notify_one();
    change.await.unwrap().unwrap();
    Held::settle().await;
    assert_eq!(held.additions.load(SeqCst), 0);
    assert_eq!(held.new.thread("t0").get("hasty".parse().unwrap()).await.unwrap(), None);
}
