//! The meaning of one line of a rollout.

use throughline_core::{Content, Role, Timestamp};

use crate::{FindingKind, iso8601, object::Object, record, responses_item::Item};

/// The meaning of a line.
#[derive(Debug, PartialEq)]
pub(super) enum Meaning {
    /// A message. `rest` is the line without the content, unless only its type and its time are left.
    Message { role: Role, content: Content, rest: Option<String>, warning: Option<FindingKind> },
    /// The facts about the session.
    Session,
    /// A record that is no message.
    Omitted(String),
    /// A record that is kept as it is, and the reason.
    Kept(FindingKind),
}

impl Meaning {
    pub(super) fn of(line: &Object<'_>) -> Self {
        let kind = line.get::<String>("type").unwrap_or_default();
        let Some(payload) = line.raw("payload") else { return Self::of_old(line, &kind) };
        let Ok(payload) = Object::read(payload.get()) else {
            return Self::Kept(FindingKind::WrongField("payload"));
        };
        match &*kind {
            "session_meta" => Self::Session,
            "response_item" => Self::item(&payload, |rest| line.with("payload", &rest)),
            "compacted" => {
                let text = payload.raw("message").filter(|text| text.get().starts_with('"'));
                let content = text.map_or_else(Content::empty, record::content);
                let rest = line.with("payload", &record::without(&payload, &["message"]));
                Self::Message { role: Role::System, content, rest: Some(rest), warning: None }
            }
            "event_msg" => {
                let event = payload.get::<String>("type").unwrap_or_default();
                Self::Omitted(format!("event_msg.{event}"))
            }
            "turn_context" => Self::Omitted(kind),
            _ => Self::Kept(FindingKind::UnknownType(kind)),
        }
    }

    /// Returns the meaning of a line of the first versions, which have no `payload`.
    fn of_old(line: &Object<'_>, kind: &str) -> Self {
        if let Some(record) = line.get::<String>("record_type") {
            return Self::Omitted(record);
        }
        match kind {
            "" if line.raw("id").is_some() && line.raw("timestamp").is_some() => Self::Session,
            "" => Self::Kept(FindingKind::NoField("type")),
            "session_meta" | "response_item" | "compacted" | "event_msg" | "turn_context" => {
                Self::Kept(FindingKind::NoField("payload"))
            }
            _ => Self::item(line, |rest| rest),
        }
    }

    fn item(item: &Object<'_>, wrap: impl FnOnce(String) -> String) -> Self {
        if item.get::<String>("type").as_deref() == Some("ghost_snapshot") {
            return Self::Omitted("ghost_snapshot".to_owned());
        }
        match Item::of(item) {
            Ok(Item { role, content, rest, warning }) => {
                Self::Message { role, content, rest: rest.map(wrap), warning }
            }
            Err(found) => Self::Kept(found),
        }
    }
}

/// Returns the time of a line.
pub(super) fn time(line: &Object<'_>) -> Option<Timestamp> {
    iso8601::parse(&line.get::<String>("timestamp")?)
}
