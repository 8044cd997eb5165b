//! The cursor and the quarantine of a consumer in the store.

use throughline::{
    Call, Effect, ErrorKind, Next, Persistence, Plugin, Position, ReadArgs, ReadResult, Reply, ThreadId,
    changes::{
        ConsumerArgs, ConsumerResult, GetCursor, ListQuarantined, MoveCursor, QuarantineChange,
        ReleaseChange, ResetCursor,
    },
    effects::Effects,
    ids::ConsumerName,
    memory::MemoryBackend,
    messages::Batch,
    redirect::{redirect, redirect_messages},
    sqlite::SqliteBackend,
};

use crate::support::{add, consumer, in_memory, stores};

fn name() -> ConsumerName {
    "search".parse().unwrap()
}

fn at(position: u64) -> Position {
    Position::new(position)
}

async fn cursor(db: &Persistence) -> (u64, u64) {
    let cursor = db.read(GetCursor { consumer: name() }).await.unwrap();
    assert_eq!(cursor.consumer, name());
    (cursor.position.get(), cursor.quarantined)
}

fn quarantine(position: u64, why: &str) -> QuarantineChange {
    let thread = ThreadId::new("t").unwrap();
    QuarantineChange { consumer: name(), position: at(position), thread, why: why.to_owned() }
}

#[tokio::test]
async fn a_cursor_moves_only_forward_and_only_from_its_expected_position() {
    for db in stores().await {
        assert_eq!(cursor(&db).await, (0, 0));
        db.on_consumer(MoveCursor::new(name(), at(5)).expecting(Position::ZERO)).await.unwrap();
        for (to, expected, moved) in [
            (9, Some(3), false),
            (4, None, false),
            (4, Some(5), false),
            (5, Some(0), true),
            (9, Some(5), true),
            (12, None, true),
        ] {
            let operation = MoveCursor { consumer: name(), to: at(to), expected: expected.map(at) };
            match db.on_consumer(operation).await {
                Ok(answer) => assert!(moved && answer.position == at(to), "{to} {expected:?}"),
                Err(error) => {
                    assert!(!moved, "{to} {expected:?}: {error}");
                    assert_eq!((error.kind(), error.effect()), (ErrorKind::Stale, Effect::NotApplied));
                }
            }
        }
        db.on_consumer(ResetCursor::new(name(), at(2))).await.unwrap();
        assert_eq!(cursor(&db).await, (2, 0));
        // A move of the cursor has a position in the commit order, although it emits no change.
        let moved = |to| db.run(ConsumerArgs::from(MoveCursor::new(name(), at(to)))).reply();
        let (first, same, next) = (moved(3).await.unwrap(), moved(3).await.unwrap(), moved(4).await.unwrap());
        assert!(first.receipt.position < next.receipt.position && same.receipt.position.is_none());
        db.on_consumer(ResetCursor::new(name(), at(2))).await.unwrap();
        // Other tenants and other consumers have their own cursors.
        assert_eq!(cursor(&db.for_tenant("other".parse().unwrap())).await, (0, 0));
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_quarantined_change_is_listed_until_it_is_released() {
    for db in stores().await {
        for position in [7, 3, 5] {
            db.on_consumer(quarantine(position, "first")).await.unwrap();
        }
        db.on_consumer(quarantine(5, "again")).await.unwrap();
        assert_eq!(cursor(&db).await, (0, 3));
        let page = db.read(ListQuarantined::new(name(), 2)).await.unwrap();
        let shown: Vec<_> =
            page.changes.iter().map(|change| (change.position.get(), change.why.as_str())).collect();
        assert_eq!((shown, page.more), (vec![(3, "first"), (5, "again")], true));
        let rest = ListQuarantined { after: at(5), ..ListQuarantined::new(name(), 2) };
        let rest = db.read(rest).await.unwrap();
        assert_eq!((rest.changes.len(), rest.more), (1, false));
        let release = || ReleaseChange { consumer: name(), position: at(3) };
        assert!(db.on_consumer(release()).await.unwrap().was_listed);
        assert!(!db.on_consumer(release()).await.unwrap().was_listed);
        // A reset releases the changes that are delivered again.
        db.on_consumer(ResetCursor::new(name(), at(5))).await.unwrap();
        assert_eq!(cursor(&db).await, (5, 1));
        let long = "x".repeat(QuarantineChange::MAX_WHY + 1);
        let error = db.on_consumer(quarantine(9, &long)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn operations_of_consumers_emit_no_change_and_accept_no_key_and_no_batch() {
    for db in stores().await {
        add(&db, "t", "m", "hello").await;
        db.on_consumer(MoveCursor::new(name(), at(1))).await.unwrap();
        db.on_consumer(quarantine(1, "why")).await.unwrap();
        let mut feed = db.changes(throughline::changes::ChangeScope::Store, Position::ZERO);
        assert!(feed.next_now().await.unwrap().is_some());
        assert_eq!(feed.next_now().await.unwrap(), None);
        let moved: ConsumerArgs = MoveCursor::new(name(), at(2)).into();
        let error = db.run(moved.clone()).key("k").await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Invalid, Effect::NotApplied));
        let error = db.batch(Batch::new().with(moved)).await.unwrap_err();
        assert_eq!((error.kind(), error.batch_index()), (ErrorKind::Invalid, Some(0)));
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_cursor_survives_a_restart_and_verify_detects_damage() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat.db");
    let backend = SqliteBackend::open(&path).await.unwrap();
    let db = Persistence::builder().backend(backend).build().unwrap();
    db.on_consumer(MoveCursor::new(name(), at(5))).await.unwrap();
    db.on_consumer(quarantine(3, "why")).await.unwrap();
    db.close().await.unwrap();

    let backend = SqliteBackend::open(&path).await.unwrap();
    let maintenance = backend.maintenance();
    let db = Persistence::builder().backend(backend).build().unwrap();
    assert_eq!(cursor(&db).await, (5, 1));
    let found = maintenance.verify().await.unwrap();
    assert!(found.is_sound() && found.consumers == 1, "{found:?}");

    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch("UPDATE consumers SET position = 9; UPDATE quarantine SET why = 'other'").unwrap();
    drop(raw);
    let damaged = maintenance.verify().await.unwrap().damaged;
    assert_eq!(damaged.len(), 2, "{damaged:?}");
    let error = db.read(GetCursor { consumer: name() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let error = db.on_consumer(MoveCursor::new(name(), at(9))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    // A reset repairs the damaged cursor.
    db.on_consumer(ResetCursor::new(name(), at(1))).await.unwrap();
    assert_eq!(cursor(&db).await, (1, 0));
    assert!(maintenance.verify().await.unwrap().is_sound());
    db.close().await.unwrap();
}

#[tokio::test]
async fn a_redirect_keeps_cursors_in_the_local_store_and_refuses_a_runner() {
    for by_message in [false, true] {
        let target = in_memory();
        let here = MemoryBackend::new().with_name("here");
        let builder = Persistence::builder();
        let db = if by_message {
            builder.layer(redirect_messages("to", |_| true, target.clone())).backend(here).build().unwrap()
        } else {
            builder.layer(redirect("to", |_, _| true, target.clone())).backend(here).build().unwrap()
        };
        db.on_consumer(MoveCursor::new(name(), at(4))).await.unwrap();
        db.on_consumer(quarantine(3, "why")).await.unwrap();
        assert_eq!((cursor(&db).await, cursor(&target).await), ((4, 1), (0, 0)));
        assert_eq!(db.read(ListQuarantined::new(name(), 9)).await.unwrap().changes.len(), 1);
        // A runner refuses to follow the changes of two stores.
        let error = Effects::builder(db.clone())
            .consumer(consumer("search", |_| async { Ok(()) }))
            .start()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}

/// A defective layer that replaces the consumer of a call (`down`) and of the answer.
struct ReplacesConsumer {
    down: bool,
}

impl Plugin for ReplacesConsumer {
    fn name(&self) -> &str {
        "mixes"
    }

    async fn consumer(
        &self,
        mut call: Call<ConsumerArgs>,
        next: Next<'_, ConsumerArgs>,
    ) -> throughline::Result<Reply<ConsumerArgs>> {
        let other: ConsumerName = "other".parse().unwrap();
        if let (true, ConsumerArgs::MoveCursor(moved)) = (self.down, &mut call.op) {
            moved.consumer = other.clone();
        }
        let mut reply = next.run(call).await?;
        if let ConsumerResult::MoveCursor(moved) = &mut reply.output {
            moved.consumer = other;
        }
        Ok(reply)
    }

    async fn read(
        &self,
        call: Call<ReadArgs>,
        next: Next<'_, ReadArgs>,
    ) -> throughline::Result<Reply<ReadArgs>> {
        let mut reply = next.run(call).await?;
        if let ReadResult::Cursor(cursor) = &mut reply.output {
            cursor.consumer = "other".parse().unwrap();
        }
        Ok(reply)
    }
}

#[tokio::test]
async fn the_error_names_a_layer_that_replaces_the_consumer() {
    for down in [false, true] {
        let db = Persistence::builder()
            .plugin(ReplacesConsumer { down })
            .backend(MemoryBackend::new())
            .build()
            .unwrap();
        let moved = db.on_consumer(MoveCursor::new(name(), at(1))).await.unwrap_err();
        let read = db.read(GetCursor { consumer: name() }).await.unwrap_err();
        for error in [moved, read] {
            assert_eq!(error.kind(), ErrorKind::ContractViolation);
            assert_eq!(error.site().unwrap().name(), "mixes");
        }
    }
}
