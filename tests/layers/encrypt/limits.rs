//! Encrypted drafts up to the content limit.

use std::time::Duration;

use throughline::{
    Content, Draft, Effect, ErrorKind, MessageState, Persistence, Role, layers::limits::LimitsLayer,
    memory::MemoryBackend, messages::Coalesce, sqlite::SqliteOptions,
};

use super::support::layer;

const LIMIT: usize = 64 << 10;

/// Appends until an append is refused. Returns the accepted text.
async fn fill(draft: &mut Draft, flushes: bool) -> String {
    let mut accepted = String::new();
    loop {
        let part = format!("{:-<1000}", accepted.len());
        match draft.append(&part).await {
            Ok(()) => accepted.push_str(&part),
            Err(error) => {
                assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
                return accepted;
            }
        }
        if flushes {
            draft.flush().await.unwrap();
        }
    }
}

async fn assert_whole(db: &Persistence, mut draft: Draft, accepted: &str) {
    draft.finish().await.unwrap();
    assert_eq!(draft.committed().bytes, accepted.len() as u64);
    let message = db.thread("t").get(draft.id().clone()).await.unwrap().unwrap();
    assert_eq!((message.content, message.state), (Content::text(accepted), MessageState::Final));
}

fn without_timer(db: &Persistence) -> throughline::requests::DraftRequest {
    let without_timer = Coalesce { interval: Duration::from_secs(3600), bytes: 16 << 10 };
    db.thread("t").reserve(Role::Assistant).coalesce(without_timer)
}

#[tokio::test]
async fn an_encrypted_draft_keeps_every_accepted_append_up_to_the_content_limit_of_a_layer() {
    let limits = LimitsLayer::new().content_bytes(LIMIT);
    let db =
        Persistence::builder().layer(limits).layer(layer()).backend(MemoryBackend::new()).build().unwrap();
    // Test separate writes, and coalesced ones.
    for flushes in [true, false] {
        let mut draft = without_timer(&db).await.unwrap();
        let accepted = fill(&mut draft, flushes).await;
        assert_eq!(accepted.len(), 65_000);
        assert_whole(&db, draft, &accepted).await;
    }
}

#[tokio::test]
async fn an_encrypted_draft_keeps_every_accepted_append_up_to_the_content_limit_of_the_store() {
    let store = SqliteOptions::new().max_content_bytes(LIMIT as u64).temporary().await.unwrap();
    let db = Persistence::builder().layer(layer()).backend(store).build().unwrap();
    let mut draft = without_timer(&db).await.unwrap();
    let accepted = fill(&mut draft, false).await;
    // Encryption and encoding use the rest of the limit.
    assert_eq!(accepted.len(), 46_000);
    assert_whole(&db, draft, &accepted).await;
    db.close().await.unwrap();
}
