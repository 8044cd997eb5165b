//! Ids that were made up for a call are taken for new. They need not be.

use throughline_core::{Add, Effect, ErrorKind, NewMessage, NewReservation, PersistError, Reserve, Role};
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
