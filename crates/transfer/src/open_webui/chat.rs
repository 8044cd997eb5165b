//! One chat as a tree of messages.

use std::collections::HashSet;

use serde_json::value::RawValue;
use throughline_core::ThreadId;

use super::{OpenWebUi, message};
use crate::{
    FindingKind, Format, Location, Report,
    message_tree::{MessageTree, Node},
    object::{Object, ReadError, each_element},
    record,
};

/// Whether a chat is the copy of another one, for a link to it. Versions before 0.9 keep such copies among the chats.
pub(super) fn is_shared_copy(found: &Object<'_>) -> bool {
    found.get::<String>("user_id").is_some_and(|user| user.starts_with("shared-"))
}

/// Returns the tree of a chat. `rows` are the messages of the table of messages.
pub(super) fn tree<'a>(
    found: &Object<'a>,
    rows: Vec<Node<'a>>,
    location: &Location,
    report: &mut Report,
) -> Result<MessageTree<'a>, FindingKind> {
    let Some(id) = found.get::<String>("id") else { return Err(FindingKind::NoField("id")) };
    let id = ThreadId::new(id).map_err(FindingKind::InvalidId)?;
    let chat = match found.raw("chat") {
        // The first versions export the chat itself.
        None => Some(found.clone()),
        Some(chat) => match Object::read(chat.get()) {
            Ok(chat) => Some(chat),
            Err(_) if rows.is_empty() => return Err(FindingKind::WrongField("chat")),
            Err(_) => None,
        },
    };
    let history = chat.as_ref().and_then(|chat| Object::read(chat.raw("history")?.get()).ok());
    let mut nodes = match (&chat, &history) {
        (Some(chat), history) => nodes(chat, history.as_ref(), location, report)?,
        (None, _) => Vec::new(),
    };
    let mut ids: HashSet<String> = nodes.iter().map(|node| node.id.clone()).collect();
    nodes.extend(rows.into_iter().filter(|row| ids.insert(row.id.clone())));
    if nodes.len() > OpenWebUi::MAX_NODES {
        return Err(FindingKind::TooManyMessages { max: OpenWebUi::MAX_NODES });
    }
    let current = [
        found.get::<String>("current_message_id"),
        history.as_ref().and_then(|history| history.get("currentId")),
        chat.as_ref().and_then(|chat| chat.get("currentId")),
        chat.as_ref().and_then(|chat| chat.get("branchPointMessageId")),
    ];
    let current = current.into_iter().flatten().find(|current| ids.contains(current));
    Ok(MessageTree {
        format: Format::OpenWebUi,
        id,
        title: found.get("title"),
        created_at: message::time(found, "created_at").or_else(|| message::time(found, "timestamp")),
        archived: found.get("archived") == Some(true),
        record: Some(rest(found, chat.as_ref(), location, report)),
        current: current.or_else(|| nodes.last().map(|node| node.id.clone())),
        nodes,
        location: location.clone(),
    })
}

/// Returns the messages of a document: those of its tree, or those of its list.
fn nodes<'a>(
    chat: &Object<'a>,
    history: Option<&Object<'a>>,
    location: &Location,
    report: &mut Report,
) -> Result<Vec<Node<'a>>, FindingKind> {
    let tree = history.and_then(|history| history.raw("messages")).filter(|tree| tree.get() != "null");
    let Some(tree) = tree else { return list(chat, location) };
    let tree = Object::read_up_to(OpenWebUi::MAX_NODES, tree.get()).map_err(|error| match error {
        ReadError::TooManyFields => FindingKind::TooManyMessages { max: OpenWebUi::MAX_NODES },
        ReadError::NoObject(_) => FindingKind::WrongField("history.messages"),
    })?;
    if tree.fields().next().is_none() {
        return list(chat, location);
    }
    let mut nodes = Vec::new();
    for (id, message) in tree.fields() {
        match Object::read(message.get()) {
            Ok(found) => nodes.push(Node::of(id.to_owned(), found.get("parentId"), message, location)),
            Err(_) => report.skip(location, FindingKind::WrongField("history.messages")),
        }
    }
    Ok(nodes)
}

/// Returns the messages of the list `messages`, each the child of the one before it. One without an id is numbered.
fn list<'a>(chat: &Object<'a>, location: &Location) -> Result<Vec<Node<'a>>, FindingKind> {
    let mut nodes: Vec<Node<'a>> = Vec::new();
    let Some(list) = chat.raw("messages").filter(|list| list.get().starts_with('[')) else {
        return Ok(nodes);
    };
    let mut number = 0;
    let read = each_element(list, |message: &'a RawValue| {
        number += 1;
        if number <= OpenWebUi::MAX_NODES {
            let found = Object::read(message.get()).ok();
            let field = |name| found.as_ref().and_then(|found| found.get::<String>(name));
            let id = field("id").unwrap_or_else(|| format!("message-{number}"));
            let parent = field("parentId").or_else(|| nodes.last().map(|node| node.id.clone()));
            nodes.push(Node::of(id, parent, message, location));
        }
    });
    debug_assert!(read.is_ok(), "it was read as JSON");
    match number > OpenWebUi::MAX_NODES {
        true => Err(FindingKind::TooManyMessages { max: OpenWebUi::MAX_NODES }),
        false => Ok(nodes),
    }
}

/// Returns the other fields of a chat and of its document. Its document is omitted if it is too large, for example because
/// it has the text of files.
fn rest(found: &Object<'_>, chat: Option<&Object<'_>>, location: &Location, report: &mut Report) -> String {
    const MESSAGES: [&str; 2] = ["messages", "history"];
    let is_wrapped = found.raw("chat").is_some();
    let Some(chat) = chat.filter(|_| is_wrapped) else {
        return record::without(found, if is_wrapped { &["chat"] } else { &MESSAGES });
    };
    let whole = found.with("chat", &record::without(chat, &MESSAGES));
    if whole.len() <= record::MAX_METADATA {
        return whole;
    }
    report.warn(location, FindingKind::TooLarge { max: record::MAX_METADATA });
    record::without(found, &["chat"])
}
