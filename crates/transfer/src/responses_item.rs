//! Items of the Responses API, as Codex and the Agents SDK keep them.

use throughline_core::{Content, Role};

use crate::{FindingKind, object::Object, record};

/// The message that an item becomes.
#[derive(Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) role: Role,
    pub(crate) content: Content,
    /// The item with `null` in place of its content; `None` if nothing else is in it.
    pub(crate) rest: Option<String>,
    /// Set for an unknown type, which becomes a block as it is.
    pub(crate) warning: Option<FindingKind>,
}

impl Item {
    /// Returns the message of an item, or why there is none. The content of a message keeps its parts; any other item is
    /// a block itself, so that histories pair a `function_call` with its `function_call_output`.
    pub(crate) fn of(item: &Object<'_>) -> Result<Self, FindingKind> {
        let kind = item.get::<String>("type").unwrap_or_default();
        let has_role = item.raw("role").is_some();
        match &*kind {
            "message" => Self::message(item),
            "" if has_role => Self::message(item),
            "" => Err(FindingKind::NoField("type")),
            _ => {
                let (role, is_known) = role_of(&kind);
                let content =
                    Content::from_json(format!("[{}]", item.text())).expect("an object in an array");
                let warning = (!is_known).then_some(FindingKind::UnknownType(kind));
                Ok(Self { role, content, rest: None, warning })
            }
        }
    }

    fn message(item: &Object<'_>) -> Result<Self, FindingKind> {
        let Some(name) = item.get::<String>("role") else { return Err(FindingKind::NoField("role")) };
        let role = match &*name {
            "developer" => Role::System,
            name => Role::from_name(name).ok_or_else(|| FindingKind::UnknownRole(name.to_owned()))?,
        };
        let Some(content) = item.raw("content") else { return Err(FindingKind::NoField("content")) };
        let is_plain = name == role.as_str()
            && item.fields().all(|(name, _)| ["type", "role", "content"].contains(&name));
        let rest = (!is_plain).then(|| record::without(item, &["content"]));
        Ok(Self { role, content: record::content(content), rest, warning: None })
    }
}

/// Returns the role of an item that is no message, and whether its type is known.
fn role_of(kind: &str) -> (Role, bool) {
    let is_known = matches!(
        kind,
        "reasoning"
            | "function_call"
            | "custom_tool_call"
            | "local_shell_call"
            | "shell_call"
            | "apply_patch_call"
            | "web_search_call"
            | "file_search_call"
            | "tool_search_call"
            | "computer_call"
            | "code_interpreter_call"
            | "image_generation_call"
            | "mcp_call"
            | "mcp_list_tools"
            | "mcp_approval_request"
            | "mcp_approval_response"
            | "function_call_output"
            | "custom_tool_call_output"
            | "local_shell_call_output"
            | "shell_call_output"
            | "apply_patch_call_output"
            | "tool_search_output"
            | "computer_call_output"
            | "compaction"
            | "item_reference"
    );
    match kind {
        "compaction" => (Role::System, is_known),
        _ if kind.ends_with("_output") => (Role::Tool, is_known),
        _ => (Role::Assistant, is_known),
    }
}
