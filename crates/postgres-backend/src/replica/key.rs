//! Keys of rows, as the snapshot and the dirty set store them.

use throughline_engine::{
    StagedRows,
    rows::{SessionHeadKey, ThreadKey},
    staged::ChangedRow,
};

use super::Part;

/// The separator between the parts of a key. No id contains a control character.
pub(super) const BETWEEN: char = '\u{1f}';

/// A table and the primary key of a row.
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

    /// Parses a stored key; `None` if it is not a key of that table.
    pub(crate) fn from_stored(kind: i32, text: &str) -> Option<Self> {
        let part = Part::from_code(kind)?;
        let is_one = text.split(BETWEEN).count() == part.columns().len();
        is_one.then(|| Self { part, text: text.to_owned() })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns one part of the key.
    pub(super) fn at(&self, index: usize) -> &str {
        self.text.split(BETWEEN).nth(index).unwrap_or_default()
    }

    /// Returns one part of the key as a number.
    pub(super) fn number(&self, index: usize) -> i64 {
        self.at(index).parse().unwrap_or(-1)
    }

    /// Returns the keys of all rows that a transaction changed.
    pub(crate) fn changed(staged: &StagedRows) -> Vec<Self> {
        staged.changed_rows().map(|row| Self::of(&row)).collect()
    }

    fn of(row: &ChangedRow) -> Self {
        match row {
            ChangedRow::Thread(key) => Self::in_thread(Part::Threads, key, &[]),
            ChangedRow::Message(key) => Self::in_thread(Part::Messages, &key.thread, &[key.id.as_str()]),
            ChangedRow::Alias { thread, number } => {
                Self::in_thread(Part::Names, thread, &[&number.to_string()])
            }
            ChangedRow::Idempotency(key) => Self::in_thread(Part::Keys, &key.thread, &[key.key.as_str()]),
            ChangedRow::Agent(key) => Self::new(Part::Agents, &[key.tenant.as_str(), key.agent.as_str()]),
            ChangedRow::Runtime(key) => {
                Self::new(Part::Runtimes, &[key.tenant.as_str(), key.runtime.as_str()])
            }
            ChangedRow::SessionHead(head) => Self::of_head(Part::Heads, head, None),
            ChangedRow::Session(key) => Self::of_head(Part::Known, &key.head, Some(key.session.as_str())),
            ChangedRow::Attempt(key) => Self::of_head(Part::Attempts, &key.head, Some(key.attempt.as_str())),
            ChangedRow::Consumer(key) => {
                Self::new(Part::Consumers, &[key.tenant.as_str(), key.consumer.as_str()])
            }
        }
    }

    fn in_thread(part: Part, key: &ThreadKey, rest: &[&str]) -> Self {
        let mut parts = vec![key.tenant.as_str(), key.thread.as_str()];
        parts.extend(rest);
        Self::new(part, &parts)
    }

    fn of_head(part: Part, head: &SessionHeadKey, rest: Option<&str>) -> Self {
        let incarnation = head.incarnation.to_string();
        let mut parts = vec![head.agent.as_str(), incarnation.as_str()];
        parts.extend(rest);
        Self::in_thread(part, &head.thread, &parts)
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
