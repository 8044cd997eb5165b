//! The buffered text of a message survives failures between its parts.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use throughline::{
    Call, Content, Delta, Effect, ErrorKind, IdempotencyKey, NewReservation, Next, Operation, PersistError,
    Persistence, Phase, Plugin, Reply, Result, Role,
    layers::redact::RedactLayer,
    memory::MemoryBackend,
    messages::{Batch, ContentChange, Reserve, UpdateContent, UpdateMode},
};

use super::checks::{append, reserve};

/// Loses the next answer of a write.
struct Lossy(Arc<AtomicBool>);

impl Plugin for Lossy {
    fn name(&self) -> &str {
        "lossy"
    }

    fn phase(&self) -> Phase {
        Phase::Route
    }

    async fn around<O: Operation>(&self, call: Call<O>, next: Next<'_, O>) -> Result<Reply<O>> {
        let answer = next.run(call).await;
        if self.0.swap(false, Ordering::Relaxed) {
            return Err(PersistError::new(ErrorKind::Unavailable, "lost").with_effect(Effect::Unknown));
        }
        answer
    }
}

fn open() -> (Persistence, Arc<AtomicBool>) {
    let lose = Arc::<AtomicBool>::default();
    let db = Persistence::builder()
        .layer(RedactLayer::secrets())
        .plugin(Lossy(Arc::clone(&lose)))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    (db, lose)
}

async fn text(db: &Persistence, id: &str) -> String {
    let message = db.thread("t").get(id.parse().unwrap()).await.unwrap().unwrap();
    message.content.plain_text(100_000)
}

fn key(key: &str) -> IdempotencyKey {
    IdempotencyKey::new(key).unwrap()
}

fn new(id: &str) -> Reserve {
    Reserve::new("t".parse().unwrap(), NewReservation::new(Role::Assistant).with_id(id.parse().unwrap()))
}

fn change(id: &str, change: ContentChange, mode: UpdateMode) -> UpdateContent {
    UpdateContent::new("t".parse().unwrap(), id.parse().unwrap(), change, mode)
}

#[tokio::test]
async fn a_refused_batch_keeps_the_buffered_text_of_other_messages() {
    let (db, _) = open();
    reserve(&db, "m").await;
    db.run(append("m", "say AKIA", UpdateMode::Partial)).await.unwrap();
    let batch = Batch::new().with(append("m", "B", UpdateMode::Partial)).with(append(
        "ghost",
        "x",
        UpdateMode::Partial,
    ));
    assert_eq!(db.batch(batch).await.unwrap_err().kind(), ErrorKind::NotFound);
    db.run(append("m", " loud", UpdateMode::Final)).await.unwrap();
    assert_eq!(text(&db, "m").await, "say AKIA loud");
}

#[tokio::test]
async fn a_replayed_batch_keeps_the_buffered_text() {
    let (db, _) = open();
    let batch = || Batch::new().with(new("m")).with(append("m", "say AKIA", UpdateMode::Partial));
    db.batch(batch()).key(key("k")).await.unwrap();
    db.batch(batch()).key(key("k")).await.unwrap();
    db.run(append("m", " loud", UpdateMode::Final)).await.unwrap();
    assert_eq!(text(&db, "m").await, "say AKIA loud");
}

#[tokio::test]
async fn a_refused_batch_that_reserves_again_keeps_the_buffered_text() {
    let (db, _) = open();
    reserve(&db, "m").await;
    db.run(append("m", "say AKIA", UpdateMode::Partial)).await.unwrap();
    let batch = Batch::new().with(new("m")).with(append("m", "B", UpdateMode::Partial));
    assert_eq!(db.batch(batch).await.unwrap_err().effect(), Effect::NotApplied);
    db.run(append("m", " loud", UpdateMode::Final)).await.unwrap();
    assert_eq!(text(&db, "m").await, "say AKIA loud");
}

#[tokio::test]
async fn a_retried_append_that_was_fully_buffered_is_not_lost() {
    for whole in [true, false] {
        let (db, lose) = open();
        reserve(&db, "m").await;
        let part = if whole { "AKIA" } else { "say AKIA" };
        let part = || append("m", part, UpdateMode::Partial);
        lose.store(true, Ordering::Relaxed);
        db.run(part()).key(key("k")).await.unwrap_err();
        db.run(part()).key(key("k")).await.unwrap();
        db.run(append("m", " loud", UpdateMode::Final)).await.unwrap();
        assert!(text(&db, "m").await.ends_with("AKIA loud"), "{}", text(&db, "m").await);
    }
}

#[tokio::test]
async fn a_retried_batch_that_begins_a_message_keeps_its_buffered_text() {
    let (db, lose) = open();
    let batch = || Batch::new().with(new("m")).with(append("m", "say AKIA", UpdateMode::Partial));
    lose.store(true, Ordering::Relaxed);
    db.batch(batch()).key(key("k")).await.unwrap_err();
    db.batch(batch()).key(key("k")).await.unwrap();
    db.run(append("m", " loud", UpdateMode::Final)).await.unwrap();
    assert_eq!(text(&db, "m").await, "say AKIA loud");
}

#[tokio::test]
async fn half_a_surrogate_pair_does_not_end_a_secret() {
    for json in [
        format!(r#"[{{"type":"text","text":"-----{} PRIVATE KEY-----\nMIIE \ud800 "}}]"#, "BEGIN"),
        r#"[{"type":"text","text":"postgres://me\ud800:MII"}]"#.to_owned(),
    ] {
        for replace in [true, false] {
            let (db, _) = open();
            reserve(&db, "m").await;
            let content = Content::from_json(json.clone()).unwrap();
            let first = if replace {
                ContentChange::Replace(content)
            } else {
                ContentChange::Append(Delta::Blocks(content))
            };
            db.run(change("m", first, UpdateMode::Partial)).await.unwrap();
            db.run(append("m", "Esecret1@host", UpdateMode::Final)).await.unwrap();
            let stored = text(&db, "m").await;
            assert!(!stored.contains("secret1"), "{json} {stored}");
        }
    }
}

#[tokio::test]
async fn a_character_at_the_split_does_not_end_a_private_key() {
    for pad in 90..100 {
        let (db, _) = open();
        reserve(&db, "m").await;
        let begun = format!("-----{} PRIVATE KEY-----\né{}", "BEGIN", "M".repeat(pad));
        let content = Content::text(&begun);
        db.run(change("m", ContentChange::Replace(content), UpdateMode::Partial)).await.unwrap();
        db.run(append("m", "MIIEsecret1", UpdateMode::Final)).await.unwrap();
        let stored = text(&db, "m").await;
        assert!(!stored.contains("secret1"), "{pad} {stored}");
    }
}

#[tokio::test]
async fn an_edit_that_continues_a_secret_is_redacted() {
    let pem = format!("-----{} PRIVATE KEY-----\n", "BEGIN");
    let github = format!("ghp_{}", "a1B2".repeat(9));
    for (first, then) in
        [(pem, format!("MIIEsecret1\n-----{} PRIVATE KEY-----", "END")), (github, "secret1".to_owned())]
    {
        let (db, _) = open();
        reserve(&db, "m").await;
        db.run(append("m", &first, UpdateMode::Final)).await.unwrap();
        db.run(append("m", &then, UpdateMode::Edit)).await.unwrap();
        let stored = text(&db, "m").await;
        assert!(!stored.contains("secret1"), "{stored}");
    }
}
