//! Finds the members of JSON objects that label other members.

use super::{
    json::string_end,
    secret_name::{Strength, names_certainly, secret_name},
};
use crate::transform::{JsonString, MAX_DEPTH};

/// The facts that the members of an object give, in any order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ObjectFacts {
    /// A JSON Schema: it has a schema `type`, a `$ref`, an `enum`, or alternatives.
    pub(super) is_schema: bool,
    /// A Kubernetes `Secret`.
    pub(super) is_kubernetes_secret: bool,
    /// The strength that its members `name` or `key` give to its member `value`: the strongest one.
    pub(super) label: Option<Strength>,
    /// The strength that the name of a page element gives to the text typed into it.
    pub(super) typed: Option<Strength>,
}

/// The objects of a text with such facts: the start of each, in order.
pub(super) struct ObjectIndex(Vec<(usize, ObjectFacts)>);

/// An open array or object.
struct Open<'a> {
    start: usize,
    is_object: bool,
    names_next: bool,
    name: &'a str,
    facts: ObjectFacts,
}

/// The longest string that can label another one.
pub(super) const LONGEST_LABEL: usize = 256;

/// Members that label another one: an environment variable, a header, a parameter.
const LABELS: &[&str] = &[
    "name",
    "key",
    "header",
    "field",
    "variable",
    "var",
    "option",
    "parameter",
    "parameterKey",
    "parameterName",
    "optionName",
    "settingName",
    "variableName",
];

/// Members that name an element of a page.
const ELEMENTS: &[&str] = &["element", "selector", "locator", "placeholder", "label", "target"];

/// Returns true if JSON Schema has a type of this name.
pub(super) fn is_type(name: &[u8]) -> bool {
    let types: [&[u8]; 7] = [b"string", b"number", b"integer", b"boolean", b"array", b"object", b"null"];
    types.contains(&name)
}

impl ObjectIndex {
    /// Indexes the text in one pass, which ends where it nests too deep.
    pub(super) fn of(json: &str) -> Self {
        let (mut index, mut levels, mut at) = (Vec::new(), Vec::<Open<'_>>::new(), 0);
        let says = |level: &Open<'_>| level.facts != ObjectFacts::default();
        let mut close = |level: Open<'_>| index.extend(says(&level).then_some((level.start, level.facts)));
        let bytes = json.as_bytes();
        while at < bytes.len() && levels.len() <= MAX_DEPTH {
            let start = at;
            at += 1;
            match bytes[start] {
                byte @ (b'{' | b'[') => {
                    if let Some(level) = levels.last_mut()
                        && level.is_object
                        && byte == b'['
                        && matches!(level.name, "anyOf" | "oneOf" | "allOf" | "enum")
                    {
                        level.facts.is_schema = true;
                    }
                    let is_object = byte == b'{';
                    let facts = ObjectFacts::default();
                    levels.push(Open { start, is_object, names_next: is_object, name: "", facts });
                }
                b'}' | b']' => levels.pop().into_iter().for_each(&mut close),
                b',' => {
                    if let Some(level) = levels.last_mut() {
                        level.names_next = level.is_object;
                    }
                }
                b'"' => {
                    at = string_end(bytes, start);
                    // In a string without an end, the last character is no quote.
                    Self::string(&mut levels, json.get(start + 1..at - 1).unwrap_or_default());
                }
                _ => {}
            }
        }
        levels.into_iter().for_each(close);
        index.sort_unstable_by_key(|(start, _)| *start);
        Self(index)
    }

    fn string<'a>(levels: &mut [Open<'a>], raw: &'a str) {
        let Some((level, around)) = levels.split_last_mut() else { return };
        if level.names_next {
            (level.name, level.names_next) = (raw, false);
            return;
        }
        if level.is_object && raw.len() <= LONGEST_LABEL {
            level.label(raw);
        }
        // The types of a schema may be a list.
        let level = if level.is_object { Some(level) } else { around.last_mut() };
        let Some(level) = level else { return };
        match level.name {
            "type" if is_type(raw.as_bytes()) => level.facts.is_schema = true,
            "$ref" => level.facts.is_schema = true,
            "kind" if raw == "Secret" => level.facts.is_kubernetes_secret = true,
            _ => {}
        }
    }

    /// Returns the facts of the object that begins here.
    pub(super) fn at(&self, start: usize) -> ObjectFacts {
        let found = self.0.binary_search_by_key(&start, |(start, _)| *start);
        found.map(|found| self.0[found].1).unwrap_or_default()
    }
}

impl Open<'_> {
    /// Records the label that a member gives to another one.
    fn label(&mut self, raw: &str) {
        let name = JsonString::new(self.name);
        let is_one_of = |names: &[&str]| names.iter().any(|other| name.text().eq_ignore_ascii_case(other));
        if is_one_of(LABELS) {
            let says = secret_name(JsonString::new(raw).text().as_bytes());
            self.facts.label = self.facts.label.max(says);
        } else if is_one_of(ELEMENTS) {
            // Any text may be typed into a `Password textbox`.
            let is_certain = names_certainly(JsonString::new(raw).text().as_bytes());
            self.facts.typed = self.facts.typed.max(is_certain.then_some(Strength::Likely));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_known_by_their_members_in_any_order() {
        let json = r#"[{"a":{"title":"x","type":["string","null"]}},{"data":{},"kind":"Secret","$ref":""},{"type":"x"}]"#;
        let index = ObjectIndex::of(json);
        let at = |part: &str| index.at(json.find(part).unwrap());
        let schema = ObjectFacts { is_schema: true, ..ObjectFacts::default() };
        assert_eq!(at(r#"{"title"#), schema);
        assert_eq!(at(r#"{"data"#), ObjectFacts { is_kubernetes_secret: true, ..schema });
        for none in [r#"{"a"#, "{}", r#"{"type":"x"#] {
            assert_eq!(at(none), ObjectFacts::default(), "{none}");
        }
        assert!(ObjectIndex::of(&"[".repeat(100_000)).0.is_empty());
    }

    #[test]
    fn the_strongest_label_of_an_object_counts() {
        for json in [
            r#"{"key":"DB_PASSWORD","name":"db"}"#,
            r#"{"name":"db","k\u0065y":"DB_PASSWORD","option":"api_key"}"#,
        ] {
            assert_eq!(ObjectIndex::of(json).at(0).label, Some(Strength::Certain), "{json}");
        }
        let facts =
            ObjectIndex::of(r##"{"label":"Password","selector":"#f3","value":[{"label":"x"}]}"##).at(0);
        assert_eq!((facts.label, facts.typed), (None, Some(Strength::Likely)));
    }
}
