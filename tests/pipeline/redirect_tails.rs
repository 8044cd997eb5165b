//! A redirect answers a tail read from the store that took the message.

use throughline::{
    Delta, ErrorKind, NewMessage, NewReservation, PersistArgs, Persistence, Role, Thread,
    memory::MemoryBackend,
    messages::{ContentChange, ContentCursor, Reserve, UpdateMode},
    redirect::{redirect, redirect_messages},
};

fn memory(name: &str) -> MemoryBackend {
    MemoryBackend::new().with_name(name)
}

async fn append(thread: &Thread, name: &str, text: &str) {
    let change = ContentChange::Append(Delta::text(text));
    thread.update_content(name.parse().unwrap(), change, UpdateMode::Partial).await.unwrap();
}

/// Reads after a cursor. Returns the text and the next cursor.
async fn tail(thread: &Thread, name: &str, after: Option<ContentCursor>) -> (String, ContentCursor) {
    let tail =
        thread.read_content(name.parse().unwrap(), after).await.unwrap().expect("the message is there");
    assert!(!tail.replaced);
    let text = tail.parts.iter().map(|part| match part {
        Delta::Text(text) => text.as_str(),
        Delta::Blocks(_) => panic!("no blocks were written"),
    });
    (text.collect(), tail.next)
}

async fn expect_tails(thread: &Thread, name: &str, role: Role) {
    let reservation = NewReservation::new(role).with_id(name.parse().unwrap());
    thread.persistence().run(Reserve::new(thread.id().unwrap().clone(), reservation)).await.unwrap();
    assert_eq!(tail(thread, name, None).await.0, "");
    append(thread, name, "Hello").await;
    let (text, next) = tail(thread, name, None).await;
    assert_eq!(text, "Hello");
    append(thread, name, ", you").await;
    let (text, next) = tail(thread, name, Some(next)).await;
    assert_eq!(text, ", you");
    thread.update_content(name.parse().unwrap(), ContentChange::none(), UpdateMode::Final).await.unwrap();
    assert_eq!(tail(thread, name, Some(next)).await.0, "");
    thread.edit(name.parse().unwrap(), throughline::Content::text("edited")).await.unwrap();
    let edited = thread.read_content(name.parse().unwrap(), Some(next)).await.unwrap().unwrap();
    assert_eq!((edited.replaced, edited.parts), (true, vec![Delta::text("edited")]));
    let beyond = ContentCursor::new(edited.next.epoch(), 10_000, edited.next.revision());
    let error = thread.read_content(name.parse().unwrap(), Some(beyond)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    thread.delete(name.parse().unwrap()).await.unwrap();
    assert_eq!(thread.read_content(name.parse().unwrap(), Some(next)).await.unwrap(), None);
}

#[tokio::test]
async fn a_tail_read_of_a_redirected_message_is_answered_by_the_target() {
    let vault = Persistence::builder().backend(memory("vault")).build().unwrap();
    let tools =
        |args: &PersistArgs| matches!(args, PersistArgs::Reserve(reserve) if reserve.role == Role::Tool);
    let db = Persistence::builder()
        .layer(redirect_messages("to-vault", tools, vault.clone()))
        .backend(memory("live"))
        .build()
        .unwrap();
    let thread = db.thread("t");
    thread.add(NewMessage::user("question")).await.unwrap();
    expect_tails(&thread, "kept", Role::Tool).await;
    expect_tails(&thread, "local", Role::Assistant).await;
    assert!(vault.thread("t").read_content("local".parse().unwrap(), None).await.unwrap().is_none());
}

#[tokio::test]
async fn a_tail_read_of_a_redirected_thread_is_answered_by_the_target() {
    let archive = Persistence::builder().backend(memory("archive")).build().unwrap();
    let db = Persistence::builder()
        .layer(redirect("to-archive", |_, thread| thread.as_str() == "old", archive))
        .backend(memory("live"))
        .build()
        .unwrap();
    expect_tails(&db.thread("old"), "m", Role::Assistant).await;
    expect_tails(&db.thread("new"), "m", Role::Assistant).await;
}
