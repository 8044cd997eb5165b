//! What the layer does, against a backend that is told what to answer; and the laws, against a real one.

use throughline::{
    ErrorKind, NewMessage, PersistError, Persistence, ReadArgs, ReadResult,
    messages::{Add, Batch, Delete},
};
use throughline_conformance::{FakeBackend, laws::LayerProfile, layer_laws};

use crate::layer::WriteCapLayer;

// All that the framework asks of every layer.
layer_laws!(LayerProfile::transparent("write-cap") => WriteCapLayer::new(u64::MAX));

fn db(fake: &FakeBackend, most: u64) -> Persistence {
    Persistence::builder().layer(WriteCapLayer::new(most)).backend(fake.backend()).build().unwrap()
}

/// An error is an answer too, and shorter than a message.
fn busy() -> PersistError {
    PersistError::new(ErrorKind::Busy, "locked")
}

#[tokio::test]
async fn what_is_refused_does_not_come_to_the_store() {
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
async fn a_batch_counts_as_its_items_and_is_refused_whole() {
    let fake = FakeBackend::new();
    fake.fail::<Batch>(busy());
    let db = db(&fake, 2);
    let add = || Add::new("t".parse().unwrap(), NewMessage::user("x"));
    let three = Batch::new().with(add()).with(add()).with(add());
    assert_eq!(db.batch(three).await.unwrap_err().kind(), ErrorKind::Overloaded);
    // The refused one has used up nothing.
    assert_eq!(db.batch(Batch::new().with(add()).with(add())).await.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!(fake.calls_of::<Batch>().len(), 1);
}
