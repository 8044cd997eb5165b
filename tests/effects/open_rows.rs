//! Nothing that is still being written is told, and nothing behind it in its thread (VL-S18).

use throughline::{Persistence, Position, Role, effects::Effects};

use crate::support::{Projection, add, effects, projecting, stores};

async fn started(db: &Persistence, projection: &Projection) -> Effects {
    effects(db).consumer(projecting("index", projection)).start().await.unwrap()
}

/// Waits until everything is read up to here, and as much of it is done as can be.
async fn settled(db: &Persistence, effects: &Effects, projection: &Projection, beside: &str) -> Position {
    let last = add(db, beside, "m", "beside").await;
    while projection.lock().unwrap().of(beside).is_empty() || effects.status()[0].reached < last {
        tokio::task::yield_now().await;
    }
    last
}

#[tokio::test]
async fn the_cursor_stops_before_the_first_open_row_and_goes_on_when_it_is_settled() {
    for abandon in [false, true] {
        for db in stores().await {
            let projection = Projection::default();
            let before = add(&db, "t", "first", "before").await;
            let effects = started(&db, &projection).await;
            let mut open = db.thread("t").reserve(Role::Assistant).await.unwrap();
            open.append("half of").await.unwrap();
            let b = add(&db, "t", "b", "final, and behind").await;
            settled(&db, &effects, &projection, "other").await;
            {
                let seen = projection.lock().unwrap();
                assert_eq!(seen.of("t"), [before], "nothing of the open one, and nothing behind it");
                assert_eq!(seen.of("other").len(), 1, "other threads go on");
            }
            let status = effects.status().remove(0);
            assert!(status.done < b && status.cursor < b && status.waiting >= 2, "{status:?}");
            // Also when it ends here and another process begins.
            let stopped = effects.stop().await.remove(0);
            assert_eq!(stopped.cursor, before, "{stopped:?}");
            let effects = started(&db, &projection).await;
            settled(&db, &effects, &projection, "another").await;
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
async fn a_thread_that_is_cleared_or_deleted_is_waited_for_no_more() {
    for db in stores().await {
        let projection = Projection::default();
        let effects = started(&db, &projection).await;
        let cleared = db.thread("cleared").reserve(Role::Assistant).await.unwrap();
        let deleted = db.thread("deleted").reserve(Role::Assistant).await.unwrap();
        settled(&db, &effects, &projection, "other").await;
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
