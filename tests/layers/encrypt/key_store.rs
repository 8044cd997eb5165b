//! Calls with a failing key store.

use throughline::{
    Content, Effect, ErrorKind, IdempotencyKey, NewMessage, PersistResult, Seq,
    layers::encrypt::{EncryptLayer, thread_keys::MemoryThreadKeys},
    messages::{Add, Batch, Delete, TakeLastMessage},
    threads::ThreadResult,
};

use super::support::{FailingKeys, KeyCall, key, key_ring, over_memory, stacks};

#[tokio::test]
async fn take_last_fails_when_the_key_cannot_be_read() {
    let keys = FailingKeys::new(MemoryThreadKeys::new());
    let db = over_memory(&EncryptLayer::new(key_ring("k1")).with_thread_keys(keys.clone()));
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

/// Removes `k1` from the key ring, even if data is under it.
async fn remove_k1(layer: &EncryptLayer) {
    layer.key_ring().rotate(key("k2")).unwrap();
    layer.retire(&"k1".parse().unwrap(), &[]).await.unwrap();
}

#[tokio::test]
async fn take_last_fails_when_the_message_cannot_be_decrypted() {
    for index in 0..4 {
        let layer = match index % 2 {
            0 => EncryptLayer::new(key_ring("k1")),
            _ => EncryptLayer::new(key_ring("k1")).with_thread_keys(MemoryThreadKeys::new()),
        };
        let db = stacks(&layer).await.swap_remove(index / 2);
        let thread = db.thread("t");
        for id in ["a", "b"] {
            thread.add(NewMessage::user("said").with_id(id.parse().unwrap())).await.unwrap();
        }
        remove_k1(&layer).await;
        let take = || TakeLastMessage::new("t".parse().unwrap());
        for (take, idempotency) in
            [(take(), None), (take().expecting(Seq::new(2)), None), (take(), Some("x"))]
        {
            let call = db.on_thread(take.clone());
            let error = match idempotency {
                Some(name) => call.key(IdempotencyKey::new(name).unwrap()).await.unwrap_err(),
                None => call.await.unwrap_err(),
            };
            assert_eq!((error.kind(), error.effect()), (ErrorKind::Corrupt, Effect::NotApplied));
            let error = db.batch(Batch::new().with(take)).await.unwrap_err();
            assert_eq!((error.kind(), error.batch_index()), (ErrorKind::Corrupt, Some(0)));
        }
        layer.key_ring().add(key("k1")).unwrap();
        let taken = thread.take_last().await.unwrap().message.unwrap();
        assert_eq!((taken.id.as_str(), taken.content), ("b", Content::text("said")));
    }
}

#[tokio::test]
async fn a_batch_takes_added_and_existing_messages() {
    for db in stacks(&EncryptLayer::new(key_ring("k1"))).await {
        let thread = db.thread("t");
        for id in ["a", "b", "c"] {
            thread.add(NewMessage::user(id).with_id(id.parse().unwrap())).await.unwrap();
        }
        let take = || TakeLastMessage::new("t".parse().unwrap());
        let added = Add::new("t".parse().unwrap(), NewMessage::user("d").with_id("d".parse().unwrap()));
        let batch = Batch::new()
            .with(added)
            .with(take())
            .with(Delete::new("t".parse().unwrap(), "c".parse().unwrap()))
            .with(take())
            .with(take())
            .with(take());
        let outputs = db.batch(batch).await.unwrap().outputs;
        let taken: Vec<Option<String>> = outputs
            .into_iter()
            .filter_map(|output| match output {
                PersistResult::Thread(ThreadResult::TakeLast(taken)) => Some(taken.message),
                _ => None,
            })
            .map(|message| message.map(|message| message.content.plain_text(9)))
            .collect();
        assert_eq!(
            taken,
            ["d", "b", "a"].map(|text| Some(text.to_owned())).into_iter().chain([None]).collect::<Vec<_>>()
        );
    }
}

#[tokio::test]
async fn a_replayed_take_last_succeeds_although_the_message_before_cannot_be_decrypted() {
    let layer = EncryptLayer::new(key_ring("k1"));
    let db = over_memory(&layer);
    let thread = db.thread("t");
    thread.add(NewMessage::user("old").with_id("a".parse().unwrap())).await.unwrap();
    remove_k1(&layer).await;
    thread.add(NewMessage::user("new").with_id("b".parse().unwrap())).await.unwrap();
    let take =
        || db.on_thread(TakeLastMessage::new("t".parse().unwrap())).key(IdempotencyKey::new("x").unwrap());
    assert_eq!(take().await.unwrap().message.unwrap().content, Content::text("new"));
    let again = take().await.unwrap();
    assert!(again.deduplicated && again.deleted.unwrap().id.as_str() == "b");
}

#[tokio::test]
async fn a_write_whose_answer_cannot_be_decrypted_reports_applied() {
    let keys = FailingKeys::new(MemoryThreadKeys::new());
    let db = over_memory(&EncryptLayer::new(key_ring("k1")).with_thread_keys(keys.clone()));
    let thread = db.thread("t");
    thread.add(NewMessage::user("said")).await.unwrap();
    keys.fail(KeyCall::Get, 1);
    let error = thread.archive(true).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unavailable, Effect::Applied));
    assert!(thread.summary().await.unwrap().unwrap().archived);
}
