//! Messages of a thread that are found by their sequence numbers, and the leftovers that a purge removes last.

use sqlx::{PgConnection, Row as _, postgres::PgRow};
use throughline_core::{MessageId, PersistError, Seq, messages::DamagedMessage, threads::Generation};
use throughline_engine::rows::{LeftoverQuery, MessageKey, MessageRange, MessageRow, RangeKind};

use super::{
    Loading, Source, counter,
    message::{decode_message, decode_purgeable, message_columns, unreadable_purgeable},
    number,
    source::damaged_message,
};

/// The same rows twice: with all columns, and with their ids and sequence numbers only.
macro_rules! range {
    ($rest:literal) => {
        (range!(message_columns!(), $rest), range!("m.id, m.seq", $rest))
    };
    ($columns:expr, $rest:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM throughline.messages m WHERE m.tenant = $1 AND m.thread = $2 AND ",
            $rest,
            " LIMIT $5"
        )
    };
}

/// `$3` and `$4` are the bounds of the sequence number, both excluded.
const fn statements(kind: RangeKind) -> (&'static str, &'static str) {
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
        let (found, last) = fetch(source.loading, db, &range, (low, high), limit).await?;
        let count = found.len() as u64;
        for row in found {
            match row {
                Ok(message) => rows.push(message),
                Err(_) if range.kind.skips_damaged() => {}
                Err(damaged) => {
                    source.ranges.insert_damaged(range, damaged);
                    return Ok(());
                }
            }
        }
        let is_complete = count < limit || rows.len() as u64 >= range.limit;
        // Skipped rows do not count: the next ones are asked for, in doubling steps.
        let Some(last) = last.filter(|_| !is_complete) else { break };
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

/// Reads the rows of a range between two sequence numbers. Also returns the last sequence number.
async fn fetch(
    loading: Loading,
    db: &mut PgConnection,
    range: &MessageRange,
    (low, high): (i64, i64),
    limit: u64,
) -> sqlx::Result<(Vec<Decoded>, Option<i64>)> {
    let query = |sql, low, high, limit: u64| {
        let query = sqlx::query(sql).bind(range.thread.tenant.as_str()).bind(range.thread.thread.as_str());
        query.bind::<i64>(low).bind::<i64>(high).bind(number(limit))
    };
    let (rows, short) = statements(range.kind);
    let short = match loading {
        Loading::Together => rows,
        Loading::OneByOne => short,
    };
    let found = query(short, low, high, limit).fetch_all(&mut *db).await?;
    let mut decoded = Vec::with_capacity(found.len());
    for row in &found {
        decoded.push(match loading {
            Loading::Together => decode(range, row)?,
            Loading::OneByOne => {
                let seq: i64 = row.try_get("seq")?;
                let whole = query(rows, seq.saturating_sub(1), seq.saturating_add(1), 1);
                match loading.fetch(db, whole).await?.as_deref() {
                    Some([row]) => decode(range, row)?,
                    _ => decode_short(range, row)?,
                }
            }
        });
    }
    let last = found.last().map(|row| row.try_get("seq")).transpose()?;
    Ok((decoded, last))
}

/// A row of a range, or the error of a write that needs it.
type Decoded = Result<(MessageId, MessageRow), PersistError>;

/// Returns the error for a row that the server or this version cannot read, from its id and its sequence number.
fn damaged(range: &MessageRange, row: &PgRow) -> sqlx::Result<PersistError> {
    let thread = &range.thread;
    let seq = Some(Seq::new(counter(row.try_get("seq")?).unwrap_or_default()));
    Ok(match MessageId::new(row.try_get::<&str, _>("id")?) {
        Ok(id) => damaged_message(&MessageKey { thread: thread.clone(), id }, seq),
        Err(_) => DamagedMessage { thread: thread.thread.clone(), seq, id: None }.to_error(),
    })
}

/// Decodes the id and the sequence number of a row that the server cannot read.
fn decode_short(range: &MessageRange, row: &PgRow) -> sqlx::Result<Decoded> {
    let seq = Seq::new(counter(row.try_get("seq")?).unwrap_or_default());
    Ok(match MessageId::new(row.try_get::<&str, _>("id")?) {
        Ok(id) if range.kind == RangeKind::Purgeable => Ok((id, unreadable_purgeable(seq))),
        _ => Err(damaged(range, row)?),
    })
}

fn decode(range: &MessageRange, row: &PgRow) -> sqlx::Result<Decoded> {
    let seq = Seq::new(counter(row.try_get("seq")?).unwrap_or_default());
    let Ok(id) = MessageId::new(row.try_get::<&str, _>("id")?) else { return damaged(range, row).map(Err) };
    if range.kind == RangeKind::Purgeable {
        return Ok(Ok((id, decode_purgeable(row, seq)?)));
    }
    Ok(match decode_message(row)? {
        Some(message) => Ok((id, message)),
        None => Err(damaged(range, row)?),
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
