//! `TakeLastMessage` through the layers: its answer carries content, and it deletes a message.

use throughline::{
    Delta, Effect, ErrorKind, MessageState, NewMessage, NewReservation, PersistArgs, Persistence, Role,
    audit::{AuditFrom, ReadAudit},
    changes::ChangeScope,
    layers::{
        audit::{AuditKey, AuditLayer},
        encrypt::{EncryptLayer, Key, KeyRing},
        redact::RedactLayer,
        scope::{ScopeLayer, Verb},
    },
    memory::MemoryBackend,
    messages::{ContentChange, Reserve, TakeLastMessage, UpdateContent, UpdateMode},
    redirect::redirect_messages,
};

async fn add_two_messages(db: &Persistence) {
    for (name, text) in [("a", "first"), ("b", "second")] {
        let message = NewMessage::user(text).with_id(name.parse().unwrap());
        db.thread("t").add(message).await.unwrap();
    }
}

#[tokio::test]
async fn a_taken_message_is_decrypted() {
    let key_ring = KeyRing::new(Key::new("k1".parse().unwrap(), &[7; 32]));
    let layer = EncryptLayer::new(key_ring);
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    add_two_messages(&db).await;
    let taken = db.thread("t").take_last().await.unwrap().message.unwrap();
    assert_eq!(taken.content, throughline::Content::text("second"));
    assert_eq!(taken.id.as_str(), "b");
}

#[tokio::test]
async fn take_last_needs_the_verbs_read_and_delete() {
    let scope = ScopeLayer::new();
    let authority = scope.authority();
    let db = Persistence::builder().layer(scope).backend(MemoryBackend::new()).build().unwrap();
    let host = db.with_credential(authority.everything());
    add_two_messages(&host).await;
    for verbs in [vec![Verb::Read], vec![Verb::Delete], vec![Verb::Clear, Verb::Read]] {
        let bearer = db.with_credential(authority.everything().only(verbs));
        let error = bearer.thread("t").take_last().await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Denied, Effect::NotApplied));
    }
    let bearer = db.with_credential(authority.everything().only([Verb::Read, Verb::Delete]));
    assert!(bearer.thread("t").take_last().await.unwrap().message.is_some());
}

#[tokio::test]
async fn the_audit_log_names_the_taken_message() {
    let layer = AuditLayer::new(AuditKey::new(&[36; 32]));
    let db = Persistence::builder().layer(layer).backend(MemoryBackend::new()).build().unwrap();
    add_two_messages(&db).await;
    db.thread("t").take_last().await.unwrap();
    let page = db.read(ReadAudit::new(ChangeScope::Store, AuditFrom::End, 1)).await.unwrap();
    let item = &page.entries[0].record.items[0];
    assert_eq!((&*item.operation, item.messages[0].as_str()), ("takeLastMessage", "b"));
    assert!(item.revision.is_some());
}

#[tokio::test]
async fn a_redirect_by_message_refuses_take_last() {
    let vault = Persistence::builder().backend(MemoryBackend::new()).build().unwrap();
    let tools = |args: &PersistArgs| matches!(args, PersistArgs::Add(add) if add.role == Role::Tool);
    let db = Persistence::builder()
        .layer(redirect_messages("vault", tools, vault))
        .backend(MemoryBackend::new())
        .build()
        .unwrap();
    add_two_messages(&db).await;
    let error = db.on_thread(TakeLastMessage::new("t".parse().unwrap())).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Unsupported, Effect::NotApplied));
    assert!(db.thread("t").get("b".parse().unwrap()).await.unwrap().is_some());
}

#[tokio::test]
async fn an_open_message_is_taken_without_its_buffered_text() {
    let db =
        Persistence::builder().layer(RedactLayer::secrets()).backend(MemoryBackend::new()).build().unwrap();
    let reservation = NewReservation::new(Role::Assistant).with_id("m".parse().unwrap());
    db.run(Reserve::new("t".parse().unwrap(), reservation)).await.unwrap();
    let append = |text: &str| {
        let change = ContentChange::Append(Delta::text(text));
        UpdateContent::new("t".parse().unwrap(), "m".parse().unwrap(), change, UpdateMode::Partial)
    };
    // The beginning of a possible access key.
    db.run(append("say AKIA")).await.unwrap();
    let taken = db.thread("t").take_last().await.unwrap().message.unwrap();
    assert_eq!((taken.state, taken.content), (MessageState::Streaming, throughline::Content::text("say ")));
    assert_eq!(db.run(append(" loud")).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(db.thread("t").take_last().await.unwrap().message, None);
}
