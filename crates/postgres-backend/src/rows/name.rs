//! By what names the messages of a thread are known.

use std::collections::HashMap;

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{
    Alias, EventId, Generation, ItemId, MessageId, Origin, Role, Seq, ThreadId, TurnId,
    backend::names::{KnownName, NAMES_PER_MESSAGE},
};

use super::{Rows, ThreadKey, ThreadRow, Writing, counter, number};
use crate::error::damaged;

/// Which names of a generation of a thread are asked for, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct NameQuery {
    pub(crate) thread: ThreadKey,
    pub(crate) generation: Generation,
    pub(crate) by: By,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum By {
    Item(Option<TurnId>, ItemId, Role),
    Turn(TurnId, Role),
    Event(EventId, Role),
    Message(MessageId),
}

impl NameQuery {
    /// Whether a name is one of those.
    pub(crate) fn fits(&self, name: &NewName) -> bool {
        let Alias { message, role, origin } = &name.known.alias;
        let is_named = match &self.by {
            By::Item(turn, item, of) => {
                origin.item.as_ref() == Some(item) && origin.turn == *turn && role == of
            }
            By::Turn(turn, of) => origin.turn.as_ref() == Some(turn) && role == of,
            By::Event(event, of) => {
                origin.event.as_ref() == Some(event)
                    && (&origin.item, &origin.turn) == (&None, &None)
                    && role == of
            }
            By::Message(id) => message == id,
        };
        is_named && (&self.thread, self.generation) == (&name.thread, name.generation)
    }

    /// How many of them are needed at most.
    pub(crate) const fn limit(&self) -> usize {
        match self.by {
            By::Message(_) => NAMES_PER_MESSAGE,
            By::Item(..) | By::Turn(..) | By::Event(..) => 1,
        }
    }
}

/// A name that is taken down.
#[derive(Debug)]
pub(crate) struct NewName {
    pub(crate) thread: ThreadKey,
    pub(crate) n: u64,
    pub(crate) generation: Generation,
    pub(crate) known: KnownName,
}

/// The columns of a name, as `a`.
macro_rules! name_columns {
    () => {
        "a.n, a.seen, a.role, a.turn, a.item, a.event, a.message"
    };
}
pub(crate) use name_columns;

macro_rules! names {
    ($which:literal) => {
        concat!(
            "SELECT ",
            name_columns!(),
            " FROM throughline.aliases a \
             WHERE a.tenant = $1 AND a.thread = $2 AND a.generation = $3 AND ",
            $which,
            " ORDER BY a.n DESC LIMIT $4"
        )
    };
}

pub(super) async fn read(rows: &mut Rows, db: &mut PgConnection) -> sqlx::Result<()> {
    for query in rows.names.take_unread() {
        let NameQuery { thread: (tenant, thread), generation, by } = &query;
        let sql = match by {
            By::Item(Some(_), ..) => names!("a.item = $5 AND a.role = $6 AND a.turn = $7"),
            By::Item(None, ..) => names!("a.item = $5 AND a.role = $6 AND a.turn IS NULL"),
            By::Turn(..) => names!("a.turn = $5 AND a.role = $6"),
            By::Event(..) => names!("a.event = $5 AND a.role = $6 AND a.item IS NULL AND a.turn IS NULL"),
            By::Message(_) => names!("a.message = $5"),
        };
        let asked = sqlx::query(sql)
            .bind(tenant.as_str())
            .bind(thread.as_str())
            .bind(number(generation.get()))
            .bind(number(query.limit() as u64));
        let asked = match by {
            By::Item(Some(turn), item, role) => {
                asked.bind(item.as_str()).bind(role.as_str()).bind(turn.as_str())
            }
            By::Item(None, item, role) => asked.bind(item.as_str()).bind(role.as_str()),
            By::Turn(turn, role) => asked.bind(turn.as_str()).bind(role.as_str()),
            By::Event(event, role) => asked.bind(event.as_str()).bind(role.as_str()),
            By::Message(id) => asked.bind(id.as_str()),
        };
        let found = asked.fetch_all(&mut *db).await?;
        let names: Vec<KnownName> =
            found.iter().map(|row| known_name(row, thread)).collect::<sqlx::Result<_>>()?;
        rows.names.read(query, Some(names));
    }
    Ok(())
}

/// Reads [`name_columns!`].
fn known_name(row: &PgRow, thread: &ThreadId) -> sqlx::Result<KnownName> {
    let seen = counter(row.try_get("seen")?);
    let known = alias_of(row)?.zip(seen).map(|(alias, seen)| KnownName { alias, seen: Seq::new(seen) });
    known.ok_or_else(|| damaged(format!("a name of a message in the thread `{thread}`")))
}

/// Reads the name of [`name_columns!`]; nothing where it is damaged.
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

pub(super) fn write(rows: &Rows, writing: &mut Writing) {
    let swept = rows.swept();
    sweep(&swept, writing);
    // What goes in the same transaction is not written.
    let stays = |name: &&NewName| {
        swept.get(&name.thread).is_none_or(|row| !row.deleted && name.generation >= row.generation)
    };
    let names: Vec<&NewName> = rows.new_names.items().iter().filter(stays).collect();
    if names.is_empty() {
        return;
    }
    let (mut turns, mut items, mut events) = (vec![], vec![], vec![]);
    for name in &names {
        let origin = &name.known.alias.origin;
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
        .bind(names.iter().map(|name| name.thread.0.as_str()).collect::<Vec<_>>())
        .bind(names.iter().map(|name| name.thread.1.as_str()).collect::<Vec<_>>())
        .bind(names.iter().map(|name| number(name.n)).collect::<Vec<_>>())
        .bind(names.iter().map(|name| number(name.generation.get())).collect::<Vec<_>>())
        .bind(names.iter().map(|name| number(name.known.seen.get())).collect::<Vec<_>>())
        .bind(names.iter().map(|name| name.known.alias.role.as_str()).collect::<Vec<_>>())
        .bind(turns)
        .bind(items)
        .bind(events)
        .bind(names.iter().map(|name| name.known.alias.message.as_str()).collect::<Vec<_>>());
}

/// Takes away what earlier generations knew their messages by, and of deleted threads everything else too.
fn sweep(swept: &HashMap<&ThreadKey, &ThreadRow>, writing: &mut Writing) {
    if swept.is_empty() {
        return;
    }
    let columns = |of: &[&ThreadKey]| {
        let tenants: Vec<String> = of.iter().map(|key| key.0.as_str().to_owned()).collect();
        (tenants, of.iter().map(|key| key.1.as_str().to_owned()).collect::<Vec<_>>())
    };
    let keys: Vec<&ThreadKey> = swept.keys().copied().collect();
    let kept = |row: &&ThreadRow| if row.deleted { i64::MAX } else { number(row.generation.get()) };
    let (tenants, threads) = columns(&keys);
    writing
        .part(
            "DELETE FROM throughline.aliases a USING unnest($1::text[], $2::text[], $3::bigint[]) AS k (tenant, thread, kept) \
             WHERE a.tenant = k.tenant AND a.thread = k.thread AND a.generation < k.kept",
        )
        .bind(tenants)
        .bind(threads)
        .bind(swept.values().map(kept).collect::<Vec<_>>());
    let gone: Vec<&ThreadKey> = keys.into_iter().filter(|key| swept[key].deleted).collect();
    if gone.is_empty() {
        return;
    }
    for sql in [
        "DELETE FROM throughline.session_attempts s USING unnest($1::text[], $2::text[]) AS k (tenant, thread) \
         WHERE s.tenant = k.tenant AND s.thread = k.thread",
        "DELETE FROM throughline.session_known s USING unnest($1::text[], $2::text[]) AS k (tenant, thread) \
         WHERE s.tenant = k.tenant AND s.thread = k.thread",
        "DELETE FROM throughline.session_heads s USING unnest($1::text[], $2::text[]) AS k (tenant, thread) \
         WHERE s.tenant = k.tenant AND s.thread = k.thread",
    ] {
        let (tenants, threads) = columns(&gone);
        writing.part(sql).bind(tenants).bind(threads);
    }
}
