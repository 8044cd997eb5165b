//! Rows by their keys.

use throughline_core::{ConsumerArgs, PersistArgs};

use super::Part;
use crate::{
    queue::Write,
    rows::{HeadKey, MessageKey, Rows, ThreadKey},
};

/// What stands between the parts of a key. No id holds a control character.
pub(super) const BETWEEN: char = '\u{1f}';

/// Which row of which table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) part: Part,
    text: String,
}

impl Key {
    pub(crate) fn new(part: Part, parts: &[&str]) -> Self {
        debug_assert_eq!(parts.len(), part.columns().len(), "a key of {part:?}");
        Self { part, text: parts.join("\u{1f}") }
    }

    /// As it stands in a table; nothing where it is no key of that part.
    pub(crate) fn from_stored(kind: i32, text: &str) -> Option<Self> {
        let part = Part::from_code(kind)?;
        let is_one = text.split(BETWEEN).count() == part.columns().len();
        is_one.then(|| Self { part, text: text.to_owned() })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The part of it at a place.
    pub(super) fn at(&self, place: usize) -> &str {
        self.text.split(BETWEEN).nth(place).unwrap_or_default()
    }

    /// The same, where it is a number.
    pub(super) fn number(&self, place: usize) -> i64 {
        self.at(place).parse().unwrap_or(-1)
    }

    /// Every row that a transaction has changed.
    pub(crate) fn changed(rows: &Rows) -> Vec<Self> {
        let mut keys = Vec::new();
        let of_thread = |part, key: &ThreadKey| Self::new(part, &[key.0.as_str(), key.1.as_str()]);
        let in_thread =
            |part, key: &ThreadKey, rest: &str| Self::new(part, &[key.0.as_str(), key.1.as_str(), rest]);
        keys.extend(rows.threads.changed().map(|(key, _)| of_thread(Part::Threads, key)));
        let message = |key: &MessageKey| in_thread(Part::Messages, &key.0, key.1.as_str());
        keys.extend(rows.messages.changed().map(|(key, _)| message(key)));
        // In their order, which counts.
        let names = rows.new_names.items();
        keys.extend(names.iter().map(|name| in_thread(Part::Names, &name.thread, &name.n.to_string())));
        keys.extend(
            rows.keys.changed().map(|((thread, key), _)| in_thread(Part::Keys, thread, key.as_str())),
        );
        for ((tenant, agent), _) in rows.agents.changed() {
            keys.push(Self::new(Part::Agents, &[tenant.as_str(), agent.as_str()]));
        }
        for ((tenant, runtime), _) in rows.runtimes.changed() {
            keys.push(Self::new(Part::Runtimes, &[tenant.as_str(), runtime.as_str()]));
        }
        keys.extend(rows.heads.changed().map(|(head, _)| Self::of_head(Part::Heads, head, None)));
        for ((head, session), _) in rows.sessions.changed() {
            keys.push(Self::of_head(Part::Known, head, Some(session.as_str())));
        }
        for ((head, attempt), _) in rows.attempts.changed() {
            keys.push(Self::of_head(Part::Attempts, head, Some(attempt.as_str())));
        }
        keys
    }

    fn of_head(part: Part, head: &HeadKey, rest: Option<&str>) -> Self {
        let incarnation = head.incarnation.to_string();
        let (tenant, thread) = (head.thread.0.as_str(), head.thread.1.as_str());
        let mut parts = vec![tenant, thread, head.agent.as_str(), incarnation.as_str()];
        parts.extend(rest);
        Self::new(part, &parts)
    }

    /// The row that a write about a consumer has changed: it is changed at once, and stands in no [`Rows`].
    pub(crate) fn of_consumer(write: &Write) -> Option<Self> {
        let PersistArgs::Consumer(args) = &write.args else { return None };
        let consumer = ConsumerArgs::consumer(args).as_str();
        Some(Self::new(Part::Consumers, &[write.tenant.as_str(), consumer]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_with_its_parts() {
        let key = Key::new(Part::Names, &["a b", "t\"\u{1F600}", "17"]);
        assert_eq!(Key::from_stored(3, key.as_str()), Some(key.clone()));
        assert_eq!((key.at(0), key.at(1), key.number(2)), ("a b", "t\"\u{1F600}", 17));
        assert_eq!(Key::from_stored(1, key.as_str()), None);
        assert_eq!(Key::from_stored(11, key.as_str()), None);
    }
}
