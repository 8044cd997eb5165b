//! Finds by metadata through the layers that change content.

use throughline::{
    Effect, ErrorKind, IndexedMetadata, Metadata, NewMessage, Persistence,
    layers::{
        encrypt::{EncryptLayer, Key, KeyRing},
        redact::RedactLayer,
        transform::{Edits, HeldTail, Rewrite, TextPart, Transform, TransformLayer},
    },
    memory::MemoryBackend,
    messages::FindMessages,
    redirect::redirect,
};

const TOKEN: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

fn indexed() -> MemoryBackend {
    MemoryBackend::new().with_indexed_metadata(IndexedMetadata::new(["kind"]).unwrap())
}

async fn add(db: &Persistence, thread: &str, id: &str, kind: &str) {
    let mut metadata = Metadata::new();
    metadata.set("kind", kind).unwrap();
    let message = NewMessage::user("x").with_id(id.parse().unwrap()).with_metadata(metadata);
    db.thread(thread).add(message).await.unwrap();
}

async fn found(db: &Persistence, kind: &str) -> Vec<String> {
    let page = db.find(FindMessages::new("kind", kind, 9)).await.unwrap();
    page.messages.iter().map(|message| message.id.to_string()).collect()
}

/// Stores `[p1]` for `Alice`.
struct Names;

impl Transform for Names {
    type Stream = HeldTail;

    fn name(&self) -> &str {
        "names"
    }

    fn down(&self, part: TextPart<'_>) -> Rewrite {
        let (mut edits, start) = (Edits::none(), part.start());
        for (at, name) in part.text()[start..].match_indices("Alice") {
            edits.replace(start + at..start + at + name.len(), "[p1]");
        }
        Rewrite { edits, certain: part.certain_before(start, ["Alice"]) }
    }

    fn up(&self, text: &str) -> Edits {
        let mut edits = Edits::none();
        text.match_indices("[p1]").for_each(|(at, alias)| edits.replace(at..at + alias.len(), "Alice"));
        edits
    }
}

#[tokio::test]
async fn a_find_through_a_transform_returns_messages_by_the_value_that_the_caller_knows() {
    let db = Persistence::builder().layer(TransformLayer::new(Names)).backend(indexed()).build().unwrap();
    add(&db, "t", "a", "for Alice").await;
    add(&db, "t", "b", "for Bob").await;
    assert_eq!(
        (found(&db, "for Alice").await, found(&db, "for Bob").await),
        (vec!["a".to_owned()], vec!["b".to_owned()])
    );
    let page = db.thread("t").find("kind", "for Alice", 1).await.unwrap();
    assert_eq!(page.messages[0].metadata.get("kind").unwrap().get(), "\"for Alice\"");
    // The caller could not see the stored text either.
    assert_eq!(found(&db, "for [p1]").await, ["a"]);
}

#[tokio::test]
async fn a_find_by_a_secret_returns_the_messages_in_which_it_was_redacted() {
    let db = Persistence::builder().layer(RedactLayer::secrets()).backend(indexed()).build().unwrap();
    add(&db, "t", "a", TOKEN).await;
    add(&db, "t", "b", "tool").await;
    assert_eq!(
        (found(&db, TOKEN).await, found(&db, "tool").await),
        (vec!["a".to_owned()], vec!["b".to_owned()])
    );
    let page = db.find(FindMessages::new("kind", TOKEN, 1)).await.unwrap();
    assert!(!page.messages[0].metadata.get("kind").unwrap().get().contains(TOKEN));
}

#[tokio::test]
async fn a_find_through_encryption_is_refused_by_the_layer_and_names_the_field() {
    let key_ring = KeyRing::new(Key::new("k".parse().unwrap(), &[7; 32]));
    let db = Persistence::builder().layer(EncryptLayer::new(key_ring)).backend(indexed()).build().unwrap();
    add(&db, "t", "a", "tool").await;
    let refused = db.find(FindMessages::new("kind", "tool", 9)).await.unwrap_err();
    assert_eq!((refused.kind(), refused.effect()), (ErrorKind::Unsupported, Effect::NotApplied));
    assert_eq!(refused.site().unwrap().name(), "encrypt");
    assert!(refused.detail().contains("`kind`"), "{refused}");
}

#[tokio::test]
async fn a_find_over_a_redirect_of_threads_merges_the_pages_of_both_stores() {
    let elsewhere = Persistence::builder().backend(indexed().with_name("elsewhere")).build().unwrap();
    let db = Persistence::builder()
        .layer(redirect("moved", |_, thread| thread.as_str().starts_with("moved"), elsewhere.clone()))
        .backend(indexed())
        .build()
        .unwrap();
    for n in 0..6 {
        add(&db, ["here", "moved"][n % 2], &format!("m{n}"), "tool").await;
    }
    assert_eq!(found(&elsewhere, "tool").await.len(), 3);
    let mut find = FindMessages::new("kind", "tool", 2);
    let mut walked = Vec::new();
    loop {
        let page = db.find(find.clone()).await.unwrap();
        assert!(page.messages.len() <= 2);
        walked.extend(page.messages.iter().map(|message| message.id.to_string()));
        let Some(next) = page.next else { break };
        find = find.after(next);
    }
    walked.sort();
    assert_eq!(walked, ["m0", "m1", "m2", "m3", "m4", "m5"]);
}
