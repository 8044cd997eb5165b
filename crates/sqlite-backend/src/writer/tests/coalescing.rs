//! Partial writes to one message that share a transaction.

use throughline_core::{
    Content, Delta, NewReservation, PersistResult, Role,
    messages::{ContentChange, UpdateContent, UpdateMode},
};

use super::*;

fn partial(change: ContentChange) -> PersistArgs {
    UpdateContent::new("t".parse().unwrap(), id("m"), change, UpdateMode::Partial).into()
}

fn text(text: &str) -> PersistArgs {
    partial(ContentChange::Append(Delta::text(text)))
}

/// Returns the kinds and the lengths of the chunks of the only open message.
fn chunks(path: &std::path::Path) -> Vec<(i64, i64)> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT kind, length(delta) FROM appends ORDER BY n").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn superseded_changes_of_a_transaction_are_not_written() {
    let backend = SqliteBackend::builder().batch_time(Duration::from_secs(3600)).temporary().await.unwrap();
    let path = backend.writer().path().to_owned();
    let store = Store::over(backend);
    let thread = store.db.thread("t");
    drop(thread.reserve(NewReservation::new(Role::Assistant).with_id(id("m"))).await.unwrap());
    store.push_write(text("before"), None, far()).await.unwrap().unwrap();
    let wal = super::super::wal_path_of(&path);
    let before = super::super::wal_length(&wal);
    let commits = store.faults.count_commits();

    let hold = store.hold();
    let large = "x".repeat(256 << 10);
    let mut answers = vec![store.push_write(text("a"), None, far())];
    tokio::task::block_in_place(|| hold.arrived.recv().unwrap());
    for _ in 0..20 {
        answers.push(store.push_write(partial(ContentChange::Replace(Content::text(&large))), None, far()));
        answers.push(store.push_write(text("b"), None, far()));
    }
    // A refused write does not affect the others.
    let mut stale =
        UpdateContent::new("t".parse().unwrap(), id("m"), ContentChange::none(), UpdateMode::Partial);
    stale.expected = Some(throughline_core::Revision::new(1));
    let refused = store.push_write(stale.into(), None, far());
    answers.push(store.push_write(text("c"), None, far()));
    hold.release.send(()).unwrap();

    let mut found = Vec::new();
    for answer in answers {
        let committed = answer.await.unwrap().unwrap();
        let Some(PersistResult::UpdateContent(updated)) = committed.result else { panic!("another answer") };
        found.push((updated.revision.get(), committed.position.unwrap().get()));
    }
    assert_eq!(refused.await.unwrap().unwrap_err().kind(), ErrorKind::Stale);
    // Each write gets the answer that it would get alone.
    let (first, position) = found[0];
    let expected: Vec<_> = (0..42).map(|n| (first + n, position + n)).collect();
    assert_eq!(found, expected);
    assert_eq!(commits.load(Ordering::SeqCst), 1);
    // The last base, and one chunk with everything after it.
    assert_eq!(chunks(&path), [(2, Content::text(&large).byte_len() as i64), (0, 2)]);
    let written = super::super::wal_length(&wal) - before;
    assert!(written < 2 * large.len() as u64, "{written} bytes for {} of content", large.len());
    let message = thread.get(id("m")).await.unwrap().unwrap();
    assert_eq!(message.content, Content::text(&format!("{large}bc")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_operations_of_a_transaction_see_its_partial_writes() {
    let store = store(with_long_transactions()).await;
    let thread = store.db.thread("t");
    drop(thread.reserve(NewReservation::new(Role::Assistant).with_id(id("m"))).await.unwrap());
    let hold = store.hold();
    let first = store.push_write(text("a"), None, far());
    tokio::task::block_in_place(|| hold.arrived.recv().unwrap());
    let second = store.push_write(text("b"), None, far());
    let end = UpdateContent::new(
        "t".parse().unwrap(),
        id("m"),
        ContentChange::Append(Delta::text("c")),
        UpdateMode::Final,
    );
    let end = store.push_write(Batch::new().with(end).into(), None, far());
    let late = store.push_write(text("d"), None, far());
    hold.release.send(()).unwrap();
    for answer in [first, second, end] {
        answer.await.unwrap().unwrap();
    }
    assert_eq!(late.await.unwrap().unwrap_err().kind(), ErrorKind::Stale);
    assert_eq!(thread.get(id("m")).await.unwrap().unwrap().content, Content::text("abc"));
}
