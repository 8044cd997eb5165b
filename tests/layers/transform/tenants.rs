//! The tenants of a pipeline share the table of open messages, and no tenant drops the text of another.

use throughline::{
    Content, Effect, ErrorKind, MessageState, Persistence,
    layers::transform::TransformLayer,
    memory::MemoryBackend,
    messages::{Batch, ContentChange, TakeLastMessage, UpdateMode},
};

use super::{Names, append, change, content, in_doubt::Late, new};

/// Returns handles of two tenants with at most eight open messages. The tenant `a` has buffered text for one message.
async fn with_buffered_text() -> (Persistence, Persistence) {
    let names = TransformLayer::new(Names).open_messages(8);
    let db = Persistence::builder().layer(names).backend(MemoryBackend::new()).build().unwrap();
    let (a, b) = (db.for_tenant("a".parse().unwrap()), db.for_tenant("b".parse().unwrap()));
    a.run(new("m")).await.unwrap();
    a.run(append("m", "say Ali", UpdateMode::Partial)).await.unwrap();
    (a, b)
}

#[tokio::test]
async fn reservations_of_one_tenant_drop_no_buffered_text_of_another() {
    let (a, b) = with_buffered_text().await;
    for id in 0..100 {
        b.run(new(&format!("m{id}"))).await.unwrap();
    }
    a.run(append("m", "ce.", UpdateMode::Final)).await.unwrap();
    assert_eq!(content(&a, "m").await, r#"[{"type":"text","text":"say Alice."}]"#);
}

#[tokio::test]
async fn refused_calls_of_one_tenant_drop_no_buffered_text_of_another() {
    let (a, b) = with_buffered_text().await;
    let deep = format!("{}{}", "[".repeat(1025), "]".repeat(1025));
    for id in 0..100 {
        let content = ContentChange::Replace(Content::from_json(deep.clone()).unwrap());
        let error = b.run(change(&format!("m{id}"), content, UpdateMode::Partial)).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::TooLarge, Effect::NotApplied));
        let error = b.run(append(&format!("m{id}"), "Ali", UpdateMode::Partial)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    a.run(append("m", "ce.", UpdateMode::Final)).await.unwrap();
    assert_eq!(content(&a, "m").await, r#"[{"type":"text","text":"say Alice."}]"#);
}

#[tokio::test]
async fn buffered_text_of_too_many_messages_is_refused_as_busy() {
    let (a, b) = with_buffered_text().await;
    for id in 0..7 {
        b.run(new(&format!("m{id}"))).await.unwrap();
        b.run(append(&format!("m{id}"), "say Ali", UpdateMode::Partial)).await.unwrap();
    }
    b.run(new("m7")).await.unwrap();
    let error = b.run(append("m7", "Ali", UpdateMode::Partial)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Busy, Effect::NotApplied));
    assert_eq!(
        error.detail(),
        "`names` buffers text of as many open messages as it may: finish others first"
    );
    for id in 0..7 {
        b.run(append(&format!("m{id}"), "ce.", UpdateMode::Final)).await.unwrap();
        assert_eq!(content(&b, &format!("m{id}")).await, r#"[{"type":"text","text":"say Alice."}]"#);
    }
    b.run(append("m7", "Bob", UpdateMode::Final)).await.unwrap();
    a.run(append("m", "ce.", UpdateMode::Final)).await.unwrap();
    assert_eq!(content(&a, "m").await, r#"[{"type":"text","text":"say Alice."}]"#);
}

#[tokio::test]
async fn a_tenant_below_its_share_evicts_an_entry_of_a_tenant_above_its_share() {
    let names = TransformLayer::new(Names).open_messages(8);
    let db = Persistence::builder().layer(names).backend(MemoryBackend::new()).build().unwrap();
    let (a, b) = (db.for_tenant("a".parse().unwrap()), db.for_tenant("b".parse().unwrap()));
    for id in 0..8 {
        b.run(new(&format!("m{id}"))).await.unwrap();
        b.run(append(&format!("m{id}"), "say Ali", UpdateMode::Partial)).await.unwrap();
    }
    a.run(new("m")).await.unwrap();
    a.run(append("m", "say Ali", UpdateMode::Partial)).await.unwrap();
    let error = b.run(append("m0", "ce.", UpdateMode::Final)).await.unwrap_err();
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::NotApplied));
    assert_eq!(
        error.detail(),
        "`names` dropped buffered text of the message: read the message, and continue from what is stored"
    );
    // The caller sees that `Ali` is not stored.
    assert_eq!(content(&b, "m0").await, r#"[{"type":"text","text":"say "}]"#);
    b.run(append("m1", "ce.", UpdateMode::Final)).await.unwrap();
    b.run(append("m0", "Alice.", UpdateMode::Final)).await.unwrap();
    a.run(append("m", "ce.", UpdateMode::Final)).await.unwrap();
    for (db, id) in [(&a, "m"), (&b, "m0"), (&b, "m1")] {
        assert_eq!(content(db, id).await, r#"[{"type":"text","text":"say Alice."}]"#);
    }
}

/// Eight messages of one tenant have buffered text, and another tenant evicts the entry of `m0`.
async fn with_dropped_text(store: Late) -> (Persistence, Persistence) {
    let names = TransformLayer::new(Names).open_messages(8);
    let db = Persistence::builder().layer(names).backend(store).build().unwrap();
    let (a, b) = (db.for_tenant("a".parse().unwrap()), db.for_tenant("b".parse().unwrap()));
    for id in 0..8 {
        b.run(new(&format!("m{id}"))).await.unwrap();
        b.run(append(&format!("m{id}"), "say Ali", UpdateMode::Partial)).await.unwrap();
    }
    a.run(new("m")).await.unwrap();
    a.run(append("m", "say Ali", UpdateMode::Partial)).await.unwrap();
    (a, b)
}

#[tokio::test]
async fn a_message_with_dropped_text_is_refused_until_its_writer_reads_it() {
    let (_, b) = with_dropped_text(Late::default()).await;
    // A reader that is not the writer.
    content(&b, "m0").await;
    for (text, mode) in [("ce.", UpdateMode::Partial), ("", UpdateMode::Final), ("ce.", UpdateMode::Final)] {
        let error = b.run(append("m0", text, mode.clone())).await.unwrap_err();
        assert_eq!((error.kind(), error.effect()), (ErrorKind::Conflict, Effect::NotApplied), "{mode:?}");
    }
    let batch =
        Batch::new().with(append("m1", "ce.", UpdateMode::Final)).with(append("m0", "", UpdateMode::Final));
    let error = b.batch(batch).await.unwrap_err();
    assert_eq!((error.kind(), error.batch_index()), (ErrorKind::Conflict, Some(1)));
    b.run(append("m1", "ce.", UpdateMode::Final)).await.unwrap();
    assert_eq!(content(&b, "m0").await, r#"[{"type":"text","text":"say "}]"#);
    b.run(append("m0", "Alice.", UpdateMode::Final)).await.unwrap();
    assert_eq!(content(&b, "m0").await, r#"[{"type":"text","text":"say Alice."}]"#);
}

#[tokio::test]
async fn a_message_with_dropped_text_can_be_abandoned() {
    let (_, b) = with_dropped_text(Late::default()).await;
    b.run(append("m0", "", UpdateMode::Partial)).await.unwrap();
    b.run(append("m0", "", UpdateMode::Abandon { reason: None })).await.unwrap();
    let abandoned = b.thread("t").get("m0".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(abandoned.state, MessageState::Abandoned);
}

#[tokio::test]
async fn a_message_with_dropped_text_continues_after_its_content_is_replaced() {
    let (_, b) = with_dropped_text(Late::default()).await;
    b.run(append("m1", "ce.", UpdateMode::Final)).await.unwrap();
    let whole = ContentChange::Replace(Content::text("all of Ali"));
    b.run(change("m0", whole, UpdateMode::Partial)).await.unwrap();
    b.run(append("m0", "ce.", UpdateMode::Final)).await.unwrap();
    assert_eq!(content(&b, "m0").await, r#"[{"type":"text","text":"all of Alice."}]"#);
}

#[tokio::test]
async fn a_message_that_another_process_finished_can_be_edited_after_its_text_was_dropped() {
    let store = Late::default();
    let (_, b) = with_dropped_text(store.clone()).await;
    let other = Persistence::builder().backend(store).build().unwrap().for_tenant("b".parse().unwrap());
    other.run(append("m0", "it", UpdateMode::Final)).await.unwrap();
    b.run(append("m1", "ce.", UpdateMode::Final)).await.unwrap();
    b.run(append("m0", ", Alice", UpdateMode::Edit)).await.unwrap();
    assert_eq!(content(&b, "m0").await, r#"[{"type":"text","text":"say it, Alice"}]"#);
}

#[tokio::test]
async fn a_full_table_refuses_no_call_without_text_to_buffer() {
    let (a, b) = with_buffered_text().await;
    for id in 0..7 {
        b.run(new(&format!("m{id}"))).await.unwrap();
        b.run(append(&format!("m{id}"), "say Ali", UpdateMode::Partial)).await.unwrap();
    }
    for id in ["m7", "m8", "m9"] {
        b.run(new(id)).await.unwrap();
    }
    let error = b.run(append("m7", "Ali", UpdateMode::Partial)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    b.run(append("m7", "", UpdateMode::Partial)).await.unwrap();
    b.run(append("m7", "", UpdateMode::Final)).await.unwrap();
    b.run(append("m8", "", UpdateMode::Abandon { reason: None })).await.unwrap();
    a.run(append("m", "ce.", UpdateMode::Final)).await.unwrap();
    assert_eq!(content(&a, "m").await, r#"[{"type":"text","text":"say Alice."}]"#);
}

#[tokio::test]
async fn take_last_frees_the_entry_of_its_message() {
    let (_, b) = with_buffered_text().await;
    for id in 0..7 {
        b.run(new(&format!("m{id}"))).await.unwrap();
        b.run(append(&format!("m{id}"), "say Ali", UpdateMode::Partial)).await.unwrap();
    }
    b.on_thread(TakeLastMessage::new("t".parse().unwrap())).await.unwrap();
    b.run(new("m7")).await.unwrap();
    b.run(append("m7", "Ali", UpdateMode::Partial)).await.unwrap();
}
