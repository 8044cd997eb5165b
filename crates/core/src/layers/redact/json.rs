//! Fields that are hidden whole, by their names.

use super::redactor::Redactor;
use crate::transform::{EditCounts, Member};

impl Redactor {
    /// The marker of a hidden field as JSON, where the value of this member is to be hidden.
    pub(super) fn hidden_member(&self, member: &Member<'_>, counts: &mut EditCounts) -> Option<String> {
        let text_only = self.field(member)?;
        if (text_only && !member.is_string()) || !self.hides_field(member.value(), text_only) {
            return None;
        }
        let rule = &self.0.rules[self.0.field];
        counts.count(&rule.name);
        Some(format!("\"{}\"", rule.marker))
    }

    /// Whether a field of this name is hidden whole, and then whether only as a text.
    fn field(&self, member: &Member<'_>) -> Option<bool> {
        let is_at = |path: &[String]| {
            let mut names = member.names();
            path.iter().rev().all(|name| names.next().is_some_and(|there| there.eq_ignore_ascii_case(name)))
        };
        let mut hidden = self.0.fields.iter().filter(|field| is_at(&field.path));
        let first = hidden.next()?.text_only;
        Some(first && hidden.all(|field| field.text_only))
    }

    fn hides_field(&self, value: &str, text_only: bool) -> bool {
        let text = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match text {
            Some(text) => !text.is_empty() && !self.0.markers.is_true(text.as_bytes()),
            None => !text_only && value != "null" && !value.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        layers::redact::{Redactor, Rules, redaction::Redaction},
        transform::{Down, MAX_DEPTH, TooDeep, rewrite_json},
    };

    fn json(redactor: &Redactor, json: &str, outer: &[&str]) -> Result<Option<String>, TooDeep> {
        rewrite_json(json, outer, MAX_DEPTH, &mut Down::new(&Redaction::new(redactor.clone())))
    }

    fn redacted(text: &str) -> Option<String> {
        let rules = Rules::secrets().field("input.pin").field("vault");
        let redactor = rules.compile().unwrap();
        let text = json(&redactor, text, &["outer"]).unwrap()?;
        serde_json::from_str::<serde::de::IgnoredAny>(&text).expect("it stays JSON");
        let again = json(&redactor, &text, &["outer"]);
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
