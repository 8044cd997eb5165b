//! Minted message ids are assumed to be new, which may be wrong.

use throughline_core::{
    Content, Effect, ErrorKind, MetadataPatch, NewMessage, NewReservation, PersistError, PersistResult, Role,
    messages::{Add, Batch, Reserve, Update},
};
use throughline_postgres::PostgresBackend;

use crate::support::{Database, everything};

/// A host that keeps its request but not the answer sends the same minted id again.
#[tokio::test]
async fn repeated_minted_id_is_refused_and_other_writes_succeed() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(PostgresBackend::builder().writers(1)).await;
    let add = Add::new("t".parse().unwrap(), NewMessage::user("hello"));
    let reserve = Reserve::new("u".parse().unwrap(), NewReservation::new(Role::Assistant));
    assert!(add.is_minted() && reserve.is_minted());
    db.run(add.clone()).await.unwrap();
    db.run(reserve.clone()).await.unwrap();

    let (added, reserved, other) = tokio::join!(
        db.run(add.clone()),
        db.run(reserve),
        db.run(Add::new("t".parse().unwrap(), NewMessage::user("new")))
    );
    let refused = |error: &PersistError| (error.kind(), error.effect(), error.message().cloned());
    let due = |id| (ErrorKind::AlreadyExists, Effect::NotApplied, Some(id));
    assert_eq!(refused(&added.unwrap_err()), due(add.id.clone()));
    assert_eq!(reserved.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let other = other.unwrap();

    // The tombstone of a deleted message refuses its id, also a minted one.
    db.thread("t").delete(add.id.clone()).await.unwrap();
    assert_eq!(db.run(add).await.unwrap_err().kind(), ErrorKind::Gone);
    let left: Vec<_> =
        everything(&db, "t").await.into_iter().map(|message| (message.id, message.seq.get())).collect();
    assert_eq!(left, [(other.message.id, 2)]);
}

/// The store finds the idempotency key and replays the former result; the message in it comes from its row.
#[tokio::test]
async fn a_batch_with_a_key_and_a_minted_id_is_answered_as_before() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.db().await;
    let add = Add::new("t".parse().unwrap(), NewMessage::user("hello"));
    let starred = MetadataPatch::new().set("starred", &true).unwrap();
    let star = Update::new("t".parse().unwrap(), add.id.clone(), starred);
    let both = Batch::new().with(add).with(star);
    let first = db.batch(both.clone()).key("both").await.unwrap();
    let again = db.batch(both).key("both").await.unwrap();
    assert_eq!((first.deduplicated, again.deduplicated), (false, true));
    assert_eq!(again.outputs.len(), 2);
    for (first, again) in first.outputs.iter().zip(&again.outputs) {
        match (first, again) {
            (PersistResult::Add(first), PersistResult::Add(again)) => {
                assert_eq!(first.message.id, again.message.id);
            }
            (PersistResult::Update(first), PersistResult::Update(again)) => {
                assert_eq!(first.revision, again.revision);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// If two items of a batch fail, the error is that of the first one, for minted ids too.
#[tokio::test]
async fn a_batch_with_a_minted_id_that_is_sent_again_is_refused_for_that() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.db().await;
    let thread = db.thread("t");
    let other = thread.add(NewMessage::user("other")).await.unwrap().message;
    let add = Add::new("t".parse().unwrap(), NewMessage::user("hello"));
    let starred = MetadataPatch::new().set("starred", &true).unwrap();
    let star = Update::new("t".parse().unwrap(), other.id.clone(), starred).expecting(other.revision);
    let both = Batch::new().with(add).with(star);
    db.batch(both.clone()).await.unwrap();
    thread.edit(other.id, Content::text("another")).await.unwrap();
    let error = db.batch(both).await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::AlreadyExists, Some(0)));
    assert_eq!(everything(&db, "t").await.len(), 2);
}
