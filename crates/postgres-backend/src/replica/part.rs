/// A table whose rows are copied one by one, in the order of the copy. Dependent rows of other tables are part of
/// the row image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Part {
    Threads = 1,
    Messages,
    Names,
    Keys,
    Agents,
    Runtimes,
    Heads,
    Known,
    Attempts,
    Consumers,
}

impl Part {
    pub(crate) const ALL: [Self; 10] = [
        Self::Threads,
        Self::Messages,
        Self::Names,
        Self::Keys,
        Self::Agents,
        Self::Runtimes,
        Self::Heads,
        Self::Known,
        Self::Attempts,
        Self::Consumers,
    ];

    /// Returns the stored code: it never changes and is never reused.
    pub(crate) const fn code(self) -> i32 {
        self as i32
    }

    pub(crate) fn from_code(code: i32) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.code() == code)
    }

    pub(crate) const fn table(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Messages => "messages",
            Self::Names => "aliases",
            Self::Keys => "keys",
            Self::Agents => "session_agents",
            Self::Runtimes => "session_runtimes",
            Self::Heads => "session_heads",
            Self::Known => "session_known",
            Self::Attempts => "session_attempts",
            Self::Consumers => "consumers",
        }
    }

    /// Returns the columns of a [`Key`](super::Key).
    pub(super) const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Threads => &["tenant", "thread"],
            Self::Messages => &["tenant", "thread", "id"],
            Self::Names => &["tenant", "thread", "n"],
            Self::Keys => &["tenant", "thread", "key"],
            Self::Agents => &["tenant", "agent"],
            Self::Runtimes => &["tenant", "runtime"],
            Self::Heads => &["tenant", "thread", "agent", "incarnation"],
            Self::Known => &["tenant", "thread", "agent", "incarnation", "session"],
            Self::Attempts => &["tenant", "thread", "agent", "incarnation", "attempt"],
            Self::Consumers => &["tenant", "consumer"],
        }
    }

    /// Returns the order of the snapshot: aliases in the order of their creation, since the latest one counts, and
    /// messages in reading order.
    pub(super) const fn order(self) -> &'static str {
        match self {
            Self::Threads => "tenant, thread",
            Self::Messages => "tenant, thread, seq, id",
            Self::Names => "tenant, thread, n",
            Self::Keys => "tenant, thread, key",
            Self::Agents => "tenant, agent",
            Self::Runtimes => "tenant, runtime",
            Self::Heads => "tenant, thread, agent, incarnation",
            Self::Known => "tenant, thread, agent, incarnation, session",
            Self::Attempts => "tenant, thread, agent, incarnation, number",
            Self::Consumers => "tenant, consumer",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_copied_by_itself_or_with_another() {
        let schema = include_str!("../../migrations/0001_initial.sql");
        let mut tables: Vec<&str> = schema
            .split("CREATE TABLE throughline.")
            .skip(1)
            .filter_map(|table| table.split_whitespace().next())
            .filter(|table| !Part::ALL.iter().any(|part| part.table() == *table))
            .collect();
        tables.sort_unstable();
        // Labels derive from the summary. Chunks and quarantined changes are part of the image of their message and
        // their consumer. Changes are copied by position and the audit log by number. The full-text index
        // and the index of metadata derive from the messages. The other tables concern this store only.
        let others = [
            "audit",
            "changes",
            "chunks",
            "followed",
            "labels",
            "listed",
            "metadata_names",
            "metadata_values",
            "quarantine",
            "search",
            "search_state",
            "store",
            "touched",
            "writers",
        ];
        assert_eq!(tables, others);
    }

    #[test]
    fn a_part_is_found_by_its_number() {
        assert!(Part::ALL.into_iter().all(|part| Part::from_code(part.code()) == Some(part)));
        assert_eq!(Part::ALL.map(Part::code), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(Part::from_code(0), None);
    }
}
