//! Messages of a thread that are found by their sequence numbers, and what a purge leaves for its end.

use sqlx::{PgConnection, Row as _};
use throughline_core::{Generation, MessageId, Seq};
use throughline_engine::rows::{LeftoverQuery, MessageKey, MessageRange, RangeKind};

use super::{
    Source, counter,
    message::{decode_message, lacking, message_columns},
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
            " LIMIT $4"
        )
    };
}

const fn statement(kind: RangeKind) -> &'static str {
    match kind {
        RangeKind::Questions => {
            range!("m.role = 'user' AND m.state = 'final' AND m.seq > $3 ORDER BY m.seq DESC")
        }
        RangeKind::Oldest | RangeKind::All => range!("m.seq > $3 ORDER BY m.seq"),
        RangeKind::Latest => range!("m.seq > $3 ORDER BY m.seq DESC"),
        RangeKind::Open => range!("m.state IN ('reserved', 'streaming') AND m.seq > $3 ORDER BY m.seq"),
        RangeKind::Purgeable => range!("m.seq <= $3 ORDER BY m.seq"),
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
    let found = sqlx::query(statement(range.kind))
        .bind(range.thread.tenant.as_str())
        .bind(range.thread.thread.as_str())
        .bind(number(range.floor.get()))
        .bind(number(range.limit))
        .fetch_all(db)
        .await?;
    let mut rows = Vec::with_capacity(found.len());
    for row in &found {
        let stored: &str = row.try_get("id")?;
        let id = MessageId::new(stored).map_err(|_| lacking(range.thread.thread.as_str(), stored))?;
        match decode_message(row)? {
            Some(message) => rows.push((id, message)),
            None if range.kind.skips_damaged() => {}
            None => {
                let seq: Option<i64> = row.try_get("seq")?;
                let key = MessageKey { thread: range.thread.clone(), id };
                let error = damaged_message(&key, seq.and_then(counter).map(Seq::new));
                source.ranges.insert_damaged(range, error);
                return Ok(());
            }
        }
    }
    source.ranges.insert(range, rows);
    Ok(())
}

/// How many rows stand in each of the tables, and all of them counted up to a limit.
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
