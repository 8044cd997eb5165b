//! A draft whose content is encrypted, up to the limit of its content.

use std::time::Duration;

use throughline::{
    Content, Draft, Effect, ErrorKind, MessageState, Persistence, Role, layers::limits::LimitsLayer,
    memory::MemoryBackend, messages::Coalesce, sqlite::SqliteOptions,
};

use super::support::layer;

const LIMIT: usize = 64 << 10;

/// Appends until one is refused, and answers the text that was taken.
async fn fill(draft: &mut Draft, flushes: bool) -> String {
    let mut taken = String::new();
    loop {
        let part = format!("{:-<1000}", taken.len());
        match draft.append(&part).await {
            Ok(()) => taken.push_str(&part),
            Err(error) => {
                assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
                return taken;
            }
        }
        if flushes {
            draft.flush().await.unwrap();
        }
    }
}

async fn assert_whole(db: &Persistence, mut draft: Draft, taken: &str) {
    draft.finish().await.unwrap();
    assert_eq!(draft.committed().bytes, taken.len() as u64);
    let message = db.thread("t").get(draft.id().clone()).await.unwrap().unwrap();
    assert_eq!((message.content, message.state), (Content::text(taken), MessageState::Final));
}

fn by_hand(db: &Persistence) -> throughline::requests::DraftRequest {
    let by_hand = Coalesce { interval: Duration::from_secs(3600), bytes: 16 << 10 };
    db.thread("t").reserve(Role::Assistant).coalesce(by_hand)
}

#[tokio::test]
async fn an_encrypted_draft_keeps_all_that_it_took_up_to_a_limit_of_content() {
    let limits = LimitsLayer::new().content_bytes(LIMIT);
    let db =
        Persistence::builder().layer(limits).layer(layer()).backend(MemoryBackend::new()).build().unwrap();
    // Each append by itself, and gathered.
    for flushes in [true, false] {
        let mut draft = by_hand(&db).await.unwrap();
        let taken = fill(&mut draft, flushes).await;
        assert_eq!(taken.len(), 65_000);
        assert_whole(&db, draft, &taken).await;
    }
}

#[tokio::test]
async fn an_encrypted_draft_keeps_all_that_it_took_up_to_the_limit_of_the_store() {
    let store = SqliteOptions::new().max_content_bytes(LIMIT as u64).temporary().await.unwrap();
    let db = Persistence::builder().layer(layer()).backend(store).build().unwrap();
    let mut draft = by_hand(&db).await.unwrap();
    let taken = fill(&mut draft, false).await;
    // 45 of 64 parts.
    assert_eq!(taken.len(), 46_000);
    assert_whole(&db, draft, &taken).await;
    db.close().await.unwrap();
}
