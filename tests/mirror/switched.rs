//! Repeated switchovers under sixteen writers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use throughline::{
    Content, ErrorKind, MessageState, NewMessage, Persistence, Role, Thread, messages::PageFrom,
    mirror::Switch,
};

use super::support::{equal, memory, sqlite};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Adds and streams messages until it is stopped. Returns the acknowledged messages in order.
async fn write(thread: Thread, stop: Arc<AtomicBool>) -> Vec<(String, String)> {
    let mut acknowledged = Vec::new();
    for n in 0.. {
        if stop.load(SeqCst) {
            break;
        }
        let id = format!("q{n}");
        let message = NewMessage::user(&format!("question {n}")).with_id(id.parse().unwrap());
        thread.add(message).key(id.as_str()).await.unwrap();
        acknowledged.push((id, format!("question {n}")));
        let mut draft = thread.reserve(Role::Assistant).await.unwrap();
        let mut text = String::new();
        for part in 0..4 {
            let part = format!("part {part} of {n}. ");
            draft.append(part.as_str()).await.unwrap();
            text.push_str(&part);
            tokio::task::yield_now().await;
        }
        let done = draft.finish().await.unwrap();
        acknowledged.push((done.id.as_str().to_owned(), text));
    }
    acknowledged
}

pub(super) async fn switch_under_writers(first: Persistence, second: Persistence) {
    let switch = Switch::open(first.clone(), second.clone()).await.unwrap();
    let db = Persistence::builder().backend(switch.backend()).build().unwrap();
    switch.follow().await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..16).map(|n| tokio::spawn(write(db.thread(format!("t{n}")), Arc::clone(&stop)))).collect();
    let mut epochs = Vec::new();
    for _ in 0..3 {
        epochs.push(switch.switch_over(TIMEOUT).await.unwrap().epoch.get());
        assert_eq!(switch.primary(), 1);
        assert_eq!(switch.switch_over(TIMEOUT).await.unwrap_err().kind(), ErrorKind::Conflict);
        let error = first.thread("t0").add(NewMessage::user("to the replica")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotPrimary);
        epochs.push(switch.switch_back(TIMEOUT).await.unwrap().epoch.get());
        assert_eq!(switch.primary(), 0);
    }
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    stop.store(true, SeqCst);
    let mut acknowledged = BTreeMap::new();
    for (n, writer) in writers.into_iter().enumerate() {
        acknowledged.insert(format!("t{n}"), writer.await.unwrap());
    }
    // One more switchover copies the rest.
    switch.switch_over(TIMEOUT).await.unwrap();
    switch.stop().await;
    equal(&second, &first).await;
    for store in [&first, &second] {
        for (thread, acknowledged) in &acknowledged {
            assert!(!acknowledged.is_empty());
            let mut found = Vec::new();
            let mut from = Some(PageFrom::Start);
            while let Some(at) = from {
                let page = store.thread(thread.as_str()).page(at, 100).await.unwrap();
                from = page.next(at);
                found.extend(page.messages);
            }
            assert!(found.iter().all(|message| message.state == MessageState::Final));
            let found: Vec<(String, Content)> =
                found.into_iter().map(|message| (message.id.as_str().to_owned(), message.content)).collect();
            let expected: Vec<(String, Content)> =
                acknowledged.iter().map(|(id, text)| (id.clone(), Content::text(text))).collect();
            assert_eq!(found, expected, "{thread}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn switchovers_between_two_files_keep_every_acknowledged_write_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) =
        (sqlite(&folder.path().join("a.db")).await, sqlite(&folder.path().join("b.db")).await);
    switch_under_writers(first, second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn switchovers_between_memory_and_a_file_keep_every_acknowledged_write_once_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    switch_under_writers(memory("a"), sqlite(&folder.path().join("b.db")).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchover_without_a_replica_or_without_time_is_refused() {
    let (first, second) = (memory("a"), memory("b"));
    let switch = Switch::open(first.clone(), second.clone()).await.unwrap();
    let db = Persistence::builder().backend(switch.backend()).build().unwrap();
    db.thread("t").add(NewMessage::user("one")).await.unwrap();
    assert_eq!(switch.switch_over(TIMEOUT).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(switch.switch_back(TIMEOUT).await.unwrap_err().kind(), ErrorKind::Conflict);
    switch.follow().await.unwrap();
    let late = switch.switch_over(Duration::ZERO).await;
    // With a timeout of zero the switchover succeeds only if both stores are equal already.
    if let Err(error) = late {
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(switch.primary(), 0);
    }
    db.thread("t").add(NewMessage::user("two")).await.unwrap();
    if switch.primary() == 0 {
        switch.follow().await.unwrap();
        switch.switch_over(TIMEOUT).await.unwrap();
    }
    db.thread("t").add(NewMessage::user("three")).await.unwrap();
    assert_eq!(second.thread("t").page(PageFrom::Start, 10).await.unwrap().messages.len(), 3);
}
