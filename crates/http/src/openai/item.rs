//! How an item of a conversation is a message of a thread.
//!
//! An item of the type `message` is a message whose content is the content of the item. Its other members are in the metadata
//! under [`MEMBERS`]. An item of another type is a message with one block: the item. Its metadata has the type.

use serde_json::value::RawValue;
use throughline_core::{Content, Message, MessageId, MessageState, Metadata, Role};

use super::members::{Members, raw};
use crate::problem::Problem;

/// The name of the metadata with the members of an item.
const MEMBERS: &str = "openai";

/// The roles of the API, and the role of the message for each.
const ROLES: &[(&str, Role)] = &[
    ("user", Role::User),
    ("assistant", Role::Assistant),
    ("system", Role::System),
    ("tool", Role::Tool),
    ("developer", Role::System),
    ("critic", Role::Assistant),
    ("discriminator", Role::Assistant),
    ("unknown", Role::User),
];

/// The types whose items always have a status in an answer.
const WITH_STATUS: &[&str] = &["message", "function_call", "function_call_output"];

/// An item of a request.
#[derive(Debug)]
pub(super) struct NewItem {
    pub(super) id: Option<MessageId>,
    /// The prefix of a generated id.
    pub(super) prefix: &'static str,
    pub(super) role: Role,
    pub(super) content: Content,
    pub(super) metadata: Metadata,
}

/// Returns the prefix that the ids of a type begin with.
fn prefix_of(kind: &str) -> &'static str {
    match kind {
        "message" => "msg",
        "function_call" => "fc",
        "function_call_output" => "fco",
        "reasoning" => "rs",
        "custom_tool_call" => "ctc",
        "custom_tool_call_output" => "ctco",
        _ => "item",
    }
}

/// Returns the author of an item that is no message.
fn author_of(kind: &str) -> Role {
    match kind {
        "mcp_approval_response" => Role::User,
        kind if kind.ends_with("_output") => Role::Tool,
        _ => Role::Assistant,
    }
}

impl NewItem {
    /// Reads an item of a request. `at` is its index.
    pub(super) fn read(json: &RawValue, at: usize) -> Result<Self, Problem> {
        let refused = |why: &str| Problem::invalid(format!("items[{at}]: {why}"));
        let mut members: Members =
            serde_json::from_str(json.get()).map_err(|error| refused(&error.to_string()))?;
        let kind = match members.get("type") {
            None => "message".to_owned(),
            Some(_) => members.text("type").ok_or_else(|| refused("the member `type` is no string"))?,
        };
        if kind == "item_reference" {
            return Err(refused("the type `item_reference` is not supported: send the item itself"));
        }
        let id = match members.get("id").map(RawValue::get) {
            None | Some("null") => None,
            Some(id) => Some(serde_json::from_str(id).map_err(|error| refused(&format!("`id`: {error}")))?),
        };
        let mut metadata = Metadata::new();
        if kind != "message" {
            metadata.set_raw(MEMBERS, raw(&serde_json::json!({ "type": kind })));
            let content = Content::from_json(format!("[{}]", json.get()))
                .map_err(|error| refused(&error.to_string()))?;
            return Ok(Self { id, prefix: prefix_of(&kind), role: author_of(&kind), content, metadata });
        }
        let content = members.take("content").ok_or_else(|| refused("a message needs a `content`"))?;
        let named = members.text("role").unwrap_or_default();
        let role = ROLES.iter().find(|(name, _)| *name == named).map(|(_, role)| *role);
        let role = role.ok_or_else(|| refused("the member `role` is no role of the API"))?;
        let content = if content.get().starts_with('"') {
            text_block(role, &content)
        } else {
            content.get().to_owned()
        };
        let content = Content::from_json(content).map_err(|error| refused(&error.to_string()))?;
        members.take("id");
        members.take("type");
        metadata.set_raw(MEMBERS, raw(&members));
        Ok(Self { id, prefix: prefix_of(&kind), role, content, metadata })
    }
}

/// Returns the content of a message whose text is this JSON string.
fn text_block(role: Role, text: &RawValue) -> String {
    let text = text.get();
    match role {
        Role::Assistant => format!(r#"[{{"type":"output_text","text":{text},"annotations":[]}}]"#),
        _ => format!(r#"[{{"type":"input_text","text":{text}}}]"#),
    }
}

/// The status of a message as an item. `None` if the message is final, so that the status of the item applies.
const fn open_status(state: MessageState) -> Option<&'static str> {
    match state {
        MessageState::Reserved | MessageState::Streaming => Some("in_progress"),
        MessageState::Abandoned => Some("incomplete"),
        MessageState::Final => None,
    }
}

/// Returns a message as an item.
pub(super) fn item_of(message: &Message) -> Members {
    let stored = message.metadata.get_as::<Members>(MEMBERS).unwrap_or_default();
    let mut item = Members::default();
    item.push("id", raw(message.id.as_str()));
    let kind = stored.text("type").filter(|kind| kind != "message");
    let mut members = match kind.and_then(|kind| only_block(&message.content, &kind)) {
        Some(mut members) => {
            members.take("id");
            members
        }
        None => message_members(message, stored),
    };
    let kind = members.text("type").unwrap_or_default();
    if let Some(status) = open_status(message.state) {
        members.take("status");
        members.push("status", raw(status));
    } else if members.get("status").is_none() && WITH_STATUS.contains(&kind.as_str()) {
        members.push("status", raw("completed"));
    }
    item.extend(members);
    item
}

/// Returns the only block of the content, if it is an item of this type.
fn only_block(content: &Content, kind: &str) -> Option<Members> {
    let blocks = content.blocks();
    let [block] = blocks.as_slice() else { return None };
    let members: Members = serde_json::from_str(block.get()).ok()?;
    (members.text("type").as_deref() == Some(kind)).then_some(members)
}

/// Returns the members of an item of the type `message`, without its id and a missing status.
fn message_members(message: &Message, mut stored: Members) -> Members {
    let role = stored.text("role");
    let is_known = role
        .as_ref()
        .is_some_and(|role| ROLES.iter().any(|(name, known)| name == role && *known == message.role));
    let role = role.filter(|_| is_known).unwrap_or_else(|| message.role.as_str().to_owned());
    let mut members = Members::default();
    for name in ["id", "type", "role", "content"] {
        stored.take(name);
    }
    members.push("type", raw("message"));
    members.push("role", raw(&role));
    members.push("content", raw(&blocks_of(message)));
    members.extend(stored);
    members
}

/// Returns the blocks of a message. A text block of the library becomes one of the API; every other block stays as it is.
fn blocks_of(message: &Message) -> Vec<Box<RawValue>> {
    let blocks = message.content.blocks();
    blocks
        .into_iter()
        .map(|block| api_block(message.role, block).unwrap_or_else(|| block.to_owned()))
        .collect()
}

fn api_block(role: Role, block: &RawValue) -> Option<Box<RawValue>> {
    let (is_assistant, mut members) = (role == Role::Assistant, Members::default());
    let kind = if is_assistant { "output_text" } else { "input_text" };
    if block.get().starts_with('"') {
        members.push("type", raw(kind));
        members.push("text", block.to_owned());
    } else {
        let mut known: Members = serde_json::from_str(block.get()).ok()?;
        if known.text("type").as_deref() != Some("text") {
            return None;
        }
        known.take("type");
        members.push("type", raw(kind));
        members.extend(known);
    }
    if is_assistant && members.get("annotations").is_none() {
        members.push("annotations", raw::<[u8]>(&[]));
    }
    Some(raw(&members))
}
