//! Messages that have their answers inside of them.

use crate::message_tree::MAX_NODES;

/// The messages of an array.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NestedMessages {
    /// At most [`MAX_NODES`] messages, in the order of the text.
    pub(super) messages: Vec<Nested>,
    /// Whether there are more.
    pub(super) has_more: bool,
}

/// A message, without the messages in its field `children`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Nested {
    pub(super) json: String,
    /// The position of the message that it is inside of.
    pub(super) parent: Option<usize>,
    /// The position of the first byte of the text that is not in `json` yet.
    from: usize,
}

/// A container that the scan is inside of.
#[derive(Clone, Copy)]
enum Inside {
    /// The list of all messages, or the `children` of one.
    List(Option<usize>),
    /// A message, by its position.
    Message(usize),
    /// An object or an array within a message.
    Value,
}

impl NestedMessages {
    /// Finds the elements of an array of messages, and the messages in their fields `children`. The array was read as
    /// JSON. One pass takes time and memory in proportion to the text, however deep it is.
    pub(super) fn of(array: &str) -> Self {
        let json = array.as_bytes();
        let mut found = Self::default();
        let mut inside: Vec<Inside> = Vec::new();
        // Whether the next value is that of the field `children` of a message.
        let mut is_children = false;
        let mut at = 0;
        while at < json.len() {
            let mut end = at + 1;
            match (json[at], inside.last().copied()) {
                (b',' | b':' | b' ' | b'\t' | b'\r' | b'\n', _) => {}
                (b'[' | b'{', around) => {
                    let container = match around {
                        None => Inside::List(None),
                        Some(Inside::List(parent)) => {
                            found.push(parent, at).map_or(Inside::Value, Inside::Message)
                        }
                        Some(Inside::Message(message)) if is_children && json[at] == b'[' => {
                            found.messages[message].take(array, end);
                            Inside::List(Some(message))
                        }
                        Some(_) => Inside::Value,
                    };
                    inside.push(container);
                    is_children = false;
                }
                (b']' | b'}', Some(container)) => {
                    inside.pop();
                    match container {
                        Inside::Message(message) => found.messages[message].take(array, end),
                        Inside::List(Some(message)) => found.messages[message].from = at,
                        Inside::List(None) | Inside::Value => {}
                    }
                }
                (byte, around) => {
                    end = if byte == b'"' { end_of_string(json, at + 1) } else { end_of_word(json, at + 1) };
                    if let Some(Inside::List(parent)) = around
                        && let Some(message) = found.push(parent, at)
                    {
                        found.messages[message].take(array, end);
                    }
                    let is_name = json[end..].trim_ascii_start().first() == Some(&b':');
                    is_children = is_name
                        && matches!(around, Some(Inside::Message(_)))
                        && &json[at..end] == b"\"children\"";
                }
            }
            at = end;
        }
        found
    }

    /// Begins a message; `None` if there are too many.
    fn push(&mut self, parent: Option<usize>, from: usize) -> Option<usize> {
        if self.messages.len() == MAX_NODES {
            self.has_more = true;
            return None;
        }
        self.messages.push(Nested { json: String::new(), parent, from });
        Some(self.messages.len() - 1)
    }
}

impl Nested {
    /// Appends the text up to a position.
    fn take(&mut self, text: &str, end: usize) {
        self.json.push_str(&text[self.from..end]);
        self.from = end;
    }
}

/// Returns the position after the closing quotation mark of a string whose text begins at `at`.
fn end_of_string(json: &[u8], mut at: usize) -> usize {
    while at < json.len() && json[at] != b'"' {
        at += if json[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(json.len())
}

/// Returns the position after a number, `true`, `false` or `null` whose first byte is before `at`.
fn end_of_word(json: &[u8], at: usize) -> usize {
    let length =
        json[at..].iter().position(|byte| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace());
    length.map_or(json.len(), |length| at + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(array: &str) -> Vec<(String, Option<usize>)> {
        let found = NestedMessages::of(array);
        assert!(!found.has_more);
        found.messages.into_iter().map(|message| (message.json, message.parent)).collect()
    }

    #[test]
    fn each_message_is_found_without_those_inside_of_it() {
        let array = r#"[ {"id":"ä\"","children" : [{"id":"b","children":[]},7 , {"x":{"children":[{"y":1}]}}],"z":[1]},
            "children",{"children":{"a":"}"}},[{"children":[2]}],null]"#;
        let due = [
            (r#"{"id":"ä\"","children" : [],"z":[1]}"#, None),
            (r#"{"id":"b","children":[]}"#, Some(0)),
            ("7", Some(0)),
            (r#"{"x":{"children":[{"y":1}]}}"#, Some(0)),
            (r#""children""#, None),
            (r#"{"children":{"a":"}"}}"#, None),
            (r#"[{"children":[2]}]"#, None),
            ("null", None),
        ];
        assert_eq!(found(array), due.map(|(json, parent)| (json.to_owned(), parent)));
        assert_eq!(found("[]"), []);
    }

    #[test]
    fn a_deep_text_takes_one_pass() {
        let deep = format!("{}{}", r#"[{"children":"#.repeat(90_000) + "[]", "}]".repeat(90_000));
        let found = found(&deep);
        assert_eq!(found.len(), 90_000);
        assert_eq!(found[89_999], (r#"{"children":[]}"#.to_owned(), Some(89_998)));
        let more = NestedMessages::of(&format!("[{}7]", "7,".repeat(MAX_NODES)));
        assert_eq!((more.messages.len(), more.has_more), (MAX_NODES, true));
    }

    #[test]
    fn a_text_that_is_no_json_ends() {
        let text = r#"[{"a":"\"","children":[{"b":1}]},"c\"#;
        for end in 0..=text.len() {
            let _ = NestedMessages::of(&text[..end]);
        }
        let _ = NestedMessages::of("]}]");
    }
}
