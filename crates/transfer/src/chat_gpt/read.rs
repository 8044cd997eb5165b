//! Reads the conversations of an export.

use throughline_core::ThreadId;

use super::{ChatGpt, message};
use crate::{
    FindingKind, Format, Location, Progress, Report, TransferError,
    import::{Sink, Source},
    message_tree::{MessageTree, Node, TreeFiles},
    object::{Object, ReadError},
    record,
};

impl Source for ChatGpt {
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let files = TreeFiles {
            path: &self.path,
            takes: is_conversations,
            max_record_bytes: self.max_record_bytes,
            read_tree: tree,
            read_row: message::row,
        };
        files.read(sink, report, progress)
    }
}

/// Whether a file of an export has conversations.
fn is_conversations(name: &str) -> bool {
    let number = name.strip_prefix("conversations").and_then(|name| name.strip_suffix(".json"));
    number.is_some_and(|number| number.is_empty() || number.starts_with('-'))
}

fn tree<'a>(
    found: &Object<'a>,
    location: &Location,
    report: &mut Report,
) -> Result<MessageTree<'a>, FindingKind> {
    let id = found.get::<String>("conversation_id").or_else(|| found.get("id"));
    let Some(id) = id else { return Err(FindingKind::NoField("conversation_id")) };
    let id = ThreadId::new(id).map_err(FindingKind::InvalidId)?;
    Ok(MessageTree {
        format: Format::ChatGpt,
        id,
        title: found.get("title"),
        created_at: message::time(found, "create_time"),
        archived: found.get("is_archived") == Some(true),
        record: Some(record::without(found, &["mapping"])),
        nodes: nodes(found, location, report)?,
        current: found.get("current_node"),
        location: location.clone(),
    })
}

fn nodes<'a>(
    found: &Object<'a>,
    location: &Location,
    report: &mut Report,
) -> Result<Vec<Node<'a>>, FindingKind> {
    let Some(mapping) = found.raw("mapping") else { return Err(FindingKind::NoField("mapping")) };
    let mapping = Object::read_up_to(ChatGpt::MAX_NODES, mapping.get()).map_err(|error| match error {
        ReadError::TooManyFields => FindingKind::TooManyFields { max: ChatGpt::MAX_NODES },
        ReadError::NoObject(_) => FindingKind::WrongField("mapping"),
    })?;
    let mut nodes = Vec::new();
    for (id, node) in mapping.fields() {
        let Ok(node) = Object::read(node.get()) else {
            report.skip(location, FindingKind::WrongField("mapping"));
            continue;
        };
        let message = node.raw("message").filter(|message| message.get() != "null");
        let record = message.map(|message| message.get().into());
        nodes.push(Node {
            id: id.to_owned(),
            parent: node.get("parent"),
            record,
            location: location.clone(),
        });
    }
    Ok(nodes)
}
