//! Rewrites strings in raw JSON, and keeps all other bytes.

use std::{fmt, ops::Range};

use super::{Edits, JsonString};

/// The deepest nesting of content that is rewritten on the way to the store.
pub const MAX_DEPTH: usize = 1024;

/// The error for JSON that nests too deep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooDeep {
    most: usize,
}

impl TooDeep {
    /// Returns the error for more than `most` levels.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self { most }
    }
}

impl fmt::Display for TooDeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it nests deeper than {} levels", self.most)
    }
}

impl std::error::Error for TooDeep {}

/// Rewrites the strings of well-formed JSON at any depth, including names of members. `None` without replacements.
/// Numbers, whitespace, escapes and duplicate members keep their bytes. It costs one pass plus the cost of `edits`.
///
/// `json` may be the beginning of an array, up to the start of one of its members. In malformed JSON each closed string
/// is rewritten, and a string without an end stays unchanged.
///
/// ```
/// use throughline_layers::transform::{Edits, MAX_DEPTH, rewrite_json};
///
/// let rewritten = rewrite_json(r#"[1.10, {"a\u0062": "b"}]"#, MAX_DEPTH, |text| {
///     let mut edits = Edits::none();
///     text.match_indices('b').for_each(|(at, _)| edits.replace(at..at + 1, "\""));
///     edits
/// });
/// assert_eq!(rewritten?.as_deref(), Some(r#"[1.10, {"a\"": "\""}]"#));
/// # Ok::<(), throughline_layers::transform::TooDeep>(())
/// ```
///
/// # Errors
/// [`TooDeep`] for more than `most_deep` levels.
pub fn rewrite_json(
    json: &str,
    most_deep: usize,
    mut edits: impl FnMut(&str) -> Edits,
) -> Result<Option<String>, TooDeep> {
    let bytes = json.as_bytes();
    let mut replaced = Replaced::of(json);
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => {
                if depth == most_deep {
                    return Err(TooDeep::new(most_deep));
                }
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            b'"' => {
                let Some(end) = string_end(bytes, at) else { break };
                let string = JsonString::new(&json[at + 1..end - 1]);
                let edits = edits(string.text());
                if !edits.is_empty() {
                    replaced.replace(at + 1..end - 1, &edits.apply_to_json(&string));
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    Ok(replaced.into_text())
}

/// A text with replaced ranges. It copies each byte once.
pub(crate) struct Replaced<'a> {
    text: &'a str,
    out: String,
    /// The end of the part of the text that `out` has.
    copied: usize,
    is_changed: bool,
}

impl<'a> Replaced<'a> {
    pub(crate) const fn of(text: &'a str) -> Self {
        Self { text, out: String::new(), copied: 0, is_changed: false }
    }

    /// Replaces a range. The ranges come in order and do not overlap.
    pub(crate) fn replace(&mut self, range: Range<usize>, with: &str) {
        self.out.push_str(&self.text[self.copied..range.start]);
        self.out.push_str(with);
        self.copied = range.end;
        self.is_changed = true;
    }

    /// Returns the text with its replacements; `None` without any.
    pub(crate) fn into_text(mut self) -> Option<String> {
        if !self.is_changed {
            return None;
        }
        self.out.push_str(&self.text[self.copied..]);
        Some(self.out)
    }
}

/// Returns the offset after the string that begins here; `None` for a string without an end.
pub(crate) fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        match bytes[at] {
            b'\\' => at += 2,
            _ => return Some(at + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stars(text: &str) -> Edits {
        let mut edits = Edits::none();
        text.match_indices("secret").for_each(|(at, found)| edits.replace(at..at + found.len(), "\"*\""));
        edits
    }

    fn rewritten(json: &str) -> Option<String> {
        let text = rewrite_json(json, MAX_DEPTH, stars).unwrap()?;
        serde_json::from_str::<serde::de::IgnoredAny>(&text).expect("it stays JSON");
        Some(text)
    }

    #[test]
    fn strings_and_names_are_rewritten_and_all_other_bytes_stay() {
        for (json, expected) in [
            (r#"[{"n":1.10,"n":18446744073709551615},  "\ud800 \u0000", null]"#, None),
            (
                r#"[ {"a secret" : ["\u0041 \u0073ecret\n", 1e2]} ]"#,
                Some(r#"[ {"a \"*\"" : ["\u0041 \"*\"\n", 1e2]} ]"#),
            ),
        ] {
            assert_eq!(rewritten(json).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn the_beginning_of_an_array_is_rewritten() {
        let rewritten = rewrite_json(r#"[{"a":"secret"}, "#, MAX_DEPTH, stars).unwrap();
        assert_eq!(rewritten.as_deref(), Some(r#"[{"a":"\"*\""}, "#));
    }

    #[test]
    fn a_string_without_an_end_stays_as_it_is() {
        let rewritten = |json: &str| rewrite_json(json, MAX_DEPTH, stars).unwrap();
        for open in [r#"""#, r#""secret"#, r#""\""#, r#""\"#, r#"["a", "secret \"]"#] {
            assert_eq!(rewritten(open), None, "{open}");
        }
        assert_eq!(rewritten(r#"["secret", "secret"#).as_deref(), Some(r#"["\"*\"", "secret"#));
    }

    #[test]
    fn malformed_json_keeps_all_other_bytes() {
        let whole = r#"[{"é secret":"\ud83e\udd80 \ud800\u00e9\"","n":1e5},"\\","secret\n",null]"#;
        for cut in (0..=whole.len()).filter(|at| whole.is_char_boundary(*at)) {
            // Truncated, and with a byte that breaks the unfinished token.
            for end in ["", "\"", "é", "\\", "\\u", "\\u00é\"", "\\é\"", "]]}", "\\ud83e\\u\""] {
                let json = [&whole[..cut], end].concat();
                let same = rewrite_json(&json, MAX_DEPTH, |text| {
                    let mut edits = Edits::none();
                    edits.replace(0..text.len(), "x");
                    edits
                });
                let strings = same.unwrap().map_or(0, |json| json.matches("\"x\"").count());
                let none = rewrite_json(&json, MAX_DEPTH, |_| Edits::none()).unwrap();
                assert_eq!(none, None, "{json}");
                assert!(strings <= json.matches('"').count() / 2, "{json}");
            }
        }
    }

    #[test]
    fn json_that_nests_too_deep_is_refused() {
        let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(rewrite_json(&deep(MAX_DEPTH), MAX_DEPTH, stars), Ok(None));
        let refused = rewrite_json(&deep(MAX_DEPTH + 1), MAX_DEPTH, stars).unwrap_err();
        assert_eq!(refused.to_string(), "it nests deeper than 1024 levels");
    }
}
