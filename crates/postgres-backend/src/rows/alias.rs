//! Provider aliases of messages, and the deletion of those that a purge removes.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{
    MessageId, Role, Seq, ThreadId,
    backend::names::KnownName,
    ids::{EventId, ItemId, TurnId},
    messages::{Alias, Origin},
};
use throughline_engine::{
    StagedRows,
    rows::{AliasBy, AliasQuery, AliasRow, ThreadKey, ThreadRow},
};

use super::{Source, Writing, counter, number};
use crate::error::damaged;

/// The columns of an alias, as `a`.
macro_rules! alias_columns {
    () => {
        "a.n, a.seen, a.role, a.turn, a.item, a.event, a.message"
    };
}
pub(crate) use alias_columns;

macro_rules! aliases {
    ($which:literal) => {
        concat!(
            "SELECT ",
            alias_columns!(),
            " FROM throughline.aliases a \
             WHERE a.tenant = $1 AND a.thread = $2 AND a.generation = $3 AND ",
            $which,
            " ORDER BY a.n DESC LIMIT $4"
        )
    };
}

pub(super) async fn load(source: &mut Source, db: &mut PgConnection) -> sqlx::Result<()> {
    for query in source.aliases.take_wanted() {
        let AliasQuery { thread: ThreadKey { tenant, thread }, generation, by } = &query;
        let sql = match by {
            AliasBy::Item(Some(_), ..) => aliases!("a.item = $5 AND a.role = $6 AND a.turn = $7"),
            AliasBy::Item(None, ..) => aliases!("a.item = $5 AND a.role = $6 AND a.turn IS NULL"),
            AliasBy::Turn(..) => aliases!("a.turn = $5 AND a.role = $6"),
            AliasBy::Event(..) => {
                aliases!("a.event = $5 AND a.role = $6 AND a.item IS NULL AND a.turn IS NULL")
            }
            AliasBy::Message(_) => aliases!("a.message = $5"),
        };
        let asked = sqlx::query(sql)
            .bind(tenant.as_str())
            .bind(thread.as_str())
            .bind(number(generation.get()))
            .bind(number(query.limit() as u64));
        let asked = match by {
            AliasBy::Item(Some(turn), item, role) => {
                asked.bind(item.as_str()).bind(role.as_str()).bind(turn.as_str())
            }
            AliasBy::Item(None, item, role) => asked.bind(item.as_str()).bind(role.as_str()),
            AliasBy::Turn(turn, role) => asked.bind(turn.as_str()).bind(role.as_str()),
            AliasBy::Event(event, role) => asked.bind(event.as_str()).bind(role.as_str()),
            AliasBy::Message(id) => asked.bind(id.as_str()),
        };
        let found = asked.fetch_all(&mut *db).await?;
        let aliases: Vec<KnownName> =
            found.iter().map(|row| known_alias(row, thread)).collect::<sqlx::Result<_>>()?;
        source.aliases.insert(query, aliases);
    }
    Ok(())
}

/// Reads [`alias_columns!`].
fn known_alias(row: &PgRow, thread: &ThreadId) -> sqlx::Result<KnownName> {
    let seen = counter(row.try_get("seen")?);
    let known = alias_of(row)?.zip(seen).map(|(alias, seen)| KnownName { alias, seen: Seq::new(seen) });
    known.ok_or_else(|| damaged(format!("an alias of a message in the thread `{thread}`")))
}

/// Reads the alias of [`alias_columns!`]; nothing where it is damaged.
pub(crate) fn alias_of(row: &PgRow) -> sqlx::Result<Option<Alias>> {
    let (turn, item, event): (Option<&str>, Option<&str>, Option<&str>) =
        (row.try_get("turn")?, row.try_get("item")?, row.try_get("event")?);
    let (message, role): (&str, &str) = (row.try_get("message")?, row.try_get("role")?);
    let alias = || {
        Some(Alias {
            message: MessageId::new(message).ok()?,
            role: Role::from_name(role)?,
            origin: Origin {
                turn: turn.map(TurnId::new).transpose().ok()?,
                item: item.map(ItemId::new).transpose().ok()?,
                event: event.map(EventId::new).transpose().ok()?,
            },
        })
    };
    Ok(alias())
}

pub(super) fn write(staged: &StagedRows, writing: &mut Writing) {
    delete_leftovers(&staged.leftover_limits(), writing);
    let aliases: Vec<&AliasRow> = staged.inserted_aliases().collect();
    if aliases.is_empty() {
        return;
    }
    let (mut turns, mut items, mut events) = (vec![], vec![], vec![]);
    for alias in &aliases {
        let origin = &alias.known.alias.origin;
        turns.push(origin.turn.as_ref().map(TurnId::as_str));
        items.push(origin.item.as_ref().map(ItemId::as_str));
        events.push(origin.event.as_ref().map(EventId::as_str));
    }
    writing
        .part(
            "INSERT INTO throughline.aliases (tenant, thread, n, generation, seen, role, turn, item, event, message) \
             SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], \
             $8::text[], $9::text[], $10::text[])",
        )
        .bind(aliases.iter().map(|alias| alias.thread.tenant.as_str()).collect::<Vec<_>>())
        .bind(aliases.iter().map(|alias| alias.thread.thread.as_str()).collect::<Vec<_>>())
        .bind(aliases.iter().map(|alias| number(alias.number)).collect::<Vec<_>>())
        .bind(aliases.iter().map(|alias| number(alias.generation.get())).collect::<Vec<_>>())
        .bind(aliases.iter().map(|alias| number(alias.known.seen.get())).collect::<Vec<_>>())
        .bind(aliases.iter().map(|alias| alias.known.alias.role.as_str()).collect::<Vec<_>>())
        .bind(turns)
        .bind(items)
        .bind(events)
        .bind(aliases.iter().map(|alias| alias.known.alias.message.as_str()).collect::<Vec<_>>());
}

/// Deletes rows of a table of sessions, the rows of an agent by their last column.
macro_rules! delete_sessions {
    ($table:literal, $column:literal) => {
        concat!(
            "DELETE FROM throughline.",
            $table,
            " s USING unnest($1::text[], $2::text[], $3::bigint[]) AS k (tenant, thread, most) CROSS JOIN LATERAL \
             (SELECT g.agent, g.incarnation, g.",
            $column,
            " AS last FROM throughline.",
            $table,
            " g WHERE g.tenant = k.tenant AND g.thread = k.thread LIMIT k.most) AS g \
             WHERE s.tenant = k.tenant AND s.thread = k.thread AND s.agent = g.agent AND s.incarnation = g.incarnation \
             AND s.",
            $column,
            " = g.last"
        )
    };
}

/// Deletes aliases of earlier generations; of deleted threads, all of them and all sessions. At most so many rows of each table.
fn delete_leftovers(limits: &HashMap<&ThreadKey, (&ThreadRow, u64)>, writing: &mut Writing) {
    if limits.is_empty() {
        return;
    }
    let columns = |of: &[(&ThreadKey, i64, i64)]| {
        let tenants: Vec<String> = of.iter().map(|(key, ..)| key.tenant.as_str().to_owned()).collect();
        (tenants, of.iter().map(|(key, ..)| key.thread.as_str().to_owned()).collect::<Vec<_>>())
    };
    let threads: Vec<(&ThreadKey, i64, i64)> = limits
        .iter()
        .map(|(key, (row, limit))| {
            let below = if row.deleted { i64::MAX } else { number(row.generation.get()) };
            (*key, below, number(*limit))
        })
        .collect();
    let (tenants, names) = columns(&threads);
    writing
        .part(
            "DELETE FROM throughline.aliases a USING unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) \
             AS k (tenant, thread, below, most) CROSS JOIN LATERAL \
             (SELECT g.n FROM throughline.aliases g WHERE g.tenant = k.tenant AND g.thread = k.thread \
             AND g.generation < k.below LIMIT k.most) AS g \
             WHERE a.tenant = k.tenant AND a.thread = k.thread AND a.n = g.n",
        )
        .bind(tenants)
        .bind(names)
        .bind(threads.iter().map(|(_, below, _)| *below).collect::<Vec<_>>())
        .bind(threads.iter().map(|(.., limit)| *limit).collect::<Vec<_>>());
    let deleted: Vec<_> = threads.into_iter().filter(|(key, ..)| limits[key].0.deleted).collect();
    if deleted.is_empty() {
        return;
    }
    for sql in [
        delete_sessions!("session_attempts", "attempt"),
        delete_sessions!("session_known", "session"),
        delete_sessions!("session_heads", "agent"),
    ] {
        let (tenants, names) = columns(&deleted);
        let limits: Vec<i64> = deleted.iter().map(|(.., limit)| *limit).collect();
        writing.part(sql).bind(tenants).bind(names).bind(limits);
    }
}
