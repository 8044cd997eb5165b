//! Ids that were made up for a call are taken for new. They need not be.

use throughline_core::{
    Content, Effect, ErrorKind, MetadataPatch, NewMessage, NewReservation, PersistError, PersistResult, Role,
    messages::{Add, Batch, Reserve, Update},
};
use throughline_postgres::PostgresBackend;

use crate::support::{Database, everything};

/// A call is made again with what it was made with: what a host does that keeps the request and not the answer.
#[tokio::test]
async fn a_minted_id_that_is_sent_again_is_refused_and_fails_nobody_else() {
    let Some(database) = Database::fresh("").await else { return };
    let db = database.open(PostgresBackend::builder().writers(1)).await;
    let add = Add::new("t".parse().unwrap(), NewMessage::user("hello"));
    let reserve = Reserve::new("u".parse().unwrap(), NewReservation::new(Role::Assistant));
    assert!(add.is_minted() && reserve.is_minted());
    db.run(add.clone()).await.unwrap();
    db.run(reserve.clone()).await.unwrap();

    let (added, reserved, beside) = tokio::join!(
        db.run(add.clone()),
        db.run(reserve),
        db.run(Add::new("t".parse().unwrap(), NewMessage::user("new")))
    );
    let refused = |error: &PersistError| (error.kind(), error.effect(), error.message().cloned());
    let due = |id| (ErrorKind::AlreadyExists, Effect::NotApplied, Some(id));
    assert_eq!(refused(&added.unwrap_err()), due(add.id.clone()));
    assert_eq!(reserved.unwrap_err().kind(), ErrorKind::AlreadyExists);
    let beside = beside.unwrap();

    // One that was deleted stays dead, whoever made its id up.
    db.thread("t").delete(add.id.clone()).await.unwrap();
    assert_eq!(db.run(add).await.unwrap_err().kind(), ErrorKind::Gone);
    let left: Vec<_> =
        everything(&db, "t").await.into_iter().map(|message| (message.id, message.seq.get())).collect();
    assert_eq!(left, [(beside.message.id, 2)]);
}

/// The key is found, and with it what was done before: what is said of the message follows from its row.
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

/// Of two items that cannot be done the first is told, whatever its id was taken for.
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
