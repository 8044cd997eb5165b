//! One step of the index: some changes taken in, or some messages gone through.

use std::collections::HashSet;

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{
    backend::search::Tokenizer,
    changes::{Change, ChangeKind},
};

use super::{
    refresh::{empty, gone, how_many, refresh},
    state::{Making, Names, State},
};
use crate::{
    error::damaged,
    read::changes::change,
    rows::{counter, number},
};

/// How many messages one step looks at most.
const MESSAGES: usize = 256;

/// How many changes it looks at: many are about no words.
const CHANGES: u64 = 2048;

/// The changes after a position, and up to which one all are told: of one moment. A store that follows commits by itself as well: it
/// tells those that it was brought.
const TOLD: &str = "SELECT s.kept_after, CASE WHEN s.following \
    THEN coalesce((SELECT max(l.position) FROM throughline.changes l), s.kept_after) ELSE s.position END AS told, \
    c.position, c.tenant, c.thread, c.at, c.what FROM throughline.store s LEFT JOIN LATERAL \
    (SELECT k.* FROM throughline.changes k WHERE k.position > $1 ORDER BY k.position LIMIT $2) c ON true \
    WHERE s.id = 1 ORDER BY c.position";

const SWEEP: &str = "SELECT m.tenant, m.thread, m.id FROM throughline.messages m WHERE (m.tenant, m.thread, m.id) > ($1, $2, $3) \
    ORDER BY m.tenant, m.thread, m.id LIMIT $4";

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Somebody else goes on with the index at this moment.
    Elsewhere,
    /// There is no index, and none is kept.
    Absent,
    /// It was gone on with; `told` is how far the store was.
    Taken { wrote: bool, more: bool, told: u64 },
}

/// What is told.
struct Told {
    kept_after: u64,
    last: u64,
    rows: Vec<PgRow>,
}

impl Told {
    async fn read(db: &mut PgConnection, after: u64, limit: u64) -> sqlx::Result<Self> {
        let rows = sqlx::query(TOLD).bind(number(after)).bind(number(limit)).fetch_all(db).await?;
        let broken = || damaged("the row of the store".to_owned());
        let first = rows.first().ok_or_else(broken)?;
        let count = |column| counter(first.try_get(column)?).ok_or_else(broken);
        Ok(Self { kept_after: count("kept_after")?, last: count("told")?, rows })
    }

    /// The changes with their positions. One that cannot be read takes nothing in; what it took away is not shown all the same.
    fn changes(&self) -> impl Iterator<Item = (u64, Option<Change>)> {
        self.rows.iter().filter_map(|row| {
            let position: Option<i64> = row.try_get("position").ok()?;
            Some((counter(position?)?, change(row).ok()))
        })
    }
}

impl Step {
    /// Takes a step in the transaction that was begun. Without `adds` it only takes away. With `makes` an index that divides the text
    /// otherwise is made again by that tokenizer.
    pub(super) async fn take(
        db: &mut PgConnection,
        adds: bool,
        makes: Option<Tokenizer>,
    ) -> sqlx::Result<Self> {
        let Some(before) = State::hold(db).await? else { return Ok(Self::Elsewhere) };
        let mut state = before.clone();
        if let Some(tokenizer) = makes.filter(|tokenizer| adds && state.making.tokenizer != *tokenizer) {
            state.making.tokenizer = tokenizer;
            (state.complete, state.recovered) = (false, None);
        }
        if !adds && state.is_nothing() {
            let wrote = empty(db).await?;
            return Ok(if wrote { Self::Taken { wrote, more: true, told: 0 } } else { Self::Absent });
        }
        let after = if adds { state.indexed } else { state.cleaned.max(state.indexed) };
        let told = Told::read(db, after, if state.recovered.is_some() && adds { 0 } else { CHANGES }).await?;
        let is_missing_changes = after < told.kept_after;
        let more = if !adds && is_missing_changes {
            // Which messages have to go is unknown. A process that keeps an index makes it again.
            state = State::empty(state.making);
            true
        } else if adds && state.recovered.is_none() && (is_missing_changes || !state.complete) {
            // Every message is gone through, and what comes meanwhile is among the changes.
            let from = told.last.max(told.kept_after);
            let making = state.making;
            state = State {
                making,
                indexed: from,
                cleaned: from,
                complete: false,
                recovered: Some(Names::default()),
            };
            true
        } else if let (true, Some(recovered)) = (adds, state.recovered.clone()) {
            sweep(db, &mut state, recovered).await?;
            // What was committed meanwhile is still to be followed.
            true
        } else {
            let making = adds.then_some(state.making);
            let (through, more) = follow(db, &told, after, making).await?;
            if adds {
                state.indexed = state.indexed.max(through);
            }
            state.cleaned = state.cleaned.max(through);
            more
        };
        let wrote = state != before || more;
        if state != before {
            state.write(db).await?;
        }
        Ok(Self::Taken { wrote, more, told: told.last })
    }
}

/// Goes through the messages, from the one after `recovered` on. What is gone by now has left a row, too.
async fn sweep(db: &mut PgConnection, state: &mut State, recovered: Names) -> sqlx::Result<()> {
    let (tenant, thread, id) = recovered;
    let rows = sqlx::query(SWEEP)
        .bind(tenant)
        .bind(thread)
        .bind(id)
        .bind(number(MESSAGES as u64))
        .fetch_all(&mut *db)
        .await?;
    let names = |row: &PgRow| Ok((row.try_get("tenant")?, row.try_get("thread")?, row.try_get("id")?));
    let mut keys = rows.iter().map(names).collect::<sqlx::Result<Vec<Names>>>()?;
    if keys.is_empty() {
        (state.recovered, state.complete) = (None, true);
        return Ok(());
    }
    keys.truncate(how_many(db, &keys).await?);
    refresh(db, &keys, Some(state.making)).await?;
    state.recovered = keys.pop();
    Ok(())
}

/// Takes changes in. Says up to which one, and whether there are more.
async fn follow(
    db: &mut PgConnection,
    told: &Told,
    after: u64,
    making: Option<Making>,
) -> sqlx::Result<(u64, bool)> {
    let (mut keys, mut known, mut positions) = (Vec::new(), HashSet::new(), Vec::new());
    let (mut through, mut looked, mut more) = (after, 0, false);
    for (position, change) in told.changes() {
        if keys.len() == MESSAGES {
            more = true;
            break;
        }
        looked += 1;
        if let Some(Change { tenant, thread, what, .. }) = change {
            if let Some(up_to) = takes_away(&what)
                && gone(db, tenant.as_str(), thread.as_str(), up_to).await?
            {
                // There may be more of the thread; it is looked at again.
                more = true;
                break;
            }
            if let Some(id) = about_words(&what) {
                let key: Names = (tenant.to_string(), thread.to_string(), id.to_owned());
                if known.insert(key.clone()) {
                    keys.push(key);
                    positions.push(position);
                }
            }
        }
        through = position;
    }
    if making.is_some() && !keys.is_empty() {
        let taken = how_many(db, &keys).await?;
        if let Some(first_left) = positions.get(taken) {
            (through, more) = (first_left - 1, true);
            keys.truncate(taken);
        }
    }
    refresh(db, &keys, making).await?;
    if more || looked == CHANGES {
        return Ok((through, true));
    }
    // What tells nothing has its place among the commits, too.
    Ok((through.max(told.last), false))
}

fn about_words(what: &ChangeKind) -> Option<&str> {
    match what {
        ChangeKind::Added(message)
        | ChangeKind::Finished(message)
        | ChangeKind::Edited(message)
        | ChangeKind::Deleted(message) => Some(message.id.as_str()),
        _ => None,
    }
}

/// Up to which place messages of the thread went.
fn takes_away(what: &ChangeKind) -> Option<u64> {
    match what {
        ChangeKind::ThreadCleared { through, .. } | ChangeKind::ThreadPruned { through } => {
            Some(through.get())
        }
        ChangeKind::ThreadDeleted => Some(u64::MAX),
        _ => None,
    }
}
