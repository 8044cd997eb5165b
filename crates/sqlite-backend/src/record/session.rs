use serde::{Serialize, de::DeserializeOwned};
use throughline_core::{
    backend::sessions::{AttemptRecord, KnownSession, SessionHead},
    ids::{AttemptId, SessionId},
};

use super::{Checksum, Columns, number};

/// Returns the checksum of the counters of an agent or a runtime: rows of `session_agents` and `session_runtimes`.
pub(crate) fn whole_checksum(tenant: &str, name: &str, counts: [i64; 2]) -> i64 {
    Checksum::new().text(tenant).text(name).integer(counts[0]).integer(counts[1]).finish()
}

/// The owner columns of a session row, without its value.
#[derive(Debug, Clone, Copy)]
pub(crate) enum SessionOwner<'a> {
    /// A row of `session_heads`.
    Head { tenant: &'a str, thread: &'a str, agent: &'a str, incarnation: i64 },
    /// A row of `session_known`.
    Known { head_pk: i64, session: &'a str },
    /// A row of `session_attempts`.
    Attempt { head_pk: i64, number: i64, attempt: &'a str },
}

impl SessionOwner<'_> {
    pub(crate) fn checksum(self, json: &str) -> i64 {
        let sum = match self {
            Self::Head { tenant, thread, agent, incarnation } => {
                Checksum::new().text(tenant).text(thread).text(agent).integer(incarnation)
            }
            Self::Known { head_pk, session } => Checksum::new().integer(head_pk).text(session),
            Self::Attempt { head_pk, number, attempt } => {
                Checksum::new().integer(head_pk).integer(number).text(attempt)
            }
        };
        sum.text(json).finish()
    }

    /// Reads a checksum and its value from the columns `at` and the next one; `None` if they do not match.
    pub(crate) fn read<T: DeserializeOwned>(self, row: &impl Columns, at: usize) -> Option<T> {
        let json = str::from_utf8(row.text(at + 1)?).ok()?;
        (self.checksum(json) == row.integer(at)?).then(|| serde_json::from_str(json).ok()).flatten()
    }
}

/// Encodes a value for a row.
pub(crate) fn session_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("ids, counts and names serialize into memory")
}

/// The index columns of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KnownColumns<'a> {
    pub(crate) generation: Option<i64>,
    pub(crate) number: Option<i64>,
    pub(crate) usable: bool,
    pub(crate) provider: Option<&'a str>,
    pub(crate) runtime: Option<&'a str>,
    pub(crate) root: Option<&'a str>,
    pub(crate) incarnation: Option<i64>,
}

impl<'a> KnownColumns<'a> {
    pub(crate) fn of(known: &'a KnownSession) -> Self {
        let value = known.value.as_ref();
        let bound = value.and_then(|value| value.runtime.as_ref());
        Self {
            generation: value.map(|value| number(value.generation.get())),
            number: value.map(|value| number(value.number)),
            usable: known.is_usable(),
            provider: value.map(|value| value.provider.as_str()),
            runtime: bound.map(|bound| bound.runtime.id.as_str()),
            root: bound.map(|bound| bound.runtime.root.as_str()),
            incarnation: bound.map(|bound| number(bound.incarnation)),
        }
    }

    /// Reads these columns from the column `at` on, without verification.
    pub(crate) fn read(row: &'a impl Columns, at: usize) -> Option<Self> {
        let integer = |at| if row.is_null(at) { Some(None) } else { row.integer(at).map(Some) };
        Some(Self {
            generation: integer(at)?,
            number: integer(at + 1)?,
            usable: super::head::flag(row, at + 2)?,
            provider: row.optional_str(at + 3)?,
            runtime: row.optional_str(at + 4)?,
            root: row.optional_str(at + 5)?,
            incarnation: integer(at + 6)?,
        })
    }
}

/// Reads a head and verifies it.
pub(crate) fn read_head(
    row: &impl Columns,
    at: usize,
    tenant: &str,
    thread: &str,
    agent: &str,
    incarnation: i64,
) -> Option<SessionHead> {
    SessionOwner::Head { tenant, thread, agent, incarnation }.read(row, at)
}

/// Reads a session and verifies it. Its id is in the column `at`.
pub(crate) fn read_known(row: &impl Columns, at: usize, head_pk: i64) -> Option<KnownSession> {
    let id = SessionId::new(str::from_utf8(row.text(at)?).ok()?).ok()?;
    let known: KnownSession = SessionOwner::Known { head_pk, session: id.as_str() }.read(row, at + 1)?;
    (known.id == id).then_some(known)
}

/// Reads an attempt and verifies it. Its number is in the column `at` and its id in the next one.
pub(crate) fn read_attempt(row: &impl Columns, at: usize, head_pk: i64) -> Option<AttemptRecord> {
    let stored = row.integer(at)?;
    let id = AttemptId::new(str::from_utf8(row.text(at + 1)?).ok()?).ok()?;
    let owner = SessionOwner::Attempt { head_pk, number: stored, attempt: id.as_str() };
    let record: AttemptRecord = owner.read(row, at + 2)?;
    (record.attempt.id == id && number(record.attempt.number) == stored).then_some(record)
}
