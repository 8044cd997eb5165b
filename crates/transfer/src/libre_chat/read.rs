//! Reads the conversations of exports.

use std::path::Path;

use serde_json::value::RawValue;
use throughline_core::ThreadId;

use super::{LibreChat, message, nested::NestedMessages};
use crate::{
    FindingKind, Format, Location, Progress, Report, TransferError,
    import::{Sink, Source},
    message_tree::{self, MAX_NODES, MessageTree, Node, TreeFiles},
    object::Object,
    record, walk,
};

/// The fields with the messages of a conversation.
const MESSAGES: [&str; 2] = ["messagesTree", "messages"];

impl Source for LibreChat {
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let files = TreeFiles {
            path: &self.path,
            takes: |name| walk::has_extension(Path::new(name), &["json"]),
            max_record_bytes: self.max_record_bytes,
            read_tree: tree,
            read_row: message::row,
        };
        files.read(sink, report, progress)
    }
}

fn tree<'a>(
    found: &Object<'a>,
    location: &Location,
    report: &mut Report,
) -> Result<MessageTree<'a>, FindingKind> {
    let Some(id) = found.get::<String>("conversationId") else {
        return Err(FindingKind::NoField("conversationId"));
    };
    let id = ThreadId::new(id).map_err(FindingKind::InvalidId)?;
    let Some(field) = MESSAGES.into_iter().find(|field| found.raw(field).is_some()) else {
        return Err(FindingKind::NoField("messages"));
    };
    let list = found.raw(field).map(RawValue::get).filter(|list| list.starts_with('['));
    let NestedMessages { messages, has_more } =
        NestedMessages::of(list.ok_or(FindingKind::WrongField(field))?);
    if has_more {
        report.skip(location, FindingKind::TooManyMessages { max: MAX_NODES });
    }
    let mut nodes: Vec<Node<'a>> = Vec::new();
    let mut created_at = None;
    for nested in messages {
        let message = Object::read(&nested.json).ok();
        let field = |name| message.as_ref().and_then(|message| message.get::<String>(name));
        let id = field("messageId").unwrap_or_else(|| record::id_of(&nested.json).to_string());
        let around = || nested.parent.map_or_else(|| nodes.last(), |around| nodes.get(around));
        let parent = field("parentMessageId").or_else(|| Some(around()?.id.clone()));
        created_at = created_at.or_else(|| message::time(message.as_ref()?, "createdAt"));
        let parent = parent.filter(|parent| !message_tree::is_no_parent(parent));
        nodes.push(Node { id, parent, record: Some(nested.json.into()), location: location.clone() });
    }
    Ok(MessageTree {
        format: Format::LibreChat,
        id,
        title: found.get("title"),
        created_at,
        archived: found.get("isArchived") == Some(true),
        // The time of the export changes with each one.
        record: Some(record::without(found, &[field, "exportAt"])),
        current: nodes.last().map(|node| node.id.clone()),
        nodes,
        location: location.clone(),
    })
}
