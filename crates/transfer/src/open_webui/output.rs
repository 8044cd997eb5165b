//! The field `output` of a message: items in the manner of the Responses API.

use serde_json::value::RawValue;
use throughline_core::Content;

use crate::object::{Object, each_element};

/// Returns the items as blocks: the parts of messages, and each other item as it is. `None` if it is no list.
pub(super) fn blocks(items: &RawValue) -> Option<Content> {
    let mut blocks = String::from("[");
    let mut push = |block: &str| {
        if blocks.len() > 1 {
            blocks.push(',');
        }
        blocks.push_str(block);
    };
    each_element(items, |item| {
        let message = Object::read(item.get())
            .ok()
            .filter(|item| item.get::<String>("type").as_deref() == Some("message"));
        let parts =
            message.and_then(|message| message.raw("content")).filter(|parts| parts.get().starts_with('['));
        match parts {
            Some(parts) => drop(each_element(parts, |part| push(part.get()))),
            None => push(item.get()),
        }
    })
    .ok()?;
    blocks.push(']');
    Some(Content::from_json(blocks).expect("an array of JSON"))
}
