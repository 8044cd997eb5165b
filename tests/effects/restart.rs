//! A runner that ends anywhere goes on where it was (VL-S21, T3-S12).

use std::sync::{Arc, Mutex};

use throughline::{
    Content, MessageId, Persistence, Position, changes::ChangeScope, effects::Effects, sqlite::SqliteBackend,
};
use tokio::sync::Notify;

use crate::support::{Closure, Projection, add, add_many, consumer, effects, projecting, stores, take_down};

/// Takes events down until it has taken so many, says so, and is at the next ones for ever.
fn dying(after: usize, projection: &Projection, died: &Arc<Notify>) -> Closure {
    let (projection, died, taken) = (Arc::clone(projection), Arc::clone(died), Mutex::new(0));
    consumer("index", move |event| {
        let mut taken = taken.lock().unwrap();
        let is_dead = *taken >= after;
        if !is_dead {
            *taken += 1;
            take_down(&projection, &event);
        }
        if *taken >= after {
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

/// Every change, of every thread, in its order.
async fn all(db: &Persistence) -> Vec<throughline::changes::Change> {
    let mut feed = db.changes(ChangeScope::Tenant, Position::ZERO);
    let mut all = Vec::new();
    while let Some(change) = feed.next_now().await.unwrap() {
        all.push(change);
    }
    all
}

/// Kills a runner after `k` events, and lets another one go on.
async fn killed_after(db: &Persistence, k: usize, last: Position) -> Projection {
    let (projection, died) = (Projection::default(), Arc::new(Notify::new()));
    let first = effects(db).parallel(4).consumer(dying(k, &projection, &died)).start().await.unwrap();
    died.notified().await;
    drop(first);
    let before = projection.lock().unwrap().told.len();
    let second = effects(db).parallel(4).consumer(projecting("index", &projection)).start().await.unwrap();
    assert!(second.reached(last).await);
    let status = second.stop().await.remove(0);
    assert!(status.cursor >= last && status.waiting == 0, "{status:?}");
    in_order(db, &projection, before).await;
    projection
}

/// Each run told the changes of a thread one after the other, the second went on where the first one was or before, and
/// nothing is missing.
async fn in_order(db: &Persistence, projection: &Projection, before: usize) {
    let all = all(db).await;
    let seen = projection.lock().unwrap();
    for thread in seen.threads() {
        let of = |told: &[(throughline::ThreadId, Position)]| -> Vec<Position> {
            told.iter().filter(|(of, _)| *of == thread).map(|(_, at)| *at).collect()
        };
        let (first, second) = (of(&seen.told[..before]), of(&seen.told[before..]));
        assert!(first.is_sorted_by(|a, b| a < b) && second.is_sorted_by(|a, b| a < b), "{thread}");
        let due: Vec<Position> =
            all.iter().filter(|change| change.thread == thread).map(|change| change.position).collect();
        assert_eq!(first, due[..first.len()], "the first run has left one out");
        let from = second.first().map_or(due.len(), |at| due.iter().position(|due| due == at).unwrap());
        assert!(from <= first.len(), "one was skipped between the runs");
        assert_eq!(second, due[from..], "the second run has left one out");
    }
    assert_eq!(seen.threads().len(), 3, "every thread was told");
}

/// What an index has in the end.
async fn holds_what_the_store_has(db: &Persistence, projection: &Projection) {
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
async fn killed_at_every_event_of_a_few() {
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
            let gone = db.thread("b").delete(id("m1")).reply().await.unwrap();
            let last = gone.receipt.position.unwrap();
            let projection = killed_after(&db, k, last).await;
            holds_what_the_store_has(&db, &projection).await;
            db.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn killed_among_very_many() {
    for (k, store) in [(1, 0), (700, 0), (2499, 0), (1300, 1), (2500, 1)] {
        let [memory, sqlite] = stores().await;
        let db = if store == 0 { memory } else { sqlite };
        for (thread, messages) in [("a", 1000), ("b", 1000), ("c", 499)] {
            add_many(&db, thread, messages).await;
        }
        let last = add(&db, "c", "last", "the last one").await;
        let projection = killed_after(&db, k, last).await;
        assert_eq!(projection.lock().unwrap().texts.len(), 2500);
        holds_what_the_store_has(&db, &projection).await;
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn another_process_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat.db");
    let projection = Projection::default();
    for text in ["one", "two", "three"] {
        let backend = SqliteBackend::open(&path).await.unwrap();
        let db = Persistence::builder().backend(backend).build().unwrap();
        let effects =
            Effects::builder(db.clone()).consumer(projecting("index", &projection)).start().await.unwrap();
        let last = add(&db, "t", text, text).await;
        assert!(effects.reached(last).await);
        effects.stop().await;
        db.close().await.unwrap();
    }
    // Stopped and not killed, nothing is told twice.
    assert_eq!(projection.lock().unwrap().told.len(), 3);
}
