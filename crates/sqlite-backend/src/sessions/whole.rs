//! Agents and runtimes as a whole.

use rusqlite::{Connection, OptionalExtension, params};
use throughline_core::{AgentId, RuntimeId, TenantId, backend::sessions::AgentRecord};

use super::damaged;
use crate::{
    apply::Applied,
    record::{Columns as _, whole_checksum},
};

/// What was done to an agent as a whole.
pub(crate) fn agent(db: &Connection, tenant: &TenantId, agent: &AgentId) -> Applied<AgentRecord> {
    let found = db
        .prepare_cached(
            "SELECT incarnation, resets, checksum FROM session_agents WHERE tenant = ?1 AND agent = ?2",
        )?
        .query_row(params![tenant.as_str(), agent.as_str()], |row| {
            Ok(read(row.integer(0), row.integer(1), row.integer(2), tenant.as_str(), agent.as_str()))
        })
        .optional()?;
    match found {
        None => Ok(AgentRecord::default()),
        Some(Some([incarnation, resets])) => Ok(AgentRecord { incarnation, resets }),
        Some(None) => Err(damaged(format_args!("the agent `{agent}`"))),
    }
}

/// How often a runtime was dropped.
pub(crate) fn runtime_incarnation(db: &Connection, tenant: &TenantId, runtime: &RuntimeId) -> Applied<u64> {
    let found = db
        .prepare_cached(
            "SELECT incarnation, checksum FROM session_runtimes WHERE tenant = ?1 AND runtime = ?2",
        )?
        .query_row(params![tenant.as_str(), runtime.as_str()], |row| {
            Ok(read(row.integer(0), Some(0), row.integer(1), tenant.as_str(), runtime.as_str()))
        })
        .optional()?;
    match found {
        None => Ok(0),
        Some(Some([incarnation, _])) => Ok(incarnation),
        Some(None) => Err(damaged(format_args!("the runtime `{runtime}`"))),
    }
}

fn read(
    first: Option<i64>,
    second: Option<i64>,
    checksum: Option<i64>,
    tenant: &str,
    name: &str,
) -> Option<[u64; 2]> {
    let counts = [first?, second?];
    if whole_checksum(tenant, name, counts) != checksum? {
        return None;
    }
    Some([u64::try_from(counts[0]).ok()?, u64::try_from(counts[1]).ok()?])
}
