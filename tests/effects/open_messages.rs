//! A consumer receives no change of an open message, and no later change of its thread (VL-S18).

use throughline::{Persistence, Position, Role, effects::Effects};

use crate::support::{Projection, add, effects, recording, stores};

async fn started(db: &Persistence, projection: &Projection) -> Effects {
    effects(db).consumer(recording("index", projection)).start().await.unwrap()
}

/// Waits until the runner has read all changes and has delivered every change that it can.
async fn delivered_all(
    db: &Persistence,
    effects: &Effects,
    projection: &Projection,
    other_thread: &str,
) -> Position {
    let last = add(db, other_thread, "m", "in another thread").await;
    while projection.lock().unwrap().of(other_thread).is_empty() || effects.status()[0].reached < last {
        tokio::task::yield_now().await;
    }
    last
}

#[tokio::test]
async fn the_cursor_stops_before_the_first_open_message_and_continues_when_it_is_settled() {
    for abandon in [false, true] {
        for db in stores().await {
            let projection = Projection::default();
            let before = add(&db, "t", "first", "before").await;
            let effects = started(&db, &projection).await;
            let mut open = db.thread("t").reserve(Role::Assistant).await.unwrap();
            open.append("half of").await.unwrap();
            let b = add(&db, "t", "b", "final, and behind").await;
            delivered_all(&db, &effects, &projection, "other").await;
            {
                let seen = projection.lock().unwrap();
                assert_eq!(seen.of("t"), [before], "no change of the open message, and no later one");
                assert_eq!(seen.of("other").len(), 1, "other threads continue");
            }
            let status = effects.status().remove(0);
            assert!(status.done < b && status.cursor < b && status.waiting >= 2, "{status:?}");
            // The same holds after a restart of the runner.
            let stopped = effects.stop().await.remove(0);
            assert_eq!(stopped.cursor, before, "{stopped:?}");
            let effects = started(&db, &projection).await;
            delivered_all(&db, &effects, &projection, "another").await;
            assert_eq!(projection.lock().unwrap().of("t"), [before]);

            if abandon {
                open.abandon("because").await.unwrap();
            } else {
                open.append(" it").await.unwrap();
                open.finish().await.unwrap();
            }
            let last = add(&db, "t", "c", "the end").await;
            assert!(effects.reached(last).await);
            let seen = projection.lock().unwrap().of("t");
            assert!(seen.is_sorted() && seen.contains(&b) && seen.contains(&last), "{seen:?}");
            effects.stop().await;
            db.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_runner_stops_waiting_for_a_thread_that_is_cleared_or_deleted() {
    for db in stores().await {
        let projection = Projection::default();
        let effects = started(&db, &projection).await;
        let cleared = db.thread("cleared").reserve(Role::Assistant).await.unwrap();
        let deleted = db.thread("deleted").reserve(Role::Assistant).await.unwrap();
        delivered_all(&db, &effects, &projection, "other").await;
        assert!(projection.lock().unwrap().of("cleared").is_empty());
        db.thread("cleared").clear().await.unwrap();
        db.thread("deleted").delete_thread().await.unwrap();
        let last = add(&db, "last", "m", "x").await;
        assert!(effects.reached(last).await);
        assert_eq!(projection.lock().unwrap().of("cleared").len(), 2);
        drop((cleared, deleted));
        effects.stop().await;
        db.close().await.unwrap();
    }
}
