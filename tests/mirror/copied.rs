//! Copies between stores of both kinds.

use throughline::{
    ErrorKind, NewMessage, Persistence, Position,
    changes::{ChangeScope, MoveCursor, ReadChanges},
    messages::{PageFrom, UpdateMode},
    mirror::{Mirror, MirrorState},
    sqlite::SqliteBackend,
};

use super::support::{append, copy, equal, fill, memory, position, sqlite};

pub(super) async fn assert_copied(from: Persistence, to: Persistence) {
    fill(&from, 3, 40).await;
    let mirror = copy(&from, &to).await;
    let comparison = equal(&from, &to).await;
    assert_eq!((comparison.threads, comparison.messages), (3, 3 * 40));
    // The mirror copies later changes too.
    from.thread("late").add(NewMessage::user("later")).await.unwrap();
    append(&from, "t1", "open", "lo", UpdateMode::Final).await;
    from.thread("t2").clear().await.unwrap();
    from.thread("t0").delete_thread().await.unwrap();
    assert!(mirror.reached(position(&from).await).await);
    equal(&from, &to).await;
    let status = mirror.stop().await;
    assert!(matches!(status.state, MirrorState::Stopped { why: None }), "{status:?}");
    assert_eq!((status.failures, status.damaged.len(), status.lag().changes), (0, 0, 0));
    let error = to.thread("t1").add(NewMessage::user("not here")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPrimary);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_store_is_copied_into_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::open(folder.path().join("b.db")).await.unwrap();
    let maintenance = backend.maintenance();
    let to = Persistence::builder().backend(backend).build().unwrap();
    assert_copied(memory("a"), to).await;
    let report = maintenance.verify().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_copied_into_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let backend = SqliteBackend::open(folder.path().join("b.db")).await.unwrap();
    let maintenance = backend.maintenance();
    let to = Persistence::builder().backend(backend).build().unwrap();
    assert_copied(sqlite(&folder.path().join("a.db")).await, to).await;
    let report = maintenance.verify().await.unwrap();
    assert!(report.is_sound(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_copied_into_memory() {
    let folder = tempfile::tempdir().unwrap();
    assert_copied(sqlite(&folder.path().join("a.db")).await, memory("b")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_content_is_not_made_a_replica() {
    let (from, to) = (memory("a"), memory("b"));
    to.thread("t").add(NewMessage::user("mine")).await.unwrap();
    let error = Mirror::start(from, to.clone()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    to.thread("t").add(NewMessage::user("still mine")).await.unwrap();
    assert_eq!(to.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_mirrors_into_one_store_lose_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (memory("a"), sqlite(&folder.path().join("b.db")).await);
    fill(&from, 2, 30).await;
    let first = copy(&from, &to).await;
    let second = Mirror::start(from.clone(), to.clone()).await.unwrap();
    for n in 0..50 {
        from.thread("both").add(NewMessage::user(&format!("{n}"))).await.unwrap();
    }
    let position = position(&from).await;
    assert!(first.reached(position).await || second.reached(position).await);
    equal(&from, &to).await;
}

/// A host that keeps its own position must not miss a change before that position in the other store.
#[tokio::test(flavor = "multi_thread")]
async fn the_position_of_a_copy_includes_commits_without_a_change_event() {
    let folder = tempfile::tempdir().unwrap();
    for to in [memory("b"), sqlite(&folder.path().join("b.db")).await] {
        let from = memory("a");
        from.thread("t").add(NewMessage::user("one")).await.unwrap();
        // Each move takes a position, and emits no change.
        for n in 0..200 {
            from.on_consumer(MoveCursor::new("index".parse().unwrap(), Position::new(n))).await.unwrap();
        }
        let primary_position = position(&from).await;
        assert!(primary_position.get() >= 200);
        drop(copy(&from, &to).await.stop().await);
        assert!(
            position(&to).await >= primary_position,
            "{} is below {primary_position}",
            position(&to).await
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_the_primary_no_longer_keeps_are_too_old_in_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    let options = SqliteBackend::builder().changes_kept(10);
    let backend = options.open(folder.path().join("a.db")).await.unwrap();
    let from = Persistence::builder().backend(backend).build().unwrap();
    for n in 0..50 {
        from.thread("t").add(NewMessage::user(&format!("{n}"))).await.unwrap();
    }
    let all = || ReadChanges::new(ChangeScope::Store, Position::ZERO, 100);
    assert_eq!(from.read(all()).await.unwrap_err().kind(), ErrorKind::TooOld);
    for to in [memory("b"), sqlite(&folder.path().join("b.db")).await] {
        drop(copy(&from, &to).await.stop().await);
        assert_eq!(to.read(all()).await.unwrap_err().kind(), ErrorKind::TooOld);
        equal(&from, &to).await;
    }
}
