//! A store of keys that fails: what a call leaves then.

use throughline::{
    Batch, Content, Effect, ErrorKind, NewMessage, TakeLastMessage,
    layers::encrypt::{EncryptLayer, thread_keys::MemoryThreadKeys},
};

use super::support::{FailingKeys, KeyCall, over_memory, ring};

#[tokio::test]
async fn a_message_whose_key_cannot_be_read_is_not_taken() {
    let keys = FailingKeys::new(MemoryThreadKeys::new());
    let db = over_memory(&EncryptLayer::new(ring("k1")).with_thread_keys(keys.clone()));
    let thread = db.thread("t");
    thread.add(NewMessage::user("said").with_id("m".parse().unwrap())).await.unwrap();
    keys.fail(KeyCall::Get, 1);
    let error = thread.take_last().await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    keys.fail(KeyCall::Get, 1);
    let batch = || Batch::new().with(TakeLastMessage::new("t".parse().unwrap()));
    let error = db.batch(batch()).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::NotApplied));
    assert_eq!(thread.take_last().await.unwrap().message.unwrap().content, Content::text("said"));
}

#[tokio::test]
async fn a_write_whose_answer_cannot_be_decrypted_is_answered_as_applied() {
    let keys = FailingKeys::new(MemoryThreadKeys::new());
    let db = over_memory(&EncryptLayer::new(ring("k1")).with_thread_keys(keys.clone()));
    let thread = db.thread("t");
    thread.add(NewMessage::user("said")).await.unwrap();
    keys.fail(KeyCall::Get, 1);
    let error = thread.archive(true).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Applied));
    assert!(thread.entry().await.unwrap().unwrap().archived);
}
