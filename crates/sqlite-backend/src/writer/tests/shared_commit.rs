//! Writes that share a transaction.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_wait_together_share_a_commit_and_fail_alone() {
    let store = store(with_long_transactions()).await;
    let commits = store.faults.count_commits();
    assert_eq!(store.add("first").await.unwrap(), Some(Position::new(1)));
    let kind_and_effect: Vec<_> = together(&store, &["a", "b", "first", "b", "c"])
        .await
        .into_iter()
        .map(|answer| answer.map_err(|error| (error.kind(), error.effect(), error.message().cloned())))
        .collect();
    let taken = |text| Err((ErrorKind::AlreadyExists, Effect::NotApplied, Some(id(text))));
    let at = |position| Ok(Some(Position::new(position)));
    assert_eq!(kind_and_effect, [at(2), at(3), taken("first"), taken("b"), at(4)]);
    assert_eq!(commits.load(Ordering::SeqCst), 2);
    assert_eq!(store.ids().await, ["first", "a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_that_arrive_during_a_flush_share_its_commit() {
    let store = store(with_long_transactions()).await;
    let commits = store.faults.count_commits();
    let (reached, flushed) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    store.faults.set_hook(Failpoint::Flushed, move |_| {
        reached.send(()).unwrap();
        released.recv().unwrap();
    });
    let mut answers = vec![store.push("a", far())];
    for text in ["b", "c"] {
        tokio::task::block_in_place(|| flushed.recv().unwrap());
        answers.push(store.push(text, far()));
        release.send(()).unwrap();
    }
    // After this flush no write waits, so that the writer commits.
    tokio::task::block_in_place(|| flushed.recv().unwrap());
    release.send(()).unwrap();
    let mut positions = Vec::new();
    for answer in answers {
        positions.push(answer.await.unwrap().unwrap().position.map(Position::get));
    }
    assert_eq!(positions, [Some(1), Some(2), Some(3)]);
    assert_eq!(commits.load(Ordering::SeqCst), 1);
    assert_eq!(store.ids().await, ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_that_share_a_commit_are_independent() {
    let store = store(with_long_transactions()).await;
    let hold = store.hold();
    let add = |text: &str| Add::new("t".parse().unwrap(), message(text));
    let first = store.push_write(add("a").into(), Some("key"), far());
    tokio::task::block_in_place(|| hold.arrived.recv().unwrap());
    let again = store.push_write(add("a").into(), Some("key"), far());
    let refused = store.push_write(Batch::new().with(add("b")).with(add("a")).into(), None, far());
    let batch = store.push_write(Batch::new().with(add("c")).with(add("d")).into(), None, far());
    let last = store.push("b", far());
    hold.release.send(()).unwrap();
    let position = |answer: Result<Committed>| answer.map(|committed| committed.position.map(Position::get));
    assert_eq!(position(first.await.unwrap()).unwrap(), Some(1));
    let again = again.await.unwrap().unwrap();
    assert!(again.result.unwrap().is_deduplicated() && again.position.is_none());
    let refused = refused.await.unwrap().unwrap_err();
    assert_eq!((refused.kind(), refused.batch_index()), (ErrorKind::AlreadyExists, Some(1)));
    // Two changes, of which the answer names the last.
    assert_eq!(position(batch.await.unwrap()).unwrap(), Some(3));
    assert_eq!(position(last.await.unwrap()).unwrap(), Some(4));
    assert_eq!(store.ids().await, ["a", "c", "d", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_after_a_refused_batch_continue_the_thread() {
    let backend = with_long_transactions().temporary().await.unwrap();
    let maintenance = backend.maintenance();
    let store = Store::over(backend);
    let hold = store.hold();
    let first = store.push("a", far());
    tokio::task::block_in_place(|| hold.arrived.recv().unwrap());
    let add = |text: &str| Add::new("t".parse().unwrap(), message(text));
    let refused = store.push_write(Batch::new().with(add("b")).with(add("a")).into(), None, far());
    let last = store.push("c", far());
    hold.release.send(()).unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(refused.await.unwrap().unwrap_err().kind(), ErrorKind::AlreadyExists);
    last.await.unwrap().unwrap();
    let page = store.db.thread("t").page(throughline_core::messages::PageFrom::Start, 10).await.unwrap();
    let seqs: Vec<_> = page.messages.iter().map(|message| (message.id.as_str(), message.seq.get())).collect();
    assert_eq!(seqs, [("a", 1), ("c", 2)]);
    assert_eq!(maintenance.verify().await.unwrap().damaged, []);
}
