//! Redacts raw JSON, and keeps all other bytes.

use std::{borrow::Cow, cell::OnceCell};

use super::{
    Redactions, credential,
    object_kind::{LONGEST_LABEL, ObjectFacts, ObjectIndex, is_type},
    redactor::Redactor,
    scan::Mode,
    secret_name::{Strength, field_name, secret_name},
};
use crate::transform::{
    EditCounts, JsonString, MAX_DEPTH, TooDeep,
    json::{self, Replaced},
};

/// The most levels of JSON inside of strings.
const TEXTS: usize = 3;

/// An open array or object.
struct Level<'a> {
    is_object: bool,
    /// The offset of its start.
    start: usize,
    /// The context of a JSON Schema, if names around it indicate a secret.
    schema: Schema,
    /// The name of the current member.
    name: Option<Cow<'a, [u8]>>,
    /// Whether the next string is a name.
    names_next: bool,
    /// The strength that outer names give to everything in it.
    inherited: Option<Named>,
    /// The strength of the next value, by its name or by the flag before it.
    next: Option<Named>,
}

/// Whether an object describes a secret instead of containing it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Schema {
    No,
    /// Its members in [`SCHEMA`] are no secrets.
    Object,
    /// A member of `properties`, whose name alone indicates a secret: only its members in [`PROPERTY_VALUES`] are
    /// secrets.
    Property,
}

/// The strength that names give to a value.
#[derive(Clone, Copy)]
struct Named {
    strength: Strength,
    /// Whether an object is between the name and the value.
    is_deep: bool,
}

impl Named {
    const fn new(strength: Strength) -> Self {
        Self { strength, is_deep: false }
    }

    /// Returns the stronger one.
    fn max(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let says = |named: &Option<Self>| named.map(|named| (named.strength, !named.is_deep));
        if says(&other) > says(&one) { other } else { one }
    }
}

/// Members of a JSON Schema, which contain no secrets.
const SCHEMA: &[&str] = &[
    "type",
    "description",
    "title",
    "format",
    "$ref",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "in",
    "contentEncoding",
];

/// Members of a described property that are values of it.
const PROPERTY_VALUES: &[&str] = &["value", "default", "const", "example", "examples"];

/// Members that another member can label: see [`ObjectFacts::label`].
const VALUES: &[&str] = &[
    "value",
    "val",
    "parameterValue",
    "optionValue",
    "settingValue",
    "variableValue",
    "secureValue",
    "stringValue",
];

/// Members with the text that is typed into an element.
const TYPED: &[&str] = &["text", "value", "keys"];

impl<'a> Level<'a> {
    fn new(is_object: bool, start: usize, schema: Schema, around: Option<Named>) -> Self {
        let inherited = around.map(|named| Named { is_deep: named.is_deep || is_object, ..named });
        let next = if is_object { None } else { inherited };
        Self { is_object, start, schema, name: None, names_next: is_object, inherited, next }
    }

    fn is_called(&self, names: &[&str]) -> bool {
        let name = self.name.as_deref().unwrap_or_default();
        names.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
    }

    /// Starts a member with this name. `own` is the strength of the name, and `facts` returns that of the other
    /// members.
    fn named(&mut self, name: Cow<'a, [u8]>, own: Option<Named>, facts: impl FnOnce() -> ObjectFacts) {
        self.name = Some(name);
        let describes = match self.schema {
            Schema::No => false,
            Schema::Object => self.is_called(SCHEMA),
            Schema::Property => !self.is_called(PROPERTY_VALUES),
        };
        self.next = match (own, self.inherited) {
            (Some(own), Some(inherited)) if inherited.strength > own.strength => Some(inherited),
            (Some(own), _) => Some(own),
            (None, Some(_)) if describes => None,
            (None, inherited) => inherited,
        };
        let (is_value, is_typed) = (self.is_called(VALUES), self.is_called(TYPED));
        if is_value || is_typed {
            let ObjectFacts { label, typed, .. } = facts();
            let label = label.filter(|_| is_value).map(Named::new);
            let typed = typed.filter(|_| is_typed).map(Named::new);
            self.next = Named::max(self.next, Named::max(label, typed));
        }
    }

    /// Takes the strength of the value that begins here. A flag applies to one member of a list.
    fn take_next(&mut self) -> Option<Named> {
        let next = self.next;
        if !self.is_object {
            self.next = self.inherited;
        }
        next
    }

    /// Reads a string of a list that is no secret, which may be a flag for the next one.
    fn read(&mut self, raw: &str) {
        if self.is_object || raw.len() > LONGEST_LABEL {
            return;
        }
        let text = bytes_of(JsonString::new(raw));
        // `["--password", "…"]`, `["X-Api-Key", "…"]`
        let is_flag = text.starts_with(b"-") && !text.contains(&b'=');
        let is_header = text.contains(&b'-') || text.eq_ignore_ascii_case(b"authorization");
        let says = !text.contains(&b' ') && (is_flag || is_header);
        self.next = if says { secret_name(&text).map(Named::new) } else { None }.or(self.inherited);
    }
}

impl Redactor {
    /// Returns the JSON without secrets; `None` if it has none. It may be a part of an array, up to the start of a
    /// member. `outer` are the names around it.
    pub(super) fn json(
        &self,
        json: &str,
        outer: &[&str],
        found: &mut Redactions,
    ) -> Result<Option<String>, TooDeep> {
        self.json_inside(json, outer, found, 0)
    }

    fn json_inside(
        &self,
        json: &str,
        outer: &[&str],
        found: &mut Redactions,
        texts: usize,
    ) -> Result<Option<String>, TooDeep> {
        let bytes = json.as_bytes();
        let mut edits = Replaced::of(json);
        let mut levels: Vec<Level<'_>> = Vec::new();
        let index = OnceCell::new();
        let facts_at = |start: usize| index.get_or_init(|| ObjectIndex::of(json)).at(start);
        let outermost = self.named(outer.last().map_or(&[], |name| name.as_bytes()));
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                byte @ (b'{' | b'[') => {
                    if levels.len() == MAX_DEPTH {
                        return Err(TooDeep::new(MAX_DEPTH));
                    }
                    let around = levels.last_mut().map_or(outermost, Level::take_next);
                    let is_object = byte == b'{';
                    let is_schema = is_object && around.is_some() && facts_at(at).is_schema;
                    let schema = match &levels[..] {
                        _ if !is_schema => Schema::No,
                        [.., properties, level]
                            if properties.is_called(&["properties"]) && level.inherited.is_none() =>
                        {
                            Schema::Property
                        }
                        _ => Schema::Object,
                    };
                    levels.push(Level::new(is_object, at, schema, around));
                    at += 1;
                }
                b'}' | b']' => {
                    levels.pop();
                    at += 1;
                }
                b',' => {
                    if let Some(level) = levels.last_mut() {
                        level.names_next = level.is_object;
                    }
                    at += 1;
                }
                b':' => {
                    at += 1;
                    if self.field(&levels, outer) {
                        let start = at + blanks(&bytes[at..]);
                        let end = value_end(bytes, start);
                        if self.hides_field(&json[start..end]) {
                            edits.replace(start..end, &self.hides(found));
                            at = end;
                        }
                    }
                }
                b'"' => {
                    let end = string_end(bytes, at);
                    let raw = &json[at + 1..end - 1];
                    let is_name = levels.last().is_some_and(|level| level.names_next);
                    let named =
                        if is_name { None } else { levels.last_mut().map_or(outermost, Level::take_next) };
                    let is_kept = levels.last().is_some_and(|level| level.is_called(&["type"]))
                        && is_type(raw.as_bytes());
                    if !is_kept && named.is_some_and(|named| self.hides_string(raw, named)) {
                        edits.replace(at..end, &self.hides(found));
                    } else {
                        // A text block of the content is stored as its parts would be if it were streamed.
                        let is_text = texts == 0
                            && outer.is_empty()
                            && levels.len() == 2
                            && levels[1].is_called(&["text"]);
                        let text = if is_name || is_text || texts == TEXTS {
                            self.string(raw, found)
                        } else {
                            self.string_of_json(raw, found, texts)
                        };
                        if let Some(text) = text {
                            edits.replace(at + 1..end - 1, &text);
                        }
                        if let Some(level) = levels.last_mut() {
                            if is_name {
                                let name = bytes_of(JsonString::new(raw));
                                let start = level.start;
                                let is_data = matches!(&*name, b"data" | b"stringData")
                                    && object_behind_name(bytes, end)
                                    && facts_at(start).is_kubernetes_secret;
                                let own = if is_data { Some(Strength::Certain) } else { field_name(&name) };
                                let own = own.filter(|_| self.0.names).map(Named::new);
                                level.names_next = false;
                                level.named(name, own, || {
                                    if self.0.names { facts_at(start) } else { ObjectFacts::default() }
                                });
                            } else if self.0.names {
                                level.read(raw);
                            }
                        }
                    }
                    at = end;
                }
                b'0'..=b'9' | b'-' => {
                    let end = value_end(bytes, at);
                    let named = levels.last_mut().map_or(outermost, Level::take_next);
                    if named.is_some_and(|named| named.strength == Strength::Certain) {
                        edits.replace(at..end, &self.hides(found));
                    }
                    at = end.max(at + 1);
                }
                _ => at += 1,
            }
        }
        Ok(edits.into_text())
    }

    fn named(&self, name: &[u8]) -> Option<Named> {
        if self.0.names { field_name(name).map(Named::new) } else { None }
    }

    /// Counts a hidden value, and returns its marker as JSON.
    fn hides(&self, found: &mut Redactions) -> String {
        let rule = &self.0.rules[self.0.field];
        found.count(&rule.name);
        format!("\"{}\"", rule.marker)
    }

    /// Returns true if a string with this name is a secret.
    fn hides_string(&self, raw: &str, named: Named) -> bool {
        if raw.is_empty() || self.0.markers.is_true(raw.as_bytes()) {
            return false;
        }
        match named.strength {
            Strength::Certain => true,
            Strength::Likely => {
                credential::is_likely_secret(JsonString::new(raw).text().as_bytes(), named.is_deep)
            }
        }
    }

    /// Redacts a string that may contain JSON, such as the arguments of a tool: as JSON and as text, or only as text if
    /// it nests too deep.
    fn string_of_json(&self, raw: &str, found: &mut Redactions, texts: usize) -> Option<String> {
        let looks_like_json =
            raw.trim_start().starts_with(['{', '[']) && raw.trim_end().ends_with(['}', ']']);
        if !looks_like_json {
            return self.string(raw, found);
        }
        let string = JsonString::new(raw);
        // Half of a surrogate pair could not be written unchanged.
        let inner = Some(string.text()).filter(|_| string.after_halves() == 0);
        let inner = inner.filter(|inner| serde_json::from_str::<serde::de::IgnoredAny>(inner).is_ok());
        let mut inside = Redactions::new();
        let redacted =
            inner.and_then(|inner| self.json_inside(inner, &[], &mut inside, texts + 1).unwrap_or(None));
        let Some(redacted) = redacted else { return self.string(raw, found) };
        found.add(&inside);
        let redacted = self.text(&redacted, found).unwrap_or(redacted);
        let written = serde_json::Value::String(redacted).to_string();
        Some(written[1..written.len() - 1].to_owned())
    }

    /// Returns the string without secrets, without its quotes; `None` if it has none.
    fn string(&self, raw: &str, found: &mut Redactions) -> Option<String> {
        let string = JsonString::new(raw);
        let scan = self.scan(string.text().as_bytes(), 0, Mode::Text, true);
        if scan.cuts.is_empty() {
            return None;
        }
        let edits = self.edits(string.text(), &scan);
        let mut counts = EditCounts::new();
        counts.count_all(&edits);
        found.add(&counts.into());
        Some(edits.apply_to_json(&string))
    }

    /// Returns true if the host hides the whole field with this name.
    fn field(&self, levels: &[Level<'_>], outer: &[&str]) -> bool {
        let names = || {
            let inner = levels.iter().rev().filter(|level| level.is_object);
            inner
                .map(|level| level.name.as_deref().unwrap_or_default())
                .chain(outer.iter().rev().map(|name| name.as_bytes()))
        };
        self.0.fields.iter().any(|field| {
            let mut names = names();
            let is_next =
                |name: &String| names.next().is_some_and(|there| there.eq_ignore_ascii_case(name.as_bytes()));
            field.path.iter().rev().all(is_next)
        })
    }

    /// Returns the marker for a value of metadata, as JSON, if the host hides the whole field with this name.
    pub(super) fn metadata_field(&self, name: &str, value: &str, found: &mut Redactions) -> Option<String> {
        let is_hidden = self.field(&[], &[name]) && self.hides_field(value);
        is_hidden.then(|| self.hides(found))
    }

    fn hides_field(&self, value: &str) -> bool {
        let text = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match text {
            Some(text) => !text.is_empty() && !self.0.markers.is_true(text.as_bytes()),
            None => value != "null" && !value.is_empty(),
        }
    }
}

fn bytes_of(string: JsonString<'_>) -> Cow<'_, [u8]> {
    match string.into_text() {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Returns true if an object is the value of the name that ends at `end`.
fn object_behind_name(bytes: &[u8], end: usize) -> bool {
    let colon = end + blanks(&bytes[end..]);
    let value = bytes.get(colon + 1..).unwrap_or_default();
    bytes.get(colon) == Some(&b':') && value.get(blanks(value)) == Some(&b'{')
}

/// Returns the offset after the string that begins here, or the end of the text.
pub(super) fn string_end(bytes: &[u8], start: usize) -> usize {
    json::string_end(bytes, start).unwrap_or(bytes.len())
}

/// Returns the offset after the value that begins here.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at = string_end(bytes, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            b',' | b' ' | b'\n' | b'\r' | b'\t' if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::Rules;

    fn redacted(json: &str) -> Option<String> {
        let rules = Rules::secrets().field("input.pin").field("vault");
        let redactor = rules.compile().unwrap();
        let text = redactor.json(json, &["outer"], &mut Redactions::new()).unwrap()?;
        serde_json::from_str::<serde::de::IgnoredAny>(&text).expect("it stays JSON");
        let again = redactor.json(&text, &["outer"], &mut Redactions::new());
        assert_eq!(again, Ok(None), "a second pass changes nothing");
        // The tags are not relevant here.
        let tags: Vec<&str> = text.split('#').skip(1).map(|rest| &rest[..8]).collect();
        Some(tags.into_iter().fold(text.clone(), |text, tag| text.replace(&format!("#{tag}"), "")))
    }

    fn key() -> String {
        format!("AKIA{}", "ABCD2345".repeat(2))
    }

    #[test]
    fn json_without_secrets_stays_unchanged() {
        for json in [
            "[]",
            r#"[{"n":1.10,"n":18446744073709551615},  "\ud800 \u0000", null, {"pin":4}]"#,
            r#"[{"password":"","api_key":null,"apiKey":{"type":"string"}}]"#,
        ] {
            assert_eq!(redacted(json), None, "{json}");
        }
    }

    #[test]
    fn a_secret_is_found_at_any_depth_in_names_and_behind_escapes() {
        let key = key();
        let escaped = key.replace('A', "\\u0041");
        for (json, expected) in [
            (
                format!(r#"[{{"a":[1.10,["x {key}\n"]]}}]"#),
                r#"[{"a":[1.10,["x [redacted:aws-access-key]\n"]]}]"#,
            ),
            (format!(r#"[{{"{key}":1e2}}]"#), r#"[{"[redacted:aws-access-key]":1e2}]"#),
            (format!(r#"["\ud800{escaped}\udc00"]"#), r#"["\ud800[redacted:aws-access-key]\udc00"]"#),
        ] {
            assert_eq!(redacted(&json).as_deref(), Some(expected));
        }
    }

    #[test]
    fn fields_are_hidden_whole() {
        for (json, expected) in [
            (
                r#"[{"input":[{"PIN": 1234 , "a":1}]}]"#,
                r#"[{"input":[{"PIN": "[redacted:field]" , "a":1}]}]"#,
            ),
            (r#"[{"vault":{"a":["}"]},"b":[]}]"#, r#"[{"vault":"[redacted:field]","b":[]}]"#),
            (r#"[{"password":"a\"b"},"password"]"#, r#"[{"password":"[redacted:field]"},"password"]"#),
        ] {
            assert_eq!(redacted(json).as_deref(), Some(expected));
        }
    }
}
