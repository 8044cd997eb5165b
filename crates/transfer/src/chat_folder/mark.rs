//! The extra field of an export in a line, with the parts of messages that a question and an answer cannot express.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use throughline_core::{Content, messages::ImportRow};

use crate::object::{Object, each_element, quoted};

use super::value::content;

/// The parts of a line's messages that a question and an answer cannot express.
#[derive(Deserialize)]
struct Mark<'a> {
    /// An array.
    #[serde(borrow)]
    messages: &'a RawValue,
}

/// A message of such a line. The first two have their content in the line itself.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Kept {
    Question(ImportRow),
    Answer(ImportRow),
    Message(ImportRow),
}

/// Returns the messages of an exported line.
pub(super) fn marked(line: &Object<'_>, mark: &RawValue) -> Option<Vec<ImportRow>> {
    let Mark { messages } = serde_json::from_str(mark.get()).ok()?;
    let row = |raw: &RawValue| {
        let kept = if raw.get().starts_with('"') {
            let json: String = serde_json::from_str(raw.get()).ok()?;
            serde_json::from_str(&json).ok()?
        } else {
            serde_json::from_str(raw.get()).ok()?
        };
        Some(match kept {
            Kept::Question(row) => ImportRow { content: content(line.raw("question")?), ..row },
            Kept::Answer(row) => ImportRow { content: content(line.raw("answer")?), ..row },
            Kept::Message(row) => row,
        })
    };
    let mut rows = Some(Vec::new());
    let read = each_element(messages, |raw| {
        let read = rows.take().zip(row(raw));
        rows = read.map(|(mut rows, row)| {
            rows.push(row);
            rows
        });
    });
    read.ok().and(rows)
}

/// Returns the extra field for these messages; the content of two of them may be in the line itself.
pub(super) fn mark_of(rows: &[ImportRow], question: Option<usize>, answer: Option<usize>) -> String {
    let messages = rows.iter().enumerate().map(|(at, row)| {
        let empty = || ImportRow { content: Content::empty(), ..row.clone() };
        let kept = if question == Some(at) {
            Kept::Question(empty())
        } else if answer == Some(at) {
            Kept::Answer(empty())
        } else {
            Kept::Message(row.clone())
        };
        let json = serde_json::to_string(&kept).expect("a message serializes");
        // A line must not contain line breaks, which JSON may have.
        if json.contains(['\n', '\r']) { quoted(&json) } else { json }
    });
    let messages: Vec<String> = messages.collect();
    format!(r#"{{"messages":[{}]}}"#, messages.join(","))
}
