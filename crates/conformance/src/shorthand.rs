//! The words that checks are written in.

use std::fmt;

use throughline_core::{
    Content, ContentChange, Delta, Effect, ErrorKind, Message, MessageId, Metadata, NewMessage, PageFrom,
    PersistError, Position, Result, Role, Thread,
};

/// A message id.
pub(crate) fn id(text: &str) -> MessageId {
    MessageId::new(text).expect("a valid id")
}

/// A user's message with this id and text.
pub(crate) fn said(name: &str, text: &str) -> NewMessage {
    NewMessage::user(text).with_id(id(name))
}

/// Content of this JSON.
pub(crate) fn json(json: &str) -> Content {
    Content::from_json(json).expect("an array of blocks")
}

/// Metadata of this JSON.
pub(crate) fn facts(json: &str) -> Metadata {
    serde_json::from_str(json).expect("a JSON object")
}

/// The JSON of metadata.
pub(crate) fn shown(metadata: &Metadata) -> String {
    serde_json::to_string(metadata).expect("metadata serialises")
}

/// More text.
pub(crate) fn append(text: &str) -> ContentChange {
    ContentChange::Append(Delta::text(text))
}

/// Other content of one text block.
pub(crate) fn replace(text: &str) -> ContentChange {
    ContentChange::Replace(Content::text(text))
}

/// A message of no blocks.
pub(crate) fn silent(name: &str, role: Role) -> NewMessage {
    NewMessage::new(role, Content::empty()).with_id(id(name))
}

/// Asserts that a call was refused for this reason, and that nothing was applied.
#[track_caller]
pub(crate) fn refused<T: fmt::Debug>(answer: Result<T>, kind: ErrorKind) -> PersistError {
    match answer {
        Ok(answer) => panic!("answered {answer:?} where `{kind}` was due"),
        Err(error) => {
            assert_eq!((error.kind(), error.effect()), (kind, Effect::NotApplied), "{error}");
            error
        }
    }
}

/// Every message of a thread, oldest first.
pub(crate) async fn everything(thread: &Thread) -> Vec<Message> {
    let mut messages = Vec::new();
    let mut from = Some(PageFrom::Start);
    while let Some(at) = from {
        let page = thread.page(at, 100).await.expect("a page");
        from = page.next(at);
        messages.extend(page.messages);
    }
    messages
}

/// The ids of messages, in order.
pub(crate) fn ids(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.id.as_str()).collect()
}

/// The message of this id, which is there.
pub(crate) async fn the(thread: &Thread, name: &str) -> Message {
    let read = thread.get(id(name)).await.expect("a read");
    read.unwrap_or_else(|| panic!("there is no message `{name}`"))
}

/// The position of an answer, which has one.
#[track_caller]
pub(crate) fn position<O: throughline_core::Operation>(reply: &throughline_core::Reply<O>) -> Position {
    reply.receipt.position.expect("a change has a position")
}
