//! A runner that stops at any point continues from its cursor (VL-S21, T3-S12).

use std::sync::{Arc, Mutex};

use throughline::{
    Content, MessageId, Persistence, Position, changes::ChangeScope, effects::Effects, sqlite::SqliteBackend,
};
use tokio::sync::Notify;

use crate::support::{FnConsumer, Projection, add, add_many, consumer, effects, record, recording, stores};

/// A consumer that records `after` events, then signals `died` and hangs.
fn dies_after(after: usize, projection: &Projection, died: &Arc<Notify>) -> FnConsumer {
    let (projection, died, recorded) = (Arc::clone(projection), Arc::clone(died), Mutex::new(0));
    consumer("index", move |event| {
        let mut recorded = recorded.lock().unwrap();
        let is_dead = *recorded >= after;
        if !is_dead {
            *recorded += 1;
            record(&projection, &event);
        }
        if *recorded >= after {
            died.notify_one();
        }
        async move {
            if is_dead {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    })
}

/// Returns every change in commit order.
async fn all(db: &Persistence) -> Vec<throughline::changes::Change> {
    let mut feed = db.changes(ChangeScope::Tenant, Position::ZERO);
    let mut all = Vec::new();
    while let Some(change) = feed.next_now().await.unwrap() {
        all.push(change);
    }
    all
}

/// Kills a runner after `k` events, and lets a second runner finish.
async fn killed_after(db: &Persistence, k: usize, last: Position) -> Projection {
    let (projection, died) = (Projection::default(), Arc::new(Notify::new()));
    let first = effects(db).parallel(4).consumer(dies_after(k, &projection, &died)).start().await.unwrap();
    died.notified().await;
    drop(first);
    let before = projection.lock().unwrap().delivered.len();
    let second = effects(db).parallel(4).consumer(recording("index", &projection)).start().await.unwrap();
    assert!(second.reached(last).await);
    let status = second.stop().await.remove(0);
    assert!(status.cursor >= last && status.waiting == 0, "{status:?}");
    assert_in_order(db, &projection, before).await;
    projection
}

/// Checks the order: each run received the changes of a thread in order, the second run continued at or before the end
/// of the first one, and no change is missing.
async fn assert_in_order(db: &Persistence, projection: &Projection, before: usize) {
    let all = all(db).await;
    let seen = projection.lock().unwrap();
    for thread in seen.threads() {
        let of = |delivered: &[(throughline::ThreadId, Position)]| -> Vec<Position> {
            delivered.iter().filter(|(of, _)| *of == thread).map(|(_, at)| *at).collect()
        };
        let (first, second) = (of(&seen.delivered[..before]), of(&seen.delivered[before..]));
        assert!(first.is_sorted_by(|a, b| a < b) && second.is_sorted_by(|a, b| a < b), "{thread}");
        let due: Vec<Position> =
            all.iter().filter(|change| change.thread == thread).map(|change| change.position).collect();
        assert_eq!(first, due[..first.len()], "the first run skipped a change");
        let from = second.first().map_or(due.len(), |at| due.iter().position(|due| due == at).unwrap());
        assert!(from <= first.len(), "a change was skipped between the runs");
        assert_eq!(second, due[from..], "the second run skipped a change");
    }
    assert_eq!(seen.threads().len(), 3, "every thread was delivered");
}

/// Checks that the projection is equal to the store.
async fn assert_equal_to_store(db: &Persistence, projection: &Projection) {
    let texts = projection.lock().unwrap().texts.clone();
    let mut found = 0;
    for thread in ["a", "b", "c"] {
        let mut walk = db
            .thread(thread)
            .walk(throughline::messages::PageFrom::Start, throughline::messages::Visibility::All);
        while let Some(message) = walk.next().await.unwrap() {
            found += 1;
            let key = format!("{thread}/{}", message.id);
            assert_eq!(texts.get(&key).map(String::as_str), Some(message.content.as_json()), "{key}");
        }
    }
    assert_eq!(texts.len(), found);
}

#[tokio::test]
async fn a_runner_killed_after_any_event_continues_without_a_gap() {
    const EVENTS: usize = 11;
    for store in 0..2 {
        for k in 1..=EVENTS {
            let [memory, sqlite] = stores().await;
            let db = if store == 0 { memory } else { sqlite };
            for at in 0..3 {
                for thread in ["a", "b", "c"] {
                    add(&db, thread, &format!("m{at}"), &format!("text {at}")).await;
                }
            }
            let id = |text: &str| text.parse::<MessageId>().unwrap();
            db.thread("a").edit(id("m0"), Content::text("edited")).await.unwrap();
            let deleted = db.thread("b").delete(id("m1")).reply().await.unwrap();
            let last = deleted.receipt.position.unwrap();
            let projection = killed_after(&db, k, last).await;
            assert_equal_to_store(&db, &projection).await;
            db.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_runner_killed_among_thousands_of_events_continues_without_a_gap() {
    for (k, store) in [(1, 0), (700, 0), (2499, 0), (1300, 1), (2500, 1)] {
        let [memory, sqlite] = stores().await;
        let db = if store == 0 { memory } else { sqlite };
        for (thread, messages) in [("a", 1000), ("b", 1000), ("c", 499)] {
            add_many(&db, thread, messages).await;
        }
        let last = add(&db, "c", "last", "the last one").await;
        let projection = killed_after(&db, k, last).await;
        assert_eq!(projection.lock().unwrap().texts.len(), 2500);
        assert_equal_to_store(&db, &projection).await;
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_restarted_process_continues_from_the_cursor_without_repeating_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat.db");
    let projection = Projection::default();
    for text in ["one", "two", "three"] {
        let backend = SqliteBackend::open(&path).await.unwrap();
        let db = Persistence::builder().backend(backend).build().unwrap();
        let effects =
            Effects::builder(db.clone()).consumer(recording("index", &projection)).start().await.unwrap();
        let last = add(&db, "t", text, text).await;
        assert!(effects.reached(last).await);
        effects.stop().await;
        db.close().await.unwrap();
    }
    // The runner stopped cleanly, so no change is delivered twice.
    assert_eq!(projection.lock().unwrap().delivered.len(), 3);
}
