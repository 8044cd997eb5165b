//! Short constructors and assertions for the checks.

use std::fmt;

use throughline_core::{
    Content, Delta, Effect, ErrorKind, Message, MessageId, Metadata, NewMessage, NewThread, PersistError,
    Persistence, Position, Result, Role, Thread, ThreadId, Title,
    changes::{Change, ChangeScope, ReadChanges},
    messages::{ContentChange, PageFrom},
    threads::{ListThreads, ThreadSummary},
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
    serde_json::to_string(metadata).expect("metadata serializes")
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

/// Asserts that a call failed with this kind, and that it was not applied.
#[track_caller]
pub(crate) fn refused<T: fmt::Debug>(answer: Result<T>, kind: ErrorKind) -> PersistError {
    match answer {
        Ok(answer) => panic!(
            "a refusal\n  expected: the call is refused as `{kind}`\n  actual: it is answered: {answer:?}"
        ),
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

/// The message with this id, which must exist.
pub(crate) async fn the(thread: &Thread, name: &str) -> Message {
    let read = thread.get(id(name)).await.expect("a read");
    read.unwrap_or_else(|| panic!("there is no message `{name}`"))
}

/// The position of an answer, which must have one.
#[track_caller]
pub(crate) fn position<O: throughline_core::Operation>(reply: &throughline_core::Reply<O>) -> Position {
    reply.receipt.position.expect("a change has a position")
}

/// A thread id.
pub(crate) fn thread_id(text: &str) -> ThreadId {
    ThreadId::new(text).expect("a valid id")
}

/// A title.
pub(crate) fn title(text: &str) -> Title {
    Title::new(text).expect("a short title")
}

/// A new thread with this id.
pub(crate) fn new_thread(name: &str) -> NewThread {
    NewThread::new().with_id(thread_id(name))
}

/// The summary of a thread, which must exist.
pub(crate) async fn entry(db: &Persistence, name: &str) -> ThreadSummary {
    let read = db.thread(name).summary().await.expect("a read");
    read.unwrap_or_else(|| panic!("there is no thread `{name}`"))
}

/// The threads of a list, page by page.
pub(crate) async fn listed(db: &Persistence, mut list: ListThreads) -> Vec<ThreadSummary> {
    let mut entries = Vec::new();
    loop {
        let page = db.threads(list.clone()).await.expect("a list");
        assert_eq!(page.damaged, []);
        entries.extend(page.threads);
        match page.next {
            Some(next) => list = list.after(next),
            None => return entries,
        }
    }
}

/// The ids of summaries, in order.
pub(crate) fn names(entries: &[ThreadSummary]) -> Vec<&str> {
    entries.iter().map(|entry| entry.thread.as_str()).collect()
}

/// Every change after a position.
pub(crate) async fn changes_after(db: &Persistence, scope: ChangeScope, mut after: Position) -> Vec<Change> {
    let mut changes = Vec::new();
    loop {
        let read = db.read(ReadChanges::new(scope.clone(), after, 100)).await.expect("changes");
        changes.extend(read.changes);
        after = read.position;
        if !read.more {
            return changes;
        }
    }
}
