//! The change feed of a tenant next to many changes of another one.

use throughline_core::{
    NewMessage, Persistence, Position,
    changes::{ChangeScope, ReadChanges},
    messages::{Add, Batch},
};
use throughline_sqlite::SqliteBackend;

/// The changes that one read examines.
const EXAMINED: u64 = 20_000;

#[tokio::test]
async fn a_read_examines_a_bounded_number_of_changes_of_other_tenants_and_advances() {
    let backend = SqliteBackend::temporary().await.unwrap();
    let quiet = Persistence::builder().backend(backend).build().unwrap();
    let loud = quiet.for_tenant("loud".parse().unwrap());
    quiet.thread("t").add(NewMessage::user("first")).await.unwrap();
    let add =
        |thread: u64| Add::new(format!("thread-{}", thread % 50).parse().unwrap(), NewMessage::user("x"));
    for _ in 0..=EXAMINED / 250 {
        loud.batch((0..250).map(add).fold(Batch::new(), Batch::with)).await.unwrap();
    }
    let last = quiet.thread("t").add(NewMessage::user("last")).await.unwrap().message;
    for scope in [ChangeScope::Tenant, ChangeScope::Thread("t".parse().unwrap())] {
        let read = |after| quiet.read(ReadChanges::new(scope.clone(), after, 10));
        let first = read(Position::ZERO).await.unwrap();
        assert_eq!((first.changes.len(), first.position.get(), first.more), (1, EXAMINED, true));
        let second = read(first.position).await.unwrap();
        assert!(!second.more);
        assert_eq!(second.changes.len(), 1);
        assert_eq!(second.changes[0].kind.message().map(|message| &message.id), Some(&last.id));
        assert!(second.changes.iter().all(|change| change.tenant == last.tenant));
        // From a position between the two, nothing is found, and the reader goes on.
        let between = read(Position::new(2)).await.unwrap();
        assert_eq!((between.changes, between.position.get(), between.more), (vec![], EXAMINED + 2, true));
    }
}
