//! Verifies agent sessions: heads, known sessions, attempts, and the counters of agents and runtimes.

use rusqlite::Row;

use super::{Check, Owner, Part, text, walk::Table};
use crate::record::{Columns as _, KnownColumns, read_attempt, read_head, read_known, whole_checksum};

const AGENTS: Table = Table {
    name: "session_agents",
    key: "agent_pk",
    part: Part::Session,
    rows: "SELECT 0, agent_pk, tenant, agent, incarnation, resets, checksum FROM session_agents \
           WHERE agent_pk >= ?1 ORDER BY agent_pk",
};

const RUNTIMES: Table = Table {
    name: "session_runtimes",
    key: "runtime_pk",
    part: Part::Session,
    rows: "SELECT 0, runtime_pk, tenant, runtime, incarnation, 0, checksum FROM session_runtimes \
           WHERE runtime_pk >= ?1 ORDER BY runtime_pk",
};

const HEADS: Table = Table {
    name: "session_heads",
    key: "head_pk",
    part: Part::Session,
    rows: "SELECT 0, h.head_pk, t.tenant, t.thread, h.agent, h.incarnation, h.checksum, h.head \
           FROM session_heads h LEFT JOIN threads t ON t.thread_pk = h.thread_pk \
           WHERE h.head_pk >= ?1 ORDER BY h.head_pk",
};

const KNOWN: Table = Table {
    name: "session_known",
    key: "known_pk",
    part: Part::Session,
    rows: "SELECT 0, k.known_pk, t.tenant, t.thread, k.head_pk, k.session, k.checksum, k.known, k.generation, \
           k.number, k.usable, k.provider, k.runtime, k.root, k.incarnation FROM session_known k \
           LEFT JOIN session_heads h ON h.head_pk = k.head_pk LEFT JOIN threads t ON t.thread_pk = h.thread_pk \
           WHERE k.known_pk >= ?1 ORDER BY k.known_pk",
};

const ATTEMPTS: Table = Table {
    name: "session_attempts",
    key: "attempt_pk",
    part: Part::Session,
    rows: "SELECT 0, a.attempt_pk, t.tenant, t.thread, a.head_pk, a.number, a.attempt, a.checksum, a.record \
           FROM session_attempts a LEFT JOIN session_heads h ON h.head_pk = a.head_pk \
           LEFT JOIN threads t ON t.thread_pk = h.thread_pk WHERE a.attempt_pk >= ?1 ORDER BY a.attempt_pk",
};

impl Check<'_> {
    /// Verifies all rows of agent sessions.
    pub(super) fn sessions(&mut self) -> rusqlite::Result<()> {
        self.rows_of(&AGENTS, "the counters of an agent", whole_is_sound)?;
        self.rows_of(&RUNTIMES, "the counter of a runtime", whole_is_sound)?;
        self.rows_of(&HEADS, "the head of an agent", |check, row| {
            check.found.sessions += 1;
            let (tenant, thread, agent) = (text(row, 2)?, text(row, 3)?, text(row, 4)?);
            read_head(row, 6, tenant, thread, agent, row.integer(5)?).map(drop)
        })?;
        self.rows_of(&KNOWN, "a known session", |_, row| {
            let known = read_known(row, 5, row.integer(4)?)?;
            (KnownColumns::read(row, 8)? == KnownColumns::of(&known)).then_some(())
        })?;
        self.rows_of(&ATTEMPTS, "an attempt of an agent", |check, row| {
            check.found.attempts += 1;
            read_attempt(row, 5, row.integer(4)?).map(drop)
        })
    }

    /// Reports every row of a table that is not sound.
    fn rows_of(
        &mut self,
        table: &'static Table,
        description: &str,
        sound: impl Fn(&mut Self, &Row<'_>) -> Option<()>,
    ) -> rusqlite::Result<()> {
        self.walk(table, |check, row| {
            if sound(check, row).is_none() {
                check.report(&Owner::read(row, 2), Part::Session, format!("{description} is damaged"));
            }
        })
    }
}

fn whole_is_sound(_: &mut Check<'_>, row: &Row<'_>) -> Option<()> {
    let (tenant, name, counts) = (text(row, 2)?, text(row, 3)?, [row.integer(4)?, row.integer(5)?]);
    let is_sound =
        whole_checksum(tenant, name, counts) == row.integer(6)? && counts.iter().all(|count| *count >= 0);
    is_sound.then_some(())
}
