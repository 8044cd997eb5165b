//! Writes Markdown.

use throughline_core::{Message, MessageState, messages::Origin, threads::ThreadSummary};

use super::MARK;
use crate::{FindingKind, export_file::Writer, iso8601, record};

/// Writes headings, texts and blocks of JSON.
pub(super) struct MarkdownWriter;

impl Writer for MarkdownWriter {
    fn head(&mut self) -> String {
        format!("{MARK}\n")
    }

    fn thread(&mut self, thread: &ThreadSummary) -> String {
        let title: Vec<&str> = thread.title.as_str().split_whitespace().collect();
        let ticks = backticks(thread.thread.as_str());
        format!("\n# {}\n\nThread {ticks}{}{ticks}\n", title.join(" "), thread.thread)
    }

    fn message(&mut self, message: &Message, _: &[Origin]) -> Result<String, FindingKind> {
        let state = match message.state {
            MessageState::Final => String::new(),
            other => format!(", {other}"),
        };
        let mut role = message.role.as_str().to_owned();
        role[..1].make_ascii_uppercase();
        let mut text = format!("\n## {role}, {}{state}\n", iso8601::format(message.created_at));
        for block in message.content.blocks() {
            text.push('\n');
            let json = block.get();
            match record::text_of(json) {
                Some(plain) => text.push_str(plain.trim_end_matches(['\n', '\r'])),
                None => {
                    let ticks = "`".repeat(backticks(json).len().max(3));
                    text.push_str(&format!("{ticks}json\n{json}\n{ticks}"));
                }
            }
            text.push('\n');
        }
        for attachment in &message.attachments {
            let ticks = backticks(attachment.as_str());
            text.push_str(&format!("\nAttachment {ticks}{attachment}{ticks}\n"));
        }
        Ok(text)
    }

    fn end(&mut self) -> String {
        String::new()
    }
}

/// Returns backticks, one more than the text has next to one another.
fn backticks(text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest + 1)
}
