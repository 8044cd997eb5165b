//! Two processes change or look for the primary at the same time. Two switches with their own pipelines over the same
//! files simulate the processes.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use throughline::{
    Effect, ErrorKind, NewMessage, PersistArgs, PersistRequest, Persistence, Phase,
    mirror::Switch,
    plugin::{NextRequest, from_fn},
    replication::{GetReplicationStatus, ReplicaArgs, ReplicationRole, SetReplicationState},
    sqlite::SqliteBackend,
};

use super::support::{all_ids, copy, fill, sqlite};

const TIMEOUT: Duration = Duration::from_secs(60);

/// The step of a switchover at which another process interferes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Before the old store becomes a replica.
    BeforeDemotion,
    /// After the old store became a replica.
    AfterDemotion,
    /// After the old store has recorded that both are equal.
    Equal,
}

/// Opens the old store of a switchover, in which `other` runs once at the given step.
async fn interrupted<F>(path: &Path, at: Step, other: impl Fn() -> F + Send + Sync + 'static) -> Persistence
where
    F: Future<Output = ()> + Send + 'static,
{
    let other = Arc::new(other);
    let done = Arc::new(AtomicBool::new(false));
    let layer = from_fn("between", Phase::Route, move |request: PersistRequest, next: NextRequest| {
        let (other, done) = (Arc::clone(&other), Arc::clone(&done));
        async move {
            let matches_step = match &request.args {
                PersistArgs::Replica(ReplicaArgs::SetState(set_state)) => {
                    at != Step::Equal && set_state.to.role == ReplicationRole::Replica
                }
                PersistArgs::Replica(ReplicaArgs::Apply(_)) => at == Step::Equal,
                _ => false,
            };
            let matches_step = matches_step && !done.swap(true, SeqCst);
            if matches_step && at == Step::BeforeDemotion {
                other().await;
            }
            let answer = next.run(request).await;
            if matches_step && at != Step::BeforeDemotion {
                other().await;
            }
            answer
        }
    });
    let backend = SqliteBackend::open(path).await.unwrap();
    Persistence::builder().layer(layer).backend(backend).build().unwrap()
}

async fn is_primary(db: &Persistence) -> bool {
    db.read(GetReplicationStatus {}).await.unwrap().replication_state.is_primary()
}

async fn start_process_during_switchover(at: Step) {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a.db"), folder.path().join("b.db")];
    let (old, new) = (sqlite(&paths[0]).await, sqlite(&paths[1]).await);
    fill(&old, 1, 5).await;
    drop(copy(&old, &new).await.stop().await);
    let written = Arc::new(AtomicUsize::new(0));
    let other = {
        let (old, new, written) = (old.clone(), new.clone(), Arc::clone(&written));
        move || {
            let (old, new, written) = (old.clone(), new.clone(), Arc::clone(&written));
            async move {
                // The other process finds no primary, and promotes the old store.
                let switch = Switch::open(old, new).await.unwrap();
                let db = Persistence::builder().backend(switch.backend()).build().unwrap();
                let message = NewMessage::user("acknowledged").with_id("between".parse().unwrap());
                db.thread("t0").add(message).await.unwrap();
                written.fetch_add(1, SeqCst);
            }
        }
    };
    let switch = Switch::open(interrupted(&paths[0], at, other).await, new.clone()).await.unwrap();
    switch.follow().await.unwrap();
    let answer = switch.switch_over(TIMEOUT).await;
    assert_eq!(written.load(SeqCst), 1, "{at:?}");
    let found = [is_primary(&old).await, is_primary(&new).await];
    assert_ne!(found[0], found[1], "{at:?}: exactly one store must be primary: {answer:?}");
    let primary = if found[0] { &old } else { &new };
    assert!(
        primary.thread("t0").get("between".parse().unwrap()).await.unwrap().is_some(),
        "{at:?}: {answer:?}"
    );
    let is_changed = answer.is_ok();
    assert_eq!(is_changed, found[1], "{at:?}: {answer:?}");
    if let Err(error) = answer {
        assert_eq!(error.effect(), Effect::NotApplied, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_starts_during_a_switchover_and_the_switchover_never_both_succeed() {
    for at in [Step::BeforeDemotion, Step::AfterDemotion, Step::Equal] {
        start_process_during_switchover(at).await;
    }
}

/// The step that demotes the old store is delayed beyond the timeout, and arrives after the switchover was reverted.
#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_demotion_is_refused_after_the_switchover_was_reverted() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a.db"), folder.path().join("b.db")];
    let (old, new) = (sqlite(&paths[0]).await, sqlite(&paths[1]).await);
    fill(&old, 1, 5).await;
    let held = Arc::new(std::sync::Mutex::new(None));
    let layer = {
        let held = Arc::clone(&held);
        from_fn("late", Phase::Route, move |request: PersistRequest, next: NextRequest| {
            let is_held = match &request.args {
                PersistArgs::Replica(ReplicaArgs::SetState(set_state))
                    if set_state.to.role == ReplicationRole::Replica =>
                {
                    let mut held = held.lock().unwrap();
                    let is_first = held.is_none();
                    held.get_or_insert(*set_state);
                    is_first
                }
                _ => false,
            };
            async move { if is_held { std::future::pending().await } else { next.run(request).await } }
        })
    };
    let backend = SqliteBackend::open(&paths[0]).await.unwrap();
    let slow = Persistence::builder().layer(layer).backend(backend).build().unwrap();
    let switch = Switch::open(slow, new.clone()).await.unwrap();
    switch.follow().await.unwrap();
    let error = switch.switch_over(Duration::from_secs(3)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Timeout, Effect::NotApplied), "{error}");
    let late = held.lock().unwrap().take().expect("the step was captured");
    assert_eq!(old.on_replica(late).await.unwrap_err().kind(), ErrorKind::Stale);
    // Let the next switchover pass.
    *held.lock().unwrap() = Some(late);
    assert!(is_primary(&old).await && !is_primary(&new).await);
    // Reverting has raised the epoch of the old store, and the next switchover uses a higher one.
    let raised = old.read(GetReplicationStatus {}).await.unwrap().replication_state.epoch;
    let switched = switch.switch_over(TIMEOUT).await.unwrap();
    assert!(switched.epoch > raised, "{} must be above {raised}", switched.epoch);
    assert!(!is_primary(&old).await && is_primary(&new).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_process_reads_from_the_new_primary() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a.db"), folder.path().join("b.db")];
    let open = async || Switch::open(sqlite(&paths[0]).await, sqlite(&paths[1]).await).await.unwrap();
    let (first, second) = (open().await, open().await);
    let [writer, reader] =
        [&first, &second].map(|switch| Persistence::builder().backend(switch.backend()).build().unwrap());
    writer.thread("t").add(NewMessage::user("one").with_id("one".parse().unwrap())).await.unwrap();
    first.follow().await.unwrap();
    first.switch_over(TIMEOUT).await.unwrap();
    first.stop().await;
    writer.thread("t").add(NewMessage::user("two").with_id("two".parse().unwrap())).await.unwrap();
    assert!(reader.thread("t").get("two".parse().unwrap()).await.unwrap().is_some());
    assert_eq!(second.primary(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_start_concurrently_agree_on_the_primary() {
    for round in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("a.db"), folder.path().join("b.db")];
        let (old, new) = (sqlite(&paths[0]).await, sqlite(&paths[1]).await);
        fill(&old, 1, 2).await;
        drop(copy(&old, &new).await.stop().await);
        let state = old.read(GetReplicationStatus {}).await.unwrap().replication_state;
        old.on_replica(SetReplicationState::new(state, state.as_replica())).await.unwrap();
        let openers: Vec<_> = (0..6)
            .map(|_| {
                let (old, new) = (old.clone(), new.clone());
                tokio::spawn(async move { Switch::open(old, new).await.map(|switch| switch.primary()) })
            })
            .collect();
        for opener in openers {
            assert_eq!(opener.await.unwrap().unwrap(), 0, "round {round}");
        }
        assert!(is_primary(&old).await && !is_primary(&new).await);
    }
}

/// Adds messages until it is stopped. Retries calls that are refused while no store is primary. Returns the number of
/// acknowledged messages.
async fn write(db: Persistence, thread: String, stop: Arc<AtomicBool>) -> usize {
    let thread = db.thread(thread);
    let mut n = 0;
    while !stop.load(SeqCst) {
        let id = format!("q{n}");
        let message = NewMessage::user(&format!("question {n}")).with_id(id.parse().unwrap());
        match thread.add(message).key(id.as_str()).await {
            Ok(_) => n += 1,
            Err(error) => {
                assert_eq!(
                    (error.kind(), error.effect()),
                    (ErrorKind::NotPrimary, Effect::NotApplied),
                    "{error}"
                );
                tokio::task::yield_now().await;
            }
        }
    }
    n
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_switchovers_lose_no_acknowledged_write() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a.db"), folder.path().join("b.db")];
    let mut switches = Vec::new();
    let mut dbs = Vec::new();
    for _ in 0..2 {
        let switch = Switch::open(sqlite(&paths[0]).await, sqlite(&paths[1]).await).await.unwrap();
        dbs.push(Persistence::builder().backend(switch.backend()).build().unwrap());
        switches.push(switch);
    }
    let stop = Arc::new(AtomicBool::new(false));
    dbs[0]
        .thread("t0")
        .add(NewMessage::user("question 0").with_id("q0".parse().unwrap()))
        .key("q0")
        .await
        .unwrap();
    let writers: Vec<_> =
        (0..4).map(|n| tokio::spawn(write(dbs[n % 2].clone(), format!("t{n}"), Arc::clone(&stop)))).collect();
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let switchers: Vec<_> = switches
        .into_iter()
        .enumerate()
        .map(|(n, switch)| {
            tokio::spawn(async move {
                let mut random = fastrand::Rng::with_seed(seed + n as u64);
                let mut changed = 0;
                for _ in 0..40 {
                    drop(switch.follow().await);
                    let timeout = if random.u8(..4) == 0 {
                        Duration::from_millis(random.u64(0..20))
                    } else {
                        Duration::from_secs(10)
                    };
                    let answer = if random.bool() {
                        switch.switch_over(timeout).await
                    } else {
                        switch.switch_back(timeout).await
                    };
                    match answer {
                        Ok(_) => changed += 1,
                        // A failed switchover leaves one primary.
                        Err(error) => assert_eq!(error.effect(), Effect::NotApplied, "{error}"),
                    }
                }
                switch.stop().await;
                changed
            })
        })
        .collect();
    let mut changed = 0;
    for switcher in switchers {
        changed += switcher.await.unwrap();
    }
    stop.store(true, SeqCst);
    let mut written = Vec::new();
    for writer in writers {
        written.push(writer.await.unwrap());
    }
    assert!(changed > 0 && written.iter().all(|written| *written > 0), "{changed} {written:?}");
    let stores = [sqlite(&paths[0]).await, sqlite(&paths[1]).await];
    let primaries = [is_primary(&stores[0]).await, is_primary(&stores[1]).await];
    assert_ne!(primaries[0], primaries[1], "{primaries:?}");
    let primary = &stores[usize::from(primaries[1])];
    for (n, written) in written.iter().enumerate() {
        let found = all_ids(primary, &format!("t{n}")).await;
        let due: Vec<String> = (0..*written).map(|n| format!("q{n}")).collect();
        assert_eq!(found, due, "t{n}");
    }
}

/// The mirror of this process stops when another process switches over; `follow` starts it in the other direction.
#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_restarts_in_the_other_direction_after_the_switchover_of_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a.db"), folder.path().join("b.db")];
    let open = async || Switch::open(sqlite(&paths[0]).await, sqlite(&paths[1]).await).await.unwrap();
    let (first, second) = (open().await, open().await);
    first.follow().await.unwrap();
    second.follow().await.unwrap();
    first.switch_over(TIMEOUT).await.unwrap();
    first.stop().await;
    assert_eq!(second.switch_back(TIMEOUT).await.unwrap_err().kind(), ErrorKind::Conflict);
    second.follow().await.unwrap();
    second.switch_back(TIMEOUT).await.unwrap();
    assert_eq!(second.primary(), 0);
}
