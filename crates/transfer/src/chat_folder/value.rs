//! Converts between the values of a line and contents.

use serde_json::value::RawValue;
use throughline_core::Content;

/// Returns a value of a line as content: a text becomes a block of text, any other value becomes a block itself. Its
/// bytes are kept.
pub(super) fn content(value: &RawValue) -> Content {
    let value = value.get();
    let json = if value.starts_with('"') { as_text(value) } else { format!("[{value}]") };
    Content::from_json(json).expect("an array of JSON")
}

fn as_text(token: &str) -> String {
    format!(r#"[{{"type":"text","text":{token}}}]"#)
}

/// Returns the original text of a content that is one block of text.
pub(super) fn text_of(content: &Content) -> Option<&str> {
    let token = content.as_json().strip_prefix(r#"[{"type":"text","text":"#)?.strip_suffix("}]")?;
    let is_one = serde_json::from_str::<&RawValue>(token).is_ok_and(|raw| raw.get() == token);
    (is_one && token.starts_with('"')).then_some(token)
}

/// Returns the value of a line for this content.
pub(super) fn value_of(content: &Content, is_text: bool) -> Option<&str> {
    if is_text {
        return text_of(content);
    }
    let value = content.as_json().strip_prefix('[')?.strip_suffix(']')?;
    let is_one = serde_json::from_str::<&RawValue>(value).is_ok_and(|raw| raw.get() == value);
    (is_one && !value.contains(['\n', '\r'])).then_some(value)
}
