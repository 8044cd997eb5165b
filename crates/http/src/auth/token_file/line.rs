//! A line of a token file.

use blake3::Hash;
use serde::{Deserialize, Deserializer, de};
use throughline_core::{TenantId, ThreadId, operations::Verb};

/// The names of the verbs in a token file.
const VERBS: &[(&str, Verb)] = &[
    ("read", Verb::Read),
    ("append", Verb::Append),
    ("edit", Verb::Edit),
    ("delete", Verb::Delete),
    ("manage", Verb::Manage),
    ("clear", Verb::Clear),
    ("import", Verb::Import),
    ("sessions", Verb::Sessions),
    ("consume", Verb::Consume),
    ("audit", Verb::Audit),
    ("replicate", Verb::Replicate),
];

/// A token of the file: its hash, and what it allows.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Line {
    pub(super) name: String,
    #[serde(deserialize_with = "hash")]
    pub(super) hash: Hash,
    pub(super) tenant: TenantId,
    pub(super) actor: Option<String>,
    pub(super) thread: Option<ThreadId>,
    pub(super) threads_under: Option<String>,
    #[serde(default, deserialize_with = "verbs")]
    pub(super) verbs: Option<Vec<Verb>>,
    /// Seconds since 1970.
    pub(super) expires: Option<u64>,
    #[serde(default)]
    pub(super) operator: bool,
}

/// The name of a line that is not valid as a whole.
#[derive(Deserialize)]
struct NameOnly {
    name: String,
}

impl Line {
    /// Reads a line. The error has the name of the token if the line has one, and no value of the line.
    pub(super) fn read(json: &str) -> Result<Self, (Option<String>, String)> {
        let line: Self = serde_json::from_str(json).map_err(|error| {
            let name = serde_json::from_str::<NameOnly>(json).ok().map(|line| line.name);
            (name, described(&error))
        })?;
        if line.thread.is_some() && line.threads_under.is_some() {
            return Err((Some(line.name), "it has both `thread` and `threadsUnder`".to_owned()));
        }
        Ok(line)
    }

    /// Whether the layer `scope` must enforce a part of the line.
    pub(super) const fn is_restricted(&self) -> bool {
        self.thread.is_some() || self.threads_under.is_some() || self.verbs.is_some()
    }
}

/// Returns the reason without a value of the line, which can be a token that was put into the wrong member.
fn described(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let has_value = text.starts_with("invalid type") || text.starts_with("invalid value");
    match error.classify() {
        serde_json::error::Category::Data if has_value => {
            format!("a member has a value of the wrong type at column {}", error.column())
        }
        // A line of the file is the only line of its JSON.
        serde_json::error::Category::Data => text.replace(" at line 1 column ", " at column "),
        _ => format!("it is not a JSON object at column {}", error.column()),
    }
}

fn hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
    let text = String::deserialize(deserializer)?;
    Hash::from_hex(text).map_err(|_| de::Error::custom("`hash` has not 64 hexadecimal digits"))
}

fn verbs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Verb>>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let verb = |name: &String| VERBS.iter().find(|(known, _)| known == name).map(|(_, verb)| *verb);
    let verbs: Option<Vec<Verb>> = names.iter().map(verb).collect();
    match verbs {
        Some(verbs) => Ok(Some(verbs)),
        None => {
            let known: Vec<_> = VERBS.iter().map(|(name, _)| *name).collect();
            Err(de::Error::custom(format!("`verbs` has a name that is none of {}", known.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_name() {
        let named: Vec<Verb> = VERBS.iter().map(|(_, verb)| *verb).collect();
        assert_eq!(named, Verb::ALL);
    }

    #[test]
    fn a_bad_line_is_refused_by_name_and_without_its_values() {
        let hash = "a".repeat(64);
        for (json, name, reason) in [
            ("secret", None, "it is not a JSON object at column 1"),
            (r#"{"name":"a","hash":"secret"}"#, Some("a"), "`hash` has not 64 hexadecimal digits"),
            (r#"{"name":"a","token":"secret"}"#, Some("a"), "unknown field `token`"),
            (r#"{"name":"a","operator":"secret"}"#, Some("a"), "a member has a value of the wrong type"),
            (
                r#"{"name":"a","verbs":["secret"]}"#,
                Some("a"),
                "`verbs` has a name that is none of read, append",
            ),
            (r#"{"name":"a"}"#, Some("a"), "missing field `hash`"),
            (
                &format!(r#"{{"name":"a","hash":"{hash}","tenant":"t","thread":"x","threadsUnder":"y"}}"#),
                Some("a"),
                "it has both `thread` and `threadsUnder`",
            ),
        ] {
            let (found, text) = Line::read(json).unwrap_err();
            assert_eq!(found.as_deref(), name, "{json}");
            assert!(text.starts_with(reason), "{json}: {text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }
}
