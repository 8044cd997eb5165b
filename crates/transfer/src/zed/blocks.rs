//! The parts of a message as blocks.

use serde_json::value::RawValue;
use throughline_core::Content;

use super::Zed;
use crate::{
    object::{Object, each_element},
    record,
};

/// Blocks that are being collected.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    blocks: Vec<String>,
    files: Vec<String>,
    /// The first unknown type.
    unknown: Option<String>,
}

impl Blocks {
    pub(super) const fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Returns the content, the names of files, and the first unknown type.
    pub(super) fn finish(self) -> (Content, Vec<String>, Option<String>) {
        let content = Content::from_json(format!("[{}]", self.blocks.join(","))).expect("blocks");
        (content, self.files, self.unknown)
    }

    /// Adds a text; nothing for an empty one.
    pub(super) fn push_text(&mut self, text: &RawValue) {
        if !matches!(text.get(), "null" | "\"\"") {
            self.blocks.push(format!(r#"{{"type":"text","text":{}}}"#, text.get()));
        }
    }

    /// Adds the parts of a message: objects with the type as their only field. `None` if it is no list.
    pub(super) fn push_content(&mut self, content: &RawValue) -> Option<()> {
        each_element(content, |part| self.push_part(part)).ok()
    }

    fn push_part(&mut self, part: &RawValue) {
        if let Some((variant, value)) = variant(part) {
            let object = Object::read(value.get()).ok();
            match (&*variant, object) {
                ("Text", None) => return self.push_text(value),
                ("RedactedThinking", None) => {
                    return self
                        .blocks
                        .push(format!(r#"{{"type":"redacted_thinking","data":{}}}"#, value.get()));
                }
                ("Thinking", Some(thinking)) => return self.push_thinking(&thinking),
                ("ToolUse", Some(tool_use)) => return self.push_object("tool_use", &tool_use),
                ("Image", Some(image)) => return self.push_object("image", &image),
                ("Mention", Some(mention)) => {
                    self.files.extend(mention.raw("uri").and_then(file_of));
                    return self.push_object("mention", &mention);
                }
                _ => {}
            }
            self.unknown.get_or_insert(variant);
        } else {
            self.unknown.get_or_insert_default();
        }
        self.blocks.push(record::block(part.get()));
    }

    /// Adds the segments of a message of the older versions; `None` if it is no list.
    pub(super) fn push_segments(&mut self, segments: &RawValue) -> Option<()> {
        each_element(segments, |segment| {
            let object = Object::read(segment.get()).ok();
            let kind = object.as_ref().and_then(|object| object.get::<String>("type")).unwrap_or_default();
            match (&*kind, object) {
                ("text", Some(_)) => self.blocks.push(segment.get().to_owned()),
                ("thinking", Some(thinking)) => self.push_thinking(&thinking),
                ("RedactedThinking", Some(thinking)) => {
                    self.blocks.push(thinking.with("type", "\"redacted_thinking\""));
                }
                _ => {
                    self.unknown.get_or_insert(kind);
                    self.blocks.push(record::block(segment.get()));
                }
            }
        })
        .ok()
    }

    /// Adds each object of a list as a block of this type; `None` if it is no list.
    pub(super) fn push_each(&mut self, list: &RawValue, kind: &str) -> Option<()> {
        each_element(list, |value| match Object::read(value.get()) {
            Ok(object) => self.push_object(kind, &object),
            Err(_) => {
                self.unknown.get_or_insert_with(|| kind.to_owned());
                self.blocks.push(record::block(value.get()));
            }
        })
        .ok()
    }

    /// Adds the results of the tools of a message, which are the values of an object; `None` if it is none.
    pub(super) fn push_results(&mut self, results: &RawValue) -> Option<()> {
        let results = Object::read_up_to(Zed::MAX_MESSAGES, results.get()).ok()?;
        for (_, result) in results.fields() {
            match Object::read(result.get()) {
                Ok(result) => self.push_object("tool_result", &result),
                Err(_) => self.blocks.push(record::block(result.get())),
            }
        }
        Some(())
    }

    /// Adds a block with the fields of an object. A text of thinking has a name of its own, so that it is no text of the
    /// message.
    fn push_thinking(&mut self, thinking: &Object<'_>) {
        let mut block = String::from(r#"{"type":"thinking""#);
        for (name, value) in thinking.fields().filter(|(name, _)| *name != "type") {
            let name = if name == "text" { "thinking" } else { name };
            push_field(&mut block, name, value.get());
        }
        self.blocks.push(block + "}");
    }

    fn push_object(&mut self, kind: &str, object: &Object<'_>) {
        let mut block = format!(r#"{{"type":"{kind}""#);
        for (name, value) in object.fields().filter(|(name, _)| *name != "type") {
            match (kind, name) {
                ("tool_use", "input") => push_field(&mut block, name, &input(value)),
                ("tool_result", "content") => push_field(&mut block, name, &result(value)),
                _ => push_field(&mut block, name, value.get()),
            }
        }
        self.blocks.push(block + "}");
    }
}

fn push_field(block: &mut String, name: &str, json: &str) {
    block.push(',');
    block.push_str(&crate::object::quoted(name));
    block.push(':');
    block.push_str(json);
}

/// Returns the type of a part and its value.
fn variant(part: &RawValue) -> Option<(String, &RawValue)> {
    let object = Object::read(part.get()).ok()?;
    let mut fields = object.fields();
    match (fields.next(), fields.next()) {
        (Some((name, value)), None) => Some((name.to_owned(), value)),
        _ => None,
    }
}

/// Returns the input of a tool. Newer versions write it as `{"type":"json","value":…}`.
fn input(value: &RawValue) -> String {
    let wrapped = Object::read(value.get()).ok().filter(|object| {
        object.fields().count() == 2
            && matches!(object.get::<String>("type").as_deref(), Some("json" | "text"))
            && object.raw("value").is_some()
    });
    wrapped.and_then(|object| object.raw("value")).unwrap_or(value).get().to_owned()
}

/// Returns the content of a result as a list of blocks: it is a text, a part, or a list of them.
fn result(value: &RawValue) -> String {
    let mut blocks = Vec::new();
    let mut push = |part: &RawValue| {
        let text = if part.get().starts_with('"') { Some(part) } else { None };
        let named = variant(part);
        let text = text.or_else(|| match &named {
            Some((name, text)) if name.eq_ignore_ascii_case("text") => Some(*text),
            _ => None,
        });
        blocks.push(match (text, named) {
            (Some(text), _) => format!(r#"{{"type":"text","text":{}}}"#, text.get()),
            (None, Some((name, image))) if name.eq_ignore_ascii_case("image") => Object::read(image.get())
                .map_or_else(|_| part.get().to_owned(), |image| typed("image", &image)),
            _ => part.get().to_owned(),
        });
    };
    if value.get().starts_with('[') {
        drop(each_element(value, push));
    } else {
        push(value);
    }
    format!("[{}]", blocks.join(","))
}

/// Returns an object with a type.
fn typed(kind: &str, object: &Object<'_>) -> String {
    let mut block = format!(r#"{{"type":"{kind}""#);
    for (name, value) in object.fields() {
        push_field(&mut block, name, value.get());
    }
    block + "}"
}

/// Returns the file of a mention: its path, or the name of a pasted image.
fn file_of(uri: &RawValue) -> Option<String> {
    let (kind, value) = variant(uri)?;
    let object = Object::read(value.get()).ok()?;
    match &*kind {
        "PastedImage" => object.get("name"),
        "MergeConflict" => object.get("file_path"),
        _ => object.get("abs_path"),
    }
}
