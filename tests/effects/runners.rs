//! Two runners of one consumer, and manual changes of its cursor.

use std::sync::Arc;

use throughline::{
    Persistence, Position,
    changes::{ChangeScope, GetCursor, MoveCursor, ResetCursor},
    ids::ConsumerName,
    sqlite::SqliteBackend,
};

use crate::support::{Projection, add, add_many, effects, in_memory, recording};

async fn cursor(db: &Persistence) -> Position {
    let consumer: ConsumerName = "index".parse().unwrap();
    db.read(GetCursor { consumer }).await.unwrap().position
}

#[tokio::test]
async fn two_processes_never_move_the_cursor_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat.db");
    let open = async || {
        let backend = SqliteBackend::open(&path).await.unwrap();
        Persistence::builder().backend(backend).build().unwrap()
    };
    let (one, two) = (open().await, open().await);
    add_many(&one, "a", 700).await;
    let (first, second) = (Projection::default(), Projection::default());
    let left = effects(&one).consumer(recording("index", &first)).start().await.unwrap();
    let right = effects(&two).consumer(recording("index", &second)).start().await.unwrap();
    let watcher = {
        let db = one.clone();
        tokio::spawn(async move {
            let mut last = Position::ZERO;
            loop {
                let now = cursor(&db).await;
                assert!(now >= last, "from {last} back to {now}");
                last = now;
                tokio::task::yield_now().await;
            }
        })
    };
    let mut last = Position::ZERO;
    for at in 0..50 {
        let db = if at % 2 == 0 { &one } else { &two };
        last = add(db, "b", &format!("n{at}"), "x").await;
    }
    assert!(left.reached(last).await && right.reached(last).await);
    left.stop().await;
    right.stop().await;
    assert!(!watcher.is_finished(), "the cursor never moved back");
    watcher.abort();
    assert!(cursor(&two).await >= last);
    for projection in [first, second] {
        assert!(projection.lock().unwrap().of("b").is_sorted());
    }
    one.close().await.unwrap();
    two.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_runner_continues_from_a_cursor_that_was_reset() {
    let db = in_memory();
    let projection = Projection::default();
    let first = add(&db, "t", "1", "x").await;
    let effects = effects(&db).consumer(recording("index", &projection)).start().await.unwrap();
    assert!(effects.reached(first).await);
    while cursor(&db).await < first {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    db.on_consumer(ResetCursor::new("index".parse().unwrap(), Position::ZERO)).await.unwrap();
    let second = add(&db, "t", "2", "x").await;
    // Time is paused, so it advances to the next move of the cursor.
    while projection.lock().unwrap().delivered.len() < 4 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(projection.lock().unwrap().of("t"), [first, second, first, second]);
}

#[tokio::test]
async fn a_consumer_of_the_whole_store_receives_changes_of_every_tenant() {
    let db = in_memory();
    let projection = Projection::default();
    let mut whole = recording("index", &projection);
    whole.scope = ChangeScope::Store;
    let effects = effects(&db).consumer(whole).start().await.unwrap();
    add(&db.for_tenant("alice".parse().unwrap()), "t", "m", "alice's").await;
    let last = add(&db.for_tenant("bob".parse().unwrap()), "t", "m", "bob's").await;
    assert!(effects.reached(last).await);
    let seen = projection.lock().unwrap();
    assert_eq!(seen.delivered.len(), 2);
    assert!(seen.texts["t/m"].contains("bob's"), "the message was read as its tenant");
}

#[tokio::test]
async fn a_consumer_behind_the_retained_changes_rebuilds_or_stops_with_an_error() {
    let backend = SqliteBackend::builder().changes_kept(100).temporary().await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    add_many(&db, "a", 1000).await;
    for at in 0..300 {
        add(&db, "a", &format!("x{at}"), "x").await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mirror = throughline::effects::JsonlMirror::open(dir.path()).await.unwrap();
    let file = mirror.file_of(db.tenant(), &"a".parse().unwrap());
    let projection = Projection::default();
    let effects = effects(&db)
        .consumer(Arc::new(mirror))
        .consumer(recording("index", &projection))
        .start()
        .await
        .unwrap();
    let last = add(&db, "a", "last", "x").await;
    assert!(!effects.reached(last).await, "the second consumer has stopped");
    let status = effects.stop().await;
    assert!(status[0].cursor >= last && status[0].last_error.is_some(), "{status:?}");
    assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 1301);
    assert!(matches!(&status[1].state, throughline::effects::ConsumerState::Stopped { why: Some(_) }));
    assert!(projection.lock().unwrap().delivered.is_empty());
    db.on_consumer(MoveCursor::new("index".parse().unwrap(), last)).await.unwrap();
    db.close().await.unwrap();
}
