//! Parsers of content that keep only what they know.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

/// Returns the blocks; a block of text keeps its type and its text only.
pub(super) fn known_members(content: &str) -> String {
    blocks(content, |raw, block| match (block.kind, block.text) {
        (Some(kind), Some(text)) if kind.get() == r#""text""# => {
            Some(format!(r#"{{"type":"text","text":{}}}"#, text.get()))
        }
        _ => Some(raw.to_owned()),
    })
}

/// Returns the blocks of text, of images and of tools only.
pub(super) fn known_blocks(content: &str) -> String {
    blocks(content, |raw, block| {
        let kind = block.kind.map(RawValue::get)?;
        [r#""text""#, r#""image""#, r#""tool""#].contains(&kind).then(|| raw.to_owned())
    })
}

fn blocks(content: &str, keep: impl Fn(&str, &Block<'_>) -> Option<String>) -> String {
    let raw: Vec<&RawValue> = serde_json::from_str(content).expect("an array");
    let kept = raw.into_iter().filter_map(|raw| match serde_json::from_str(raw.get()) {
        Ok(block) => keep(raw.get(), &block),
        Err(_) => Some(raw.get().to_owned()),
    });
    format!("[{}]", kept.collect::<Vec<_>>().join(","))
}
