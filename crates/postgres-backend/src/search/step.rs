//! One step of the index update: some changes, or some messages of a rebuild.

use std::collections::HashSet;

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{
    backend::search::Tokenizer,
    changes::{Change, ChangeKind},
};

use super::{
    refresh::{empty, gone, how_many, refresh},
    state::{Names, State, TermMaker},
};
use crate::{
    error::damaged,
    read::changes::change,
    rows::{counter, number},
};

/// The most messages of one step.
const MESSAGES: usize = 256;

/// The most changes of one step: many concern no terms.
const CHANGES: u64 = 2048;

/// The changes after a position, and the last readable position, in one snapshot. A replica has only the changes
/// that it received.
const FEED: &str = "SELECT s.kept_after, CASE WHEN s.is_replica \
    THEN coalesce((SELECT max(l.position) FROM throughline.changes l), s.kept_after) ELSE s.position END AS last_position, \
    c.position, c.tenant, c.thread, c.at, c.kind FROM throughline.store s LEFT JOIN LATERAL \
    (SELECT k.* FROM throughline.changes k WHERE k.position > $1 ORDER BY k.position LIMIT $2) c ON true \
    WHERE s.id = 1 ORDER BY c.position";

const SCAN: &str = "SELECT m.tenant, m.thread, m.id FROM throughline.messages m WHERE (m.tenant, m.thread, m.id) > ($1, $2, $3) \
    ORDER BY m.tenant, m.thread, m.id LIMIT $4";

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Another process updates the index now.
    Elsewhere,
    /// There is no index, and the options require none.
    Absent,
    /// The step was performed; `position` is the last position of the feed.
    Taken { wrote: bool, more: bool, position: u64 },
}

/// A page of the change feed.
struct FeedPage {
    kept_after: u64,
    last: u64,
    rows: Vec<PgRow>,
}

impl FeedPage {
    async fn read(db: &mut PgConnection, after: u64, limit: u64) -> sqlx::Result<Self> {
        let rows = sqlx::query(FEED).bind(number(after)).bind(number(limit)).fetch_all(db).await?;
        let broken = || damaged("the row of the store".to_owned());
        let first = rows.first().ok_or_else(broken)?;
        let count = |column| counter(first.try_get(column)?).ok_or_else(broken);
        Ok(Self { kept_after: count("kept_after")?, last: count("last_position")?, rows })
    }

    /// Returns the changes with their positions. A change that cannot be decoded adds no terms; reads compare the
    /// remaining ones with the messages.
    fn changes(&self) -> impl Iterator<Item = (u64, Option<Change>)> {
        self.rows.iter().filter_map(|row| {
            let position: Option<i64> = row.try_get("position").ok()?;
            Some((counter(position?)?, change(row).ok()))
        })
    }
}

impl Step {
    /// Performs a step in the current transaction. Without `adds`, it only deletes. With `makes`, an index of
    /// another tokenizer is rebuilt with that tokenizer.
    pub(super) async fn take(
        db: &mut PgConnection,
        adds: bool,
        makes: Option<Tokenizer>,
    ) -> sqlx::Result<Self> {
        let Some(before) = State::hold(db).await? else { return Ok(Self::Elsewhere) };
        let mut state = before.clone();
        if let Some(tokenizer) = makes.filter(|tokenizer| adds && state.term_maker.tokenizer != *tokenizer) {
            state.term_maker.tokenizer = tokenizer;
            (state.complete, state.recovered) = (false, None);
        }
        if !adds && state.is_nothing() {
            let wrote = empty(db).await?;
            return Ok(if wrote { Self::Taken { wrote, more: true, position: 0 } } else { Self::Absent });
        }
        let after = if adds { state.indexed } else { state.cleaned.max(state.indexed) };
        let feed =
            FeedPage::read(db, after, if state.recovered.is_some() && adds { 0 } else { CHANGES }).await?;
        let is_missing_changes = after < feed.kept_after;
        let more = if !adds && is_missing_changes {
            // The removed messages are unknown. A process that keeps an index rebuilds it.
            state = State::empty(state.term_maker);
            true
        } else if adds && state.recovered.is_none() && (is_missing_changes || !state.complete) {
            // The rebuild scans every message; concurrent commits are in the change feed.
            let from = feed.last.max(feed.kept_after);
            let term_maker = state.term_maker;
            state = State {
                term_maker,
                indexed: from,
                cleaned: from,
                complete: false,
                recovered: Some(Names::default()),
            };
            true
        } else if let (true, Some(recovered)) = (adds, state.recovered.clone()) {
            scan(db, &mut state, recovered).await?;
            // The commits since then are still to be indexed.
            true
        } else {
            let term_maker = adds.then_some(state.term_maker);
            let (through, more) = follow(db, &feed, after, term_maker).await?;
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
        Ok(Self::Taken { wrote, more, position: feed.last })
    }
}

/// Indexes the messages after `recovered`. Rows of removed messages are among them.
async fn scan(db: &mut PgConnection, state: &mut State, recovered: Names) -> sqlx::Result<()> {
    let (tenant, thread, id) = recovered;
    let rows = sqlx::query(SCAN)
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
    refresh(db, &keys, Some(state.term_maker)).await?;
    state.recovered = keys.pop();
    Ok(())
}

/// Applies changes. Returns the last applied position, and whether there are more.
async fn follow(
    db: &mut PgConnection,
    feed: &FeedPage,
    after: u64,
    term_maker: Option<TermMaker>,
) -> sqlx::Result<(u64, bool)> {
    let (mut keys, mut known, mut positions) = (Vec::new(), HashSet::new(), Vec::new());
    let (mut through, mut looked, mut more) = (after, 0, false);
    for (position, change) in feed.changes() {
        if keys.len() == MESSAGES {
            more = true;
            break;
        }
        looked += 1;
        if let Some(Change { tenant, thread, kind, .. }) = change {
            if let Some(up_to) = removed_through(&kind)
                && gone(db, tenant.as_str(), thread.as_str(), up_to).await?
            {
                // The thread may have more rows; the next step continues with it.
                more = true;
                break;
            }
            if let Some(id) = changed_message(&kind) {
                let key: Names = (tenant.to_string(), thread.to_string(), id.to_owned());
                if known.insert(key.clone()) {
                    keys.push(key);
                    positions.push(position);
                }
            }
        }
        through = position;
    }
    if term_maker.is_some() && !keys.is_empty() {
        let taken = how_many(db, &keys).await?;
        if let Some(first_left) = positions.get(taken) {
            (through, more) = (first_left - 1, true);
            keys.truncate(taken);
        }
    }
    refresh(db, &keys, term_maker).await?;
    if more || looked == CHANGES {
        return Ok((through, true));
    }
    // Positions without an event count too.
    Ok((through.max(feed.last), false))
}

fn changed_message(kind: &ChangeKind) -> Option<&str> {
    match kind {
        ChangeKind::Added(message)
        | ChangeKind::Finished(message)
        | ChangeKind::Edited(message)
        | ChangeKind::Deleted(message) => Some(message.id.as_str()),
        _ => None,
    }
}

/// Returns the sequence number up to which messages of the thread were removed.
fn removed_through(kind: &ChangeKind) -> Option<u64> {
    match kind {
        ChangeKind::ThreadCleared { through, .. } | ChangeKind::ThreadPruned { through } => {
            Some(through.get())
        }
        ChangeKind::ThreadDeleted => Some(u64::MAX),
        _ => None,
    }
}
