//! Messages of a thread that are found by their sequence numbers, and the leftovers that a purge removes last.

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{MessageId, PersistError, Seq, messages::DamagedMessage, threads::Generation};
use throughline_engine::rows::{LeftoverQuery, MessageKey, MessageRange, MessageRow, RangeKind};

use super::{
    Source, counter,
    message::{decode_message, decode_purgeable, message_columns},
    number,
    source::damaged_message,
};

macro_rules! range {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            message_columns!(),
            " FROM throughline.messages m WHERE m.tenant = $1 AND m.thread = $2 AND ",
            $rest,
            " LIMIT $5"
        )
    };
}

/// `$3` and `$4` are the bounds of the sequence number, both excluded.
const fn statement(kind: RangeKind) -> &'static str {
    match kind {
        RangeKind::Questions => {
            range!("m.role = 'user' AND m.state = 'final' AND m.seq > $3 AND m.seq < $4 ORDER BY m.seq DESC")
        }
        RangeKind::Oldest | RangeKind::All | RangeKind::Purgeable => {
            range!("m.seq > $3 AND m.seq < $4 ORDER BY m.seq")
        }
        RangeKind::Latest => range!("m.seq > $3 AND m.seq < $4 ORDER BY m.seq DESC"),
        RangeKind::Open => {
            range!("m.state IN ('reserved', 'streaming') AND m.seq > $3 AND m.seq < $4 ORDER BY m.seq")
        }
    }
}

pub(super) async fn load(source: &mut Source, db: &mut PgConnection) -> sqlx::Result<()> {
    for range in source.ranges.take_wanted() {
        load_range(source, db, range).await?;
    }
    for query in source.leftovers.take_wanted() {
        let count = count(db, &query).await?;
        source.leftovers.insert(query, count);
    }
    Ok(())
}

async fn load_range(source: &mut Source, db: &mut PgConnection, range: MessageRange) -> sqlx::Result<()> {
    let floor = number(range.floor.get());
    let (mut low, mut high) = if range.kind == RangeKind::Purgeable {
        (i64::MIN, floor.saturating_add(1))
    } else {
        (floor, i64::MAX)
    };
    let (mut rows, mut limit) = (Vec::new(), range.limit);
    loop {
        let found = sqlx::query(statement(range.kind))
            .bind(range.thread.tenant.as_str())
            .bind(range.thread.thread.as_str())
            .bind(low)
            .bind(high)
            .bind(number(limit))
            .fetch_all(&mut *db)
            .await?;
        for row in &found {
            match decode(&range, row)? {
                Ok(message) => rows.push(message),
                Err(_) if range.kind.skips_damaged() => {}
                Err(damaged) => {
                    source.ranges.insert_damaged(range, damaged);
                    return Ok(());
                }
            }
        }
        let is_complete = (found.len() as u64) < limit || rows.len() as u64 >= range.limit;
        // Skipped rows do not count: the next ones are asked for, in doubling steps.
        let Some(last) = found.last().filter(|_| !is_complete) else { break };
        let last: i64 = last.try_get("seq")?;
        limit = limit.saturating_mul(2);
        match range.kind {
            RangeKind::Questions | RangeKind::Latest => high = last,
            RangeKind::Oldest | RangeKind::All | RangeKind::Open | RangeKind::Purgeable => low = last,
        }
    }
    rows.truncate(usize::try_from(range.limit).unwrap_or(usize::MAX));
    source.ranges.insert(range, rows);
    Ok(())
}

/// A row of a range, or the error that a write is answered which needs it.
fn decode(range: &MessageRange, row: &PgRow) -> sqlx::Result<Result<(MessageId, MessageRow), PersistError>> {
    let thread = &range.thread;
    let seq = Seq::new(counter(row.try_get("seq")?).unwrap_or_default());
    let Ok(id) = MessageId::new(row.try_get::<&str, _>("id")?) else {
        let damaged = DamagedMessage { thread: thread.thread.clone(), seq: Some(seq), id: None };
        return Ok(Err(damaged.to_error()));
    };
    if range.kind == RangeKind::Purgeable {
        return Ok(Ok((id, decode_purgeable(row, seq)?)));
    }
    Ok(match decode_message(row)? {
        Some(message) => Ok((id, message)),
        None => Err(damaged_message(&MessageKey { thread: thread.clone(), id }, Some(seq))),
    })
}

/// How many rows there are in all of the tables, each counted up to a limit.
const LEFTOVERS: &str = "SELECT count(*) FROM (\
    (SELECT 1 FROM throughline.aliases a WHERE a.tenant = $1 AND a.thread = $2 AND a.generation < $3 LIMIT $4) \
    UNION ALL (SELECT 1 FROM throughline.session_attempts s WHERE $5 AND s.tenant = $1 AND s.thread = $2 LIMIT $4) \
    UNION ALL (SELECT 1 FROM throughline.session_known s WHERE $5 AND s.tenant = $1 AND s.thread = $2 LIMIT $4) \
    UNION ALL (SELECT 1 FROM throughline.session_heads s WHERE $5 AND s.tenant = $1 AND s.thread = $2 LIMIT $4)) AS leftovers";

async fn count(db: &mut PgConnection, query: &LeftoverQuery) -> sqlx::Result<u64> {
    let row = sqlx::query(LEFTOVERS)
        .bind(query.thread.tenant.as_str())
        .bind(query.thread.thread.as_str())
        .bind(query.below.map_or(i64::MAX, |below: Generation| number(below.get())))
        .bind(number(query.limit))
        .bind(query.below.is_none())
        .fetch_one(db)
        .await?;
    Ok(counter(row.try_get(0)?).unwrap_or_default().min(query.limit))
}
