//! Copies and switchovers that are interrupted continue where they stopped.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use throughline::{
    ErrorKind, NewMessage, Persistence, Position,
    mirror::{Mirror, MirrorState, Switch},
    replication::{ApplyImages, BeginCapture, GetReplicationStatus, ReplicationState, SetReplicationState},
};

use super::support::{copy, copy_in_rounds, equal, fill, import, memory, position, sqlite};

#[tokio::test(flavor = "multi_thread")]
async fn a_repeatedly_interrupted_copy_continues_where_it_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let (from, path) = (sqlite(&folder.path().join("a.db")).await, folder.path().join("b.db"));
    fill(&from, 4, 500).await;
    let copied = copy_in_rounds(&from, || sqlite(&path)).await;
    let to = sqlite(&path).await;
    drop(copy(&from, &to).await);
    let comparison = equal(&from, &to).await;
    assert_eq!(comparison.messages, 4 * 500);
    // The row images are keys, messages, changes and a few more. Only images in flight are copied again after a kill.
    assert!(copied < 3 * 4 * 502 + 20 * 500, "{copied} images");
}

/// The environment variable that makes a child process copy in this folder.
const FOLDER: &str = "THROUGHLINE_TEST_COPY";

/// Copies until both stores are equal.
async fn copy_in(folder: &Path) {
    let (from, to) = (sqlite(&folder.join("a.db")).await, sqlite(&folder.join("b.db")).await);
    let mirror = Mirror::start(from, to).await.unwrap();
    while !matches!(mirror.status().state, MirrorState::Replicating) {
        assert!(!mirror.status().is_stopped(), "{:?}", mirror.status());
        tokio::task::yield_now().await;
    }
}

/// Kills the copying process with a signal after a few pages, while writers use the store.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_by_repeatedly_killed_processes_is_complete() {
    const MESSAGES: usize = 10_000;
    if let Some(folder) = std::env::var_os(FOLDER) {
        return copy_in(Path::new(&folder)).await;
    }
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (sqlite(&folder.path().join("a.db")).await, sqlite(&folder.path().join("b.db")).await);
    import(&from, "large", 0..MESSAGES).await;
    fill(&from, 2, 20).await;
    let cursor = async || to.read(GetReplicationStatus {}).await.unwrap().cursor;
    let mut killed = 0;
    let mut written = 0;
    loop {
        let mut copier = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::a_copy_by_repeatedly_killed_processes_is_complete"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut pages = random.u32(1..=6);
        let mut seen = cursor().await;
        let ended = loop {
            if let Some(ended) = copier.try_wait().unwrap() {
                break Some(ended);
            }
            let now = cursor().await;
            if now != seen {
                (seen, pages) = (now, pages - 1);
            }
            if pages == 0 {
                break None;
            }
            if written < 300 && random.u8(..8) == 0 {
                let thread = from.thread(format!("t{}", written % 2));
                thread.add(NewMessage::user("meanwhile")).key(format!("w{written}").as_str()).await.unwrap();
                written += 1;
            }
        };
        if let Some(ended) = ended {
            assert!(ended.success(), "{ended}");
            break;
        }
        copier.kill().unwrap();
        killed += u32::from(copier.wait().unwrap().code().is_none());
    }
    assert!(killed >= 3, "the process was killed {killed} times");
    drop(copy(&from, &to).await.stop().await);
    let comparison = equal(&from, &to).await;
    assert_eq!(comparison.messages, (MESSAGES + 2 * 20 + written) as u64);
}

/// Leaves the stores as a switchover that dies after `steps` steps.
pub(super) async fn interrupted_switchover(old: &Persistence, new: &Persistence, steps: usize) {
    drop(copy(old, new).await.stop().await);
    let replication_state =
        async |db: &Persistence| db.read(GetReplicationStatus {}).await.unwrap().replication_state;
    let state = replication_state(old).await;
    if steps > 0 {
        old.on_replica(SetReplicationState::new(state, state.as_replica())).await.unwrap();
    }
    if steps > 1 {
        let next = new.on_replica(BeginCapture::FROM_NOW).await.unwrap().cursor;
        let equal = ApplyImages {
            epoch: state.epoch,
            from: None,
            to: next,
            images: Vec::new(),
            position: Position::ZERO,
            kept_after: Position::ZERO,
        };
        old.on_replica(equal).await.unwrap();
    }
    if steps > 2 {
        let replica = replication_state(new).await;
        let epoch = state.epoch.max(replica.epoch).next();
        new.on_replica(SetReplicationState::new(replica, ReplicationState { epoch, ..replica.promoted() }))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_that_dies_after_any_step_leaves_one_primary() {
    for (steps, primary) in [(0, 0), (1, 0), (2, 0), (3, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("a.db"), folder.path().join("b.db")];
        let (old, new) = (sqlite(&paths[0]).await, sqlite(&paths[1]).await);
        fill(&old, 2, 20).await;
        interrupted_switchover(&old, &new, steps).await;
        let asked = new.read(GetReplicationStatus {}).await.unwrap().replication_state;
        old.close().await.unwrap();
        new.close().await.unwrap();
        let (old, new) = (sqlite(&paths[0]).await, sqlite(&paths[1]).await);
        let switch = Switch::open(old.clone(), new.clone()).await.unwrap();
        assert_eq!(switch.primary(), primary, "after {steps} steps");
        let db = Persistence::builder().backend(switch.backend()).build().unwrap();
        switch.follow().await.unwrap();
        db.thread("t0").add(NewMessage::user("after the crash")).await.unwrap();
        let (first, second) = if primary == 0 { (&old, &new) } else { (&new, &old) };
        let error = second.thread("t0").add(NewMessage::user("to the replica")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotPrimary);
        if primary == 0 && steps > 0 {
            // A late attempt to complete the switchover is refused.
            let late = SetReplicationState::new(asked, asked.promoted());
            assert_eq!(new.on_replica(late).await.unwrap_err().kind(), ErrorKind::Stale);
        }
        let timeout = std::time::Duration::from_secs(30);
        let changed =
            if primary == 0 { switch.switch_over(timeout).await } else { switch.switch_back(timeout).await };
        changed.unwrap();
        db.thread("t0").add(NewMessage::user("after the change")).await.unwrap();
        let target = position(second).await;
        while switch.status().await.is_none_or(|status| status.position < target || status.lag().changes > 0)
        {
            tokio::task::yield_now().await;
        }
        switch.stop().await;
        equal(first, second).await;
    }
}

/// The store that was the primary has everything: here the second one, with a write that the first one lacks.
#[tokio::test(flavor = "multi_thread")]
async fn a_switchback_that_dies_leaves_the_second_store_primary() {
    let (first, second) = (memory("a"), memory("b"));
    fill(&first, 1, 5).await;
    interrupted_switchover(&first, &second, 3).await;
    drop(copy(&second, &first).await.stop().await);
    second.thread("t0").add(NewMessage::user("not carried yet")).await.unwrap();
    let state = second.read(GetReplicationStatus {}).await.unwrap().replication_state;
    second.on_replica(SetReplicationState::new(state, state.as_replica())).await.unwrap();
    assert_eq!(Switch::open(first, second).await.unwrap().primary(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_refuses_two_unrelated_stores_with_content() {
    let (first, second) = (memory("a"), memory("b"));
    for db in [&first, &second] {
        db.thread("t").add(NewMessage::user("mine")).await.unwrap();
    }
    assert_eq!(Switch::open(first, second).await.unwrap_err().kind(), ErrorKind::Conflict);
}
