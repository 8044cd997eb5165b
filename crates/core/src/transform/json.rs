//! Raw JSON in which nothing changes but what is replaced.

use std::{borrow::Cow, fmt};

use super::{Edits, JsonString};

/// The deepest nesting of content that is rewritten on the way down.
pub const MAX_DEPTH: usize = 1024;

/// JSON nests deeper than can be rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooDeep {
    most: usize,
}

impl fmt::Display for TooDeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it nests deeper than {} levels", self.most)
    }
}

impl std::error::Error for TooDeep {}

/// What [`rewrite_json`] asks of the strings and members of JSON.
pub trait RewriteJson {
    /// What is replaced in a string: a value, or the name of a member.
    fn string(&mut self, text: &str) -> Edits;

    /// The JSON that replaces the whole value of a member; none where its strings are rewritten one by one.
    fn member(&mut self, member: &Member<'_>) -> Option<String> {
        let _ = member;
        None
    }
}

/// A member of an object, as [`RewriteJson::member`] sees it.
#[derive(Debug)]
pub struct Member<'a> {
    levels: &'a [Level<'a>],
    outer: &'a [&'a str],
    /// The JSON from the value on.
    rest: &'a str,
}

impl<'a> Member<'a> {
    /// A value that has only these names around it, the outermost first.
    #[must_use]
    pub const fn of(outer: &'a [&'a str], value: &'a str) -> Self {
        Self { levels: &[], outer, rest: value }
    }

    /// Its name, and then the names around it, the innermost first. Arrays have none.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let inner = self.levels.iter().rev().filter(|level| level.is_object);
        inner.map(|level| level.name.as_deref().unwrap_or_default()).chain(self.outer.iter().rev().copied())
    }

    /// Whether its value is a string.
    #[must_use]
    pub fn is_string(&self) -> bool {
        self.rest.starts_with('"')
    }

    /// Its value, as raw JSON. Costs one pass over the value.
    #[must_use]
    pub fn value(&self) -> &'a str {
        &self.rest[..value_end(self.rest.as_bytes(), 0)]
    }
}

/// An array or object that is open.
struct Level<'a> {
    is_object: bool,
    /// The name of the member that is being read.
    name: Option<Cow<'a, str>>,
    /// Whether the next string is a name.
    expects_name: bool,
}

impl fmt::Debug for Level<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Level").field("is_object", &self.is_object).finish_non_exhaustive()
    }
}

/// Rewrites the strings of well-formed JSON, at any depth, names of members included; none where nothing is replaced. Numbers,
/// blanks, escapes and doubled members keep their bytes. Costs one pass, and what `rewriter` costs.
///
/// `json` may be the beginning of an array, up to where one of its members begins. `outer` are the names around it, the outermost
/// first. With `most_deep` levels inside each other it ends.
///
/// # Errors
/// [`TooDeep`]: more than `most_deep` levels.
pub fn rewrite_json(
    json: &str,
    outer: &[&str],
    most_deep: usize,
    rewriter: &mut impl RewriteJson,
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
                if levels.len() == most_deep {
                    return Err(TooDeep { most: most_deep });
                }
                let is_object = byte == b'{';
                levels.push(Level { is_object, name: None, expects_name: is_object });
                at += 1;
            }
            b'}' | b']' => {
                levels.pop();
                at += 1;
            }
            b',' => {
                if let Some(level) = levels.last_mut() {
                    level.expects_name = level.is_object;
                }
                at += 1;
            }
            b':' => {
                at += 1;
                let start = at + blanks(&bytes[at..]);
                let member = Member { levels: &levels, outer, rest: &json[start..] };
                if let Some(value) = rewriter.member(&member) {
                    at = start + member.value().len();
                    put(start, at, &value);
                }
            }
            b'"' => {
                let end = string_end(bytes, at);
                let string = JsonString::new(&json[at + 1..end - 1]);
                let edits = rewriter.string(string.text());
                if !edits.is_empty() {
                    put(at + 1, end - 1, &edits.apply_to_json(&string, string.text().len()));
                }
                if let Some(level) = levels.last_mut().filter(|level| level.expects_name) {
                    level.expects_name = false;
                    level.name = Some(string.into_text());
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

fn blanks(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// The offset after the string that begins here.
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

/// The offset after the value that begins here.
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

    /// Replaces `secret`, and the whole value of a member of this name.
    struct Stars;

    impl RewriteJson for Stars {
        fn string(&mut self, text: &str) -> Edits {
            let mut edits = Edits::none();
            for (at, found) in text.match_indices("secret") {
                edits.replace(at..at + found.len(), "\"*\"");
            }
            edits
        }

        fn member(&mut self, member: &Member<'_>) -> Option<String> {
            let names: Vec<&str> = member.names().collect();
            (names == ["hidden", "in", "outer"]).then(|| format!("[{}]", member.value().len()))
        }
    }

    fn rewritten(json: &str) -> Option<String> {
        let text = rewrite_json(json, &["outer"], MAX_DEPTH, &mut Stars).unwrap()?;
        serde_json::from_str::<serde::de::IgnoredAny>(&text).expect("it stays JSON");
        Some(text)
    }

    #[test]
    fn strings_and_names_are_rewritten_and_all_else_keeps_its_bytes() {
        for (json, expected) in [
            (r#"[{"n":1.10,"n":18446744073709551615},  "\ud800 \u0000", null]"#, None),
            (
                r#"[ {"a secret" : ["\u0041 \u0073ecret\n", 1e2]} ]"#,
                Some(r#"[ {"a \"*\"" : ["\u0041 \"*\"\n", 1e2]} ]"#),
            ),
            (
                r#"{"in":[{"hidden": {"a":["}", 1]} , "b":"secret"}]}"#,
                Some(r#"{"in":[{"hidden": [14] , "b":"\"*\""}]}"#),
            ),
        ] {
            assert_eq!(rewritten(json).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn the_beginning_of_an_array_is_rewritten() {
        let rewritten = rewrite_json(r#"[{"a":"secret"}, "#, &[], MAX_DEPTH, &mut Stars).unwrap();
        assert_eq!(rewritten.as_deref(), Some(r#"[{"a":"\"*\""}, "#));
    }

    #[test]
    fn json_that_nests_too_deep_is_refused() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(rewrite_json(&deep(MAX_DEPTH), &[], MAX_DEPTH, &mut Stars), Ok(None));
        let refused = rewrite_json(&deep(MAX_DEPTH + 1), &[], MAX_DEPTH, &mut Stars).unwrap_err();
        assert_eq!(refused.to_string(), "it nests deeper than 1024 levels");
    }
}
