//! Reads the conversations of an export.

use throughline_core::ThreadId;

use super::{ClaudeAi, message};
use crate::{
    FindingKind, Format, Location, Progress, Report, TransferError,
    import::{Sink, Source},
    message_tree::{self, MAX_NODES, MessageTree, Node, TreeFiles},
    object::{Object, each_element},
    record,
};

impl Source for ClaudeAi {
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let files = TreeFiles {
            path: &self.path,
            takes: |name| name == "conversations.json",
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
    let Some(id) = found.get::<String>("uuid") else { return Err(FindingKind::NoField("uuid")) };
    let id = ThreadId::new(id).map_err(FindingKind::InvalidId)?;
    let Some(messages) = found.raw("chat_messages") else {
        return Err(FindingKind::NoField("chat_messages"));
    };
    if !messages.get().starts_with('[') {
        return Err(FindingKind::WrongField("chat_messages"));
    }
    let mut nodes: Vec<Node<'a>> = Vec::new();
    let mut has_more = false;
    let read = each_element(messages, |element| {
        if nodes.len() == MAX_NODES {
            has_more = true;
            return;
        }
        let message = Object::read(element.get()).ok();
        let field = |name| message.as_ref().and_then(|message| message.get::<String>(name));
        let id = field("uuid").unwrap_or_else(|| record::id_of(element.get()).to_string());
        // A message without the field follows the one before it.
        let parent = field("parent_message_uuid").or_else(|| Some(nodes.last()?.id.clone()));
        nodes.push(Node::of(
            id,
            parent.filter(|parent| !message_tree::is_no_parent(parent)),
            element,
            location,
        ));
    });
    debug_assert!(read.is_ok(), "it was read as JSON");
    if has_more {
        report.skip(location, FindingKind::TooManyMessages { max: MAX_NODES });
    }
    let current = found.get("current_leaf_message_uuid").or_else(|| Some(nodes.last()?.id.clone()));
    Ok(MessageTree {
        format: Format::ClaudeAi,
        id,
        title: found.get("name"),
        created_at: message::time(found, "created_at"),
        archived: false,
        record: Some(record::without(found, &["chat_messages"])),
        nodes,
        current,
        location: location.clone(),
    })
}
