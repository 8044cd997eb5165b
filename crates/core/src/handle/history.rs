//! The history of a thread for a model, and the recall of earlier messages.

use std::{borrow::Cow, collections::HashMap};

use serde_json::value::RawValue;

use super::Thread;
use crate::{
    Message, OpKind, Result, Seq,
    operation::{DamagedMessage, Page, PageFrom, ReadPage, Visibility, estimated_size::EstimatedSize},
};

/// The latest final messages of a thread, for a model.
///
/// Open and abandoned messages are left out. The history pairs each tool call with its result, because a model refuses a call
/// without a result and a result without a call. It lists calls and results without a counterpart, and invents none.
///
/// ```no_run
/// use throughline_core::Persistence;
///
/// # async fn example(db: Persistence) -> throughline_core::Result<()> {
/// let history = db.thread("telegram:42").history(None, 20).await?;
/// for call in history.tool_calls.iter().filter(|call| call.is_orphan()) {
///     println!("{} has no call or no result", call.id);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The messages, oldest first.
    pub messages: Vec<Message>,
    /// The damaged messages between these. The store cannot decode them.
    pub damaged: Vec<DamagedMessage>,
    /// Whether there are older messages.
    pub has_more: bool,
    /// The tool calls in the messages, with their results, in the order of the messages.
    pub tool_calls: Vec<ToolCall>,
}

/// A tool call and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The id of the call, which its result repeats.
    pub id: String,
    /// The block of the call. `None` if the messages contain only the result.
    pub call: Option<BlockAt>,
    /// The block of the result. `None` if the messages contain only the call.
    pub result: Option<BlockAt>,
}

impl ToolCall {
    /// Whether the call or the result is missing.
    #[must_use]
    pub const fn is_orphan(&self) -> bool {
        self.call.is_none() || self.result.is_none()
    }
}

/// The position of a block in a list of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockAt {
    /// The index of the message.
    pub message: usize,
    /// The index of the block in the content of the message.
    pub block: usize,
}

impl History {
    /// The highest limit. [`Thread::history`] reduces a higher one to this.
    pub const MAX_LIMIT: u32 = 1000;
    /// The size limit of a history: 64 MiB. A history ends with the message that reaches it, and reports that there are older
    /// messages.
    pub const MAX_BYTES: u32 = ReadPage::MAX_BYTES;

    /// Builds a history from these messages, and pairs their tool calls with their results.
    ///
    /// A call is a block of the type `tool_use` with an `id`, or `function_call` with a `call_id`. A result is a block of the
    /// type `tool_result` with a `tool_use_id`, or `function_call_output` with a `call_id`. A result belongs to the latest
    /// earlier call with its id that has no result yet.
    #[must_use]
    pub fn of(messages: Vec<Message>, has_more: bool) -> Self {
        let mut tool_calls: Vec<ToolCall> = Vec::new();
        let mut waiting: HashMap<String, Vec<usize>> = HashMap::new();
        for (message, content) in messages.iter().map(|message| &message.content).enumerate() {
            for (block, json) in content.blocks().into_iter().enumerate() {
                let at = Some(BlockAt { message, block });
                match half_of(json) {
                    Some(Half::Call(id)) => {
                        waiting.entry(id.clone()).or_default().push(tool_calls.len());
                        tool_calls.push(ToolCall { id, call: at, result: None });
                    }
                    Some(Half::Result(id)) => match waiting.get_mut(&id).and_then(Vec::pop) {
                        Some(call) => tool_calls[call].result = at,
                        None => tool_calls.push(ToolCall { id, call: None, result: at }),
                    },
                    None => {}
                }
            }
        }
        Self { messages, damaged: Vec::new(), has_more, tool_calls }
    }
}

enum Half {
    Call(String),
    Result(String),
}

fn half_of(block: &RawValue) -> Option<Half> {
    #[derive(serde::Deserialize)]
    struct Block<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
        #[serde(default)]
        id: Option<String>,
        #[serde(default)]
        tool_use_id: Option<String>,
        #[serde(default)]
        call_id: Option<String>,
    }
    let block: Block<'_> = serde_json::from_str(block.get()).ok()?;
    match &*block.kind {
        "tool_use" => block.id.map(Half::Call),
        "tool_result" => block.tool_use_id.map(Half::Result),
        "function_call" => block.call_id.map(Half::Call),
        "function_call_output" => block.call_id.map(Half::Result),
        _ => None,
    }
}

/// Recalled messages of a thread, the latest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Recalled {
    /// Final messages, the latest first.
    pub messages: Vec<Message>,
    /// The damaged messages between these. The store cannot decode them.
    pub damaged: Vec<DamagedMessage>,
    /// Whether there are older messages.
    pub has_more: bool,
}

impl Recalled {
    /// The highest limit. [`Thread::recall`] reduces a higher one to this.
    pub const MAX_LIMIT: u32 = 50;
}

impl Thread {
    /// Reads the history for a model: the latest final messages before a sequence number, or up to the end of the thread.
    /// `limit` is 1 to [`History::MAX_LIMIT`]; a value outside of this range counts as the nearest bound.
    ///
    /// The method reads pages until it reaches the limit or [`History::MAX_BYTES`]. A history shorter than the limit is complete
    /// only if [`History::has_more`] is false.
    ///
    /// # Errors
    /// The error of a read.
    ///
    /// # Cancel safety
    /// The method only reads: dropping the future changes nothing.
    pub async fn history(&self, before: Option<Seq>, limit: u32) -> Result<History> {
        let page = self.latest(before, limit.clamp(1, History::MAX_LIMIT)).await?;
        Ok(History { damaged: page.damaged, ..History::of(page.messages, page.has_more) })
    }

    /// Reads the final messages before a sequence number, or up to the end of the thread, the latest first. It serves a tool by
    /// which a model recalls earlier messages. `limit` is 1 to [`Recalled::MAX_LIMIT`]; a value outside of this range counts as
    /// the nearest bound. Otherwise the method behaves like [`history`](Self::history).
    ///
    /// # Errors
    /// The error of a read.
    ///
    /// # Cancel safety
    /// The method only reads: dropping the future changes nothing.
    pub async fn recall(&self, before: Option<Seq>, limit: u32) -> Result<Recalled> {
        let mut page = self.latest(before, limit.clamp(1, Recalled::MAX_LIMIT)).await?;
        page.messages.reverse();
        Ok(Recalled { messages: page.messages, damaged: page.damaged, has_more: page.has_more })
    }

    /// Reads the latest final messages as one page. A page that ended at its size limit is continued with the next one.
    async fn latest(&self, before: Option<Seq>, limit: u32) -> Result<Page> {
        let thread = self.id_for(OpKind::Read)?;
        let from = before.map_or(PageFrom::End, PageFrom::Before);
        let mut read = ReadPage::new(thread, from, limit).showing(Visibility::Final);
        let mut all = self.persistence().read(read.clone()).await?;
        let mut left = History::MAX_BYTES;
        let mut latest = (all.next(from), all.messages.len() + all.damaged.len(), size(&all));
        loop {
            let (next, shown, bytes) = latest;
            let shown = u32::try_from(shown).unwrap_or(u32::MAX);
            (read.limit, left) = (read.limit.saturating_sub(shown), left.saturating_sub(bytes));
            let Some(next) = next.filter(|_| read.limit > 0 && left > 0) else { return Ok(all) };
            (read.from, read.max_bytes) = (next, left.min(ReadPage::DEFAULT_BYTES));
            let mut older = self.persistence().read(read.clone()).await?;
            latest = (older.next(next), older.messages.len() + older.damaged.len(), size(&older));
            older.messages.append(&mut all.messages);
            older.damaged.append(&mut all.damaged);
            (all.messages, all.damaged, all.has_more) = (older.messages, older.damaged, older.has_more);
        }
    }
}

fn size(page: &Page) -> u32 {
    let bytes: usize = page.messages.iter().map(EstimatedSize::estimated_size).sum();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, NewMessage, Role, TenantId, Timestamp, operation::Add};

    fn message(json: &str) -> Message {
        let message = NewMessage::new(Role::Assistant, Content::from_json(json).unwrap());
        let add = Add::new("t".parse().unwrap(), message);
        add.to_message(&TenantId::default(), Seq::FIRST, Timestamp::from_micros(0))
    }

    #[test]
    fn calls_are_paired_with_results_and_orphans_are_named() {
        let messages = vec![
            message(r#"[{"type":"tool_result","tool_use_id":"lost","content":"x"}]"#),
            message(
                r#"[{"type":"text","text":"a"},{"type":"tool_use","id":"a"},{"type":"tool_use","id":"b"}]"#,
            ),
            message(r#"[{"type":"tool_result","tool_use_id":"b"},{"type":"tool_result","tool_use_id":"a"}]"#),
            message(r#"[{"type":"function_call","call_id":"c"},"text",1,{"type":"tool_use"}]"#),
        ];
        let history = History::of(messages, false);
        let at = |message, block| Some(BlockAt { message, block });
        let call = |id: &str, call, result| ToolCall { id: id.to_owned(), call, result };
        assert_eq!(
            history.tool_calls,
            [
                call("lost", None, at(0, 0)),
                call("a", at(1, 1), at(2, 1)),
                call("b", at(1, 2), at(2, 0)),
                call("c", at(3, 0), None),
            ]
        );
        let orphans: Vec<&str> =
            history.tool_calls.iter().filter(|call| call.is_orphan()).map(|call| &*call.id).collect();
        assert_eq!(orphans, ["lost", "c"]);
    }

    #[test]
    fn an_id_that_is_used_again_is_another_call() {
        let messages = vec![
            message(r#"[{"type":"tool_use","id":"a"},{"type":"tool_result","tool_use_id":"a"}]"#),
            message(r#"[{"type":"tool_use","id":"a"},{"type":"tool_result","tool_use_id":"a"}]"#),
            message(r#"[{"type":"tool_result","tool_use_id":"a"}]"#),
        ];
        let history = History::of(messages, false);
        let orphans: Vec<bool> = history.tool_calls.iter().map(ToolCall::is_orphan).collect();
        assert_eq!(orphans, [false, false, true]);
    }
}
