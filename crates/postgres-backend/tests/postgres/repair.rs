//! A damaged message is refused alone, and can be deleted or restored.

use throughline_core::{
    Content, ErrorKind, NewMessage, Position, Role, Timestamp,
    changes::{
        ConsumerArgs, ConsumerResult, MoveCursor, QuarantineChange, ReleaseChange, ResetCursor, ThreadEvent,
    },
    messages::{Delete, Import, ImportRow, ImportedRow, Update},
    threads::{ClearThread, GetThread, LabelPatch, PurgeThread, RebuildThread, ThreadArgs, ThreadResult},
};
use throughline_postgres::PostgresBackend;

use crate::support::{Database, everything};

/// Creates three messages and damages the second one.
async fn with_damage(damage: &str) -> Option<(Database, throughline_core::Persistence)> {
    let database = Database::fresh("").await?;
    let db = database.open(PostgresBackend::builder().writers(1)).await;
    for id in ["a", "b", "c"] {
        db.thread("t").add(NewMessage::user(id).with_id(id.parse().unwrap())).await.unwrap();
    }
    database.run(damage).await;
    Some((database, db))
}

fn damaged() -> Delete {
    Delete::damaged("t".parse().unwrap(), "b".parse().unwrap())
}

#[tokio::test]
async fn damaged_message_fails_no_other_write_and_can_be_deleted() {
    for damage in [
        "UPDATE throughline.messages SET metadata = '{' WHERE id = 'b'",
        "UPDATE throughline.messages SET content = '{' WHERE id = 'b'",
        "UPDATE throughline.messages SET role = 'invalid' WHERE id = 'b'",
    ] {
        let Some((_database, db)) = with_damage(damage).await else { return };
        let patch = |id: &str| Update::new("t".parse().unwrap(), id.parse().unwrap(), Default::default());
        let rebuild = ThreadArgs::from(RebuildThread { thread: "t".parse().unwrap() });
        let other = db.run(patch("a")).await;
        assert!(other.is_ok(), "{damage}: {other:?}");
        let whole = Delete::damaged("t".parse().unwrap(), "a".parse().unwrap());
        assert_eq!(db.run(whole).await.unwrap_err().kind(), ErrorKind::Conflict, "{damage}");
        db.run(rebuild).await.expect("a damaged message hides no other");
        let deleted = db.run(damaged()).await.unwrap();
        assert_eq!((deleted.seq.get(), deleted.revision.get()), (2, 1), "{damage}");
        let ids: Vec<_> =
            everything(&db, "t").await.into_iter().map(|message| message.id.to_string()).collect();
        assert_eq!(ids, ["a", "c"]);
        let entry = db.read(GetThread { thread: "t".parse().unwrap() }).await.unwrap().unwrap();
        assert_eq!(entry.messages, 2);
        let again = NewMessage::user("again").with_id("b".parse().unwrap());
        let error = db.thread("t").add(again).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Gone, "{damage}");
    }
}

#[tokio::test]
async fn import_restores_a_damaged_message_at_its_seq() {
    let damage = "UPDATE throughline.messages SET metadata = '{' WHERE id = 'b'";
    let Some((_database, db)) = with_damage(damage).await else { return };
    let copy =
        || ImportRow::new("b".parse().unwrap(), Role::User, Content::text("copy"), Timestamp::from_micros(5));
    let import = Import::new("t".parse().unwrap(), vec![copy()]);
    assert_eq!(db.run(import).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let imported = db.run(Import::restoring("t".parse().unwrap(), vec![copy()])).await.unwrap();
    assert!(matches!(imported.rows[..], [ImportedRow::Restored(seq)] if seq.get() == 2));
    let messages = everything(&db, "t").await;
    assert_eq!(messages[1].content, Content::text("copy"));
    assert_eq!(messages.len(), 3);
}

/// A restored message has the first revision, as the damaged one had.
#[tokio::test]
async fn a_stream_shows_a_restored_copy_with_the_revision_that_it_has_shown() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(PostgresBackend::builder().writers(1)).await;
    let thread = db.thread("t");
    let mut stream = thread.follow(Position::ZERO);
    thread.add(NewMessage::user("b").with_id("b".parse().unwrap())).await.unwrap();
    assert!(matches!(stream.next().await.unwrap().event, ThreadEvent::Added(added) if added.text() == "b"));
    database.run("UPDATE throughline.messages SET metadata = '{' WHERE id = 'b'").await;
    let copy =
        ImportRow::new("b".parse().unwrap(), Role::User, Content::text("copy"), Timestamp::from_micros(5));
    db.run(Import::restoring("t".parse().unwrap(), vec![copy])).await.unwrap();
    match stream.next().await.unwrap().event {
        ThreadEvent::Edited(edited) => {
            assert_eq!((edited.text().as_str(), edited.revision.get()), ("copy", 1));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_labels_of_a_damaged_summary_are_recovered() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(PostgresBackend::builder().writers(1)).await;
    db.thread("t").add(NewMessage::user("x")).await.unwrap();
    db.thread("t").label(LabelPatch::new().set("project", "atlas").unwrap()).await.unwrap();
    database.run("UPDATE throughline.threads SET entry = '{'").await;
    let thread = || "t".parse().unwrap();
    assert_eq!(db.read(GetThread { thread: thread() }).await.unwrap_err().kind(), ErrorKind::Corrupt);
    db.run(ThreadArgs::from(RebuildThread { thread: thread() })).await.unwrap();
    let entry = db.read(GetThread { thread: thread() }).await.unwrap().unwrap();
    assert_eq!((entry.labels.len(), entry.messages, entry.listed), (1, 1, true));
}

#[tokio::test]
async fn damaged_prompt_does_not_hide_an_earlier_one() {
    for damage in [
        "UPDATE throughline.messages SET metadata = '{' WHERE id = 'b'",
        "UPDATE throughline.messages SET content = '{' WHERE id = 'b'",
    ] {
        let Some((_database, db)) = with_damage(damage).await else { return };
        db.run(Delete::new("t".parse().unwrap(), "c".parse().unwrap())).await.unwrap();
        let entry = db.read(GetThread { thread: "t".parse().unwrap() }).await.unwrap().unwrap();
        assert_eq!((entry.messages, entry.preview.as_deref()), (2, Some("a")), "{damage}");
    }
}

#[tokio::test]
async fn damaged_row_does_not_prevent_a_purge() {
    let damage = "UPDATE throughline.messages SET metadata = '{', role = 'invalid', chunks = -1, attachments = '[' \
        WHERE id = 'b'";
    let Some((database, db)) = with_damage(damage).await else { return };
    db.run(ThreadArgs::from(ClearThread::new("t".parse().unwrap()))).await.unwrap();
    let purge = PurgeThread { thread: "t".parse().unwrap(), limit: 10 };
    match db.run(ThreadArgs::from(purge)).await.unwrap() {
        ThreadResult::Purge(purged) => assert_eq!((purged.messages, purged.more), (3, false)),
        other => panic!("{other:?}"),
    }
    let left = "SELECT count(*) FROM throughline.messages WHERE seq IS NOT NULL OR content IS NOT NULL OR metadata IS NOT NULL";
    assert_eq!(database.count(left).await, 0);
}

#[tokio::test]
async fn damaged_rows_of_a_consumer_fail_no_other_write() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(PostgresBackend::builder().writers(1)).await;
    let consumer = || "index".parse().unwrap();
    let quarantine = |at: u64| {
        let (position, thread) = (Position::new(at), "t".parse().unwrap());
        ConsumerArgs::from(QuarantineChange { consumer: consumer(), position, thread, why: "why".to_owned() })
    };
    db.run(ConsumerArgs::from(MoveCursor::new(consumer(), Position::new(0)))).await.unwrap();
    db.run(quarantine(3)).await.unwrap();
    database
        .run(
            "UPDATE throughline.quarantine SET why = '\\xff'; UPDATE throughline.consumers SET position = -1",
        )
        .await;
    db.run(quarantine(4)).await.expect("the cursor is not needed");
    for at in [3, 4] {
        let release = ReleaseChange { consumer: consumer(), position: Position::new(at) };
        match db.run(ConsumerArgs::from(release)).await.unwrap() {
            ConsumerResult::Release(released) => assert!(released.was_listed, "{at}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(database.count("SELECT count(*) FROM throughline.quarantine").await, 0);
    let error = db.run(ConsumerArgs::from(MoveCursor::new(consumer(), Position::new(1)))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    db.run(ConsumerArgs::from(ResetCursor::new(consumer(), Position::new(0)))).await.unwrap();
}
