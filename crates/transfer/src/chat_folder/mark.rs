//! The extra field of an export in a line, with the parts of messages that a question and an answer cannot express.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use throughline_core::{Content, messages::ImportRow};

use super::{
    object::{Object, quoted},
    value::content,
};

/// The parts of a line's messages that a question and an answer cannot express.
#[derive(Serialize, Deserialize)]
struct Mark<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
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
    let row = |raw: &&RawValue| {
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
    messages.iter().map(row).collect()
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
