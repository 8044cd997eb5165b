//! Row images are the exact rows of a store, so a layer that changes content refuses to read them.

use throughline::{
    Effect, ErrorKind, NewMessage, Persistence, Site,
    layers::redact::RedactLayer,
    memory::MemoryBackend,
    replication::{BeginCapture, ReadImages},
};

#[tokio::test]
async fn a_read_of_row_images_is_refused() {
    let db =
        Persistence::builder().layer(RedactLayer::secrets()).backend(MemoryBackend::new()).build().unwrap();
    db.thread("t").add(NewMessage::user("hello")).await.unwrap();
    let begun = db.on_replica(BeginCapture::WHOLE).await.unwrap();
    let read = db.read(ReadImages::new(begun.cursor, 10)).await.unwrap_err();
    assert_eq!((read.kind(), read.effect()), (ErrorKind::Unsupported, Effect::NotApplied), "{read}");
    assert_eq!(read.site(), Some(&Site::Layer("redact".into())));
}
