//! Unit tests of the layer over a fake backend, and the layer laws over a real one.

use throughline::{
    ErrorKind, NewMessage, PersistError, Persistence, ReadArgs, ReadResult,
    messages::{Add, Batch, Delete},
};
use throughline_conformance::{FakeBackend, laws::LayerProfile, layer_laws};

use crate::layer::WriteCapLayer;

// The laws that the framework requires of every layer.
layer_laws!(LayerProfile::transparent("write-cap") => WriteCapLayer::new(u64::MAX));

fn db(fake: &FakeBackend, most: u64) -> Persistence {
    Persistence::builder().layer(WriteCapLayer::new(most)).backend(fake.backend()).build().unwrap()
}

/// Any answer proves that the call reached the store, and an error is the shortest one.
fn busy() -> PersistError {
    PersistError::new(ErrorKind::Busy, "locked")
}

#[tokio::test]
async fn a_refused_write_does_not_reach_the_store() {
    let fake = FakeBackend::new();
    fake.fail::<Delete>(busy());
    let thread = db(&fake, 1).thread("t");
    assert_eq!(thread.delete("m".parse().unwrap()).await.unwrap_err().kind(), ErrorKind::Busy);
    let error = thread.delete("m".parse().unwrap()).await.unwrap_err();
    assert_eq!((error.kind(), error.site().unwrap().name()), (ErrorKind::Overloaded, "write-cap"));
    assert_eq!(fake.calls().len(), 1);
}

#[tokio::test]
async fn reads_are_not_counted() {
    let fake = FakeBackend::new();
    fake.answer::<ReadArgs>(ReadResult::Get(None));
    fake.answer::<ReadArgs>(ReadResult::Get(None));
    let thread = db(&fake, 0).thread("t");
    for _ in 0..2 {
        assert_eq!(thread.get("m".parse().unwrap()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn each_item_of_a_batch_counts_and_a_batch_above_the_limit_is_refused_whole() {
    let fake = FakeBackend::new();
    fake.fail::<Batch>(busy());
    let db = db(&fake, 2);
    let add = || Add::new("t".parse().unwrap(), NewMessage::user("x"));
    let three = Batch::new().with(add()).with(add()).with(add());
    assert_eq!(db.batch(three).await.unwrap_err().kind(), ErrorKind::Overloaded);
    // The refused batch counted no writes.
    assert_eq!(db.batch(Batch::new().with(add()).with(add())).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(fake.calls_of::<Batch>().len(), 1);
}
