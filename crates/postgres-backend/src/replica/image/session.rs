//! Row images of agent sessions.

use serde::de::DeserializeOwned;
use sqlx::{PgConnection, Row as _};
use throughline_core::{
    AgentId, TenantId,
    backend::sessions::AgentRecord,
    ids::RuntimeId,
    replication::{ImagePart, SessionImage, SessionPart},
};

use super::{Found, Key, Part, ReadImage, column, numbers, which, whose};
use crate::rows::counter;

const AGENTS: &str = "SELECT k.i, a.incarnation, a.resets FROM unnest($1::text[], $2::text[]) WITH ORDINALITY \
    AS k (tenant, agent, i) JOIN throughline.session_agents a ON a.tenant = k.tenant AND a.agent = k.agent";

const RUNTIMES: &str = "SELECT k.i, r.incarnation, 0::bigint AS resets FROM unnest($1::text[], $2::text[]) WITH ORDINALITY \
    AS k (tenant, runtime, i) JOIN throughline.session_runtimes r ON r.tenant = k.tenant AND r.runtime = k.runtime";

/// Reads the rows of whole agents and runtimes.
pub(super) async fn whole(
    db: &mut PgConnection,
    part: Part,
    keys: &[&Key],
    found: &mut Found,
) -> sqlx::Result<()> {
    let sql = if part == Part::Agents { AGENTS } else { RUNTIMES };
    let rows = sqlx::query(sql).bind(column(keys, 0)).bind(column(keys, 1)).fetch_all(db).await?;
    for row in &rows {
        let Some(key) = which(keys, row)? else { continue };
        let (incarnation, resets) = (counter(row.try_get("incarnation")?), counter(row.try_get("resets")?));
        let made = || {
            let tenant = TenantId::new(key.at(0)).ok()?;
            let (incarnation, resets) = (incarnation?, resets?);
            let image = if part == Part::Agents {
                let record = AgentRecord { incarnation, resets };
                ImagePart::Agent { agent: AgentId::new(key.at(1)).ok()?, record }
            } else {
                ImagePart::Runtime { runtime: RuntimeId::new(key.at(1)).ok()?, incarnation }
            };
            Some((tenant, image))
        };
        found.insert(key.clone(), ReadImage::of(made()));
    }
    Ok(())
}

const HEADS: &str = "SELECT k.i, h.head AS record \
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) WITH ORDINALITY AS k (tenant, thread, agent, incarnation, i) \
    JOIN throughline.session_heads h ON h.tenant = k.tenant AND h.thread = k.thread AND h.agent = k.agent \
    AND h.incarnation = k.incarnation";

const KNOWN: &str = "SELECT k.i, s.known AS record FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[]) \
    WITH ORDINALITY AS k (tenant, thread, agent, incarnation, session, i) \
    JOIN throughline.session_known s ON s.tenant = k.tenant AND s.thread = k.thread AND s.agent = k.agent \
    AND s.incarnation = k.incarnation AND s.session = k.session";

const ATTEMPTS: &str = "SELECT k.i, t.record FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[]) \
    WITH ORDINALITY AS k (tenant, thread, agent, incarnation, attempt, i) \
    JOIN throughline.session_attempts t ON t.tenant = k.tenant AND t.thread = k.thread AND t.agent = k.agent \
    AND t.incarnation = k.incarnation AND t.attempt = k.attempt";

/// Reads the rows of agents in threads.
pub(super) async fn in_threads(
    db: &mut PgConnection,
    part: Part,
    keys: &[&Key],
    found: &mut Found,
) -> sqlx::Result<()> {
    let asked = sqlx::query(match part {
        Part::Heads => HEADS,
        Part::Known => KNOWN,
        _ => ATTEMPTS,
    })
    .bind(column(keys, 0))
    .bind(column(keys, 1))
    .bind(column(keys, 2))
    .bind(numbers(keys, 3));
    let asked = if part == Part::Heads { asked } else { asked.bind(column(keys, 4)) };
    for row in &asked.fetch_all(db).await? {
        let Some(key) = which(keys, row)? else { continue };
        let record: &str = row.try_get("record")?;
        let made = || {
            let (tenant, thread) = whose(key)?;
            let part = match part {
                Part::Heads => SessionPart::Head(decoded(record)?),
                Part::Known => SessionPart::Known(decoded(record)?),
                _ => SessionPart::Attempt(decoded(record)?),
            };
            let (agent, incarnation) = (AgentId::new(key.at(2)).ok()?, counter(key.number(3))?);
            let image = SessionImage { thread, agent, incarnation, part };
            Some((tenant, ImagePart::Session(Box::new(image))))
        };
        found.insert(key.clone(), ReadImage::of(made()));
    }
    Ok(())
}

fn decoded<T: DeserializeOwned>(json: &str) -> Option<Box<T>> {
    serde_json::from_str(json).ok().map(Box::new)
}
