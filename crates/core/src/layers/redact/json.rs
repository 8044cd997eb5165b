//! Raw JSON, of which nothing changes but what holds a secret.

use std::borrow::Cow;

use super::{redactor::Redactor, scan::Mode};
use crate::transform::{EditCounts, JsonString, MAX_DEPTH, TooDeep};

/// An array or object that is open.
struct Level<'a> {
    is_object: bool,
    /// The name of the member that is being read.
    name: Option<Cow<'a, str>>,
    /// Whether the next string is a name.
    names_next: bool,
}

impl Redactor {
    /// The same JSON without secrets; nothing when it holds none. It may be a part of an array, up to where a member of it
    /// begins. `outer` are the names around it.
    pub(super) fn json(
        &self,
        json: &str,
        outer: &[&str],
        found: &mut EditCounts,
    ) -> Result<Option<String>, TooDeep> {
        let bytes = json.as_bytes();
        let (mut out, mut copied) = (String::new(), 0);
        let mut levels: Vec<Level<'_>> = Vec::new();
        let mut at = 0;
        let mut put = |start: usize, end: usize, text: &str| {
            out.push_str(&json[copied..start]);
            out.push_str(text);
            copied = end;
        };
        while at < bytes.len() {
            match bytes[at] {
                byte @ (b'{' | b'[') => {
                    if levels.len() == MAX_DEPTH {
                        return Err(TooDeep::new(MAX_DEPTH));
                    }
                    let is_object = byte == b'{';
                    levels.push(Level { is_object, name: None, names_next: is_object });
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
                    if let Some(text_only) = self.field(&levels, outer) {
                        let start = at + blanks(&bytes[at..]);
                        let end = value_end(bytes, start);
                        if self.hides_field(&json[start..end], text_only) {
                            let rule = &self.0.rules[self.0.field];
                            put(start, end, &format!("\"{}\"", rule.marker));
                            found.count(&rule.name);
                            at = end;
                        }
                    }
                }
                b'"' => {
                    let end = string_end(bytes, at);
                    let raw = &json[at + 1..end - 1];
                    if let Some(text) = self.string(raw, found) {
                        put(at + 1, end - 1, &text);
                    }
                    if let Some(level) = levels.last_mut().filter(|level| level.names_next) {
                        level.names_next = false;
                        level.name = Some(JsonString::new(raw).into_text());
                    }
                    at = end;
                }
                _ => at += 1,
            }
        }
        if copied == 0 {
            return Ok(None);
        }
        out.push_str(&json[copied..]);
        Ok(Some(out))
    }

    /// What is between the quotes of a string, without secrets; none when it holds none.
    fn string(&self, raw: &str, found: &mut EditCounts) -> Option<String> {
        let string = JsonString::new(raw);
        let scan = self.scan(string.text().as_bytes(), 0, Mode::Text, true);
        if scan.cuts.is_empty() {
            return None;
        }
        let edits = self.edits(string.text(), &scan);
        found.count_all(&edits);
        Some(edits.apply_to_json(&string))
    }

    /// Whether a field of this name is hidden whole, and then whether only as a text.
    fn field(&self, levels: &[Level<'_>], outer: &[&str]) -> Option<bool> {
        let names = || {
            let inner = levels.iter().rev().filter(|level| level.is_object);
            inner.map(|level| level.name.as_deref().unwrap_or_default()).chain(outer.iter().rev().copied())
        };
        let is_at = |path: &[String]| {
            let mut names = names();
            path.iter().rev().all(|name| names.next().is_some_and(|there| there.eq_ignore_ascii_case(name)))
        };
        let mut hidden = self.0.fields.iter().filter(|field| is_at(&field.path));
        let first = hidden.next()?.text_only;
        Some(first && hidden.all(|field| field.text_only))
    }

    /// The whole value of a field that has no object around it: of metadata.
    pub(super) fn metadata_field(&self, name: &str) -> Option<bool> {
        self.field(&[], &[name])
    }

    /// The marker of a hidden field as JSON, where this value is to be hidden.
    pub(super) fn hidden_field(
        &self,
        value: &str,
        text_only: bool,
        found: &mut EditCounts,
    ) -> Option<String> {
        if !self.hides_field(value, text_only) {
            return None;
        }
        let rule = &self.0.rules[self.0.field];
        found.count(&rule.name);
        Some(format!("\"{}\"", rule.marker))
    }

    fn hides_field(&self, value: &str, text_only: bool) -> bool {
        let text = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match text {
            Some(text) => !text.is_empty() && !self.0.markers.is_true(text.as_bytes()),
            None => !text_only && value != "null" && !value.is_empty(),
        }
    }
}

fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The place after the string that begins here.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The place after the value that begins here.
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
    use crate::layers::redact::Rules;

    fn redacted(json: &str) -> Option<String> {
        let rules = Rules::secrets().field("input.pin").field("vault");
        let redactor = rules.compile().unwrap();
        let text = redactor.json(json, &["outer"], &mut EditCounts::new()).unwrap()?;
        serde_json::from_str::<serde::de::IgnoredAny>(&text).expect("it stays JSON");
        let again = redactor.json(&text, &["outer"], &mut EditCounts::new());
        assert_eq!(again, Ok(None), "a second time nothing changes");
        // The tags say nothing here.
        let tags: Vec<&str> = text.split('#').skip(1).map(|rest| &rest[..8]).collect();
        Some(tags.into_iter().fold(text.clone(), |text, tag| text.replace(&format!("#{tag}"), "")))
    }

    fn key() -> String {
        format!("AKIA{}", "ABCD2345".repeat(2))
    }

    #[test]
    fn what_holds_no_secret_stays_as_it_is() {
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
