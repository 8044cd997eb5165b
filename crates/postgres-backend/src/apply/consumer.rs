//! What consumers of the changes keep of themselves. It is no part of a thread, and so is read and written by itself.

use sqlx::{PgConnection, Row as _};
use throughline_core::{
    ChangeQuarantined, ChangeReleased, ConsumerArgs, ConsumerResult, CursorMoved, PersistError, Position,
    backend::rules,
};

use super::Outcome;
use crate::{
    error::damaged,
    queue::Write,
    rows::{counter, number},
};

/// Applies one operation. A refusal changes nothing.
pub(crate) async fn apply(
    db: &mut PgConnection,
    write: &Write,
    args: &ConsumerArgs,
) -> sqlx::Result<Result<Outcome, PersistError>> {
    let (tenant, name) = (write.tenant.as_str(), args.consumer().as_str());
    let outcome = |result, changed| Ok(Ok(Outcome { result: ConsumerResult::into(result), changed }));
    match args {
        ConsumerArgs::MoveCursor(moved) => {
            let before = cursor(db, tenant, name).await?;
            let position = match rules::move_cursor(before, moved.to, moved.expected) {
                Ok(position) => position,
                Err(refusal) => return Ok(Err(refusal)),
            };
            if position != before {
                put_cursor(db, tenant, name, position).await?;
            }
            let answer = CursorMoved { consumer: moved.consumer.clone(), position };
            outcome(ConsumerResult::MoveCursor(answer), position != before)
        }
        ConsumerArgs::ResetCursor(reset) => {
            put_cursor(db, tenant, name, reset.to).await?;
            // What comes after is told again.
            sqlx::query(
                "DELETE FROM throughline.quarantine WHERE tenant = $1 AND consumer = $2 AND position > $3",
            )
            .bind(tenant)
            .bind(name)
            .bind(number(reset.to.get()))
            .execute(db)
            .await?;
            let answer = CursorMoved { consumer: reset.consumer.clone(), position: reset.to };
            outcome(ConsumerResult::ResetCursor(answer), true)
        }
        ConsumerArgs::Quarantine(change) => {
            // Whoever passes something over is one that is kept, also where it has come nowhere yet.
            sqlx::query(
                "INSERT INTO throughline.consumers (tenant, consumer, position) VALUES ($1, $2, 0) \
                 ON CONFLICT (tenant, consumer) DO NOTHING",
            )
            .bind(tenant)
            .bind(name)
            .execute(&mut *db)
            .await?;
            sqlx::query(
                "INSERT INTO throughline.quarantine (tenant, consumer, position, at, thread, why) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, consumer, position) \
                 DO UPDATE SET at = excluded.at, thread = excluded.thread, why = excluded.why",
            )
            .bind(tenant)
            .bind(name)
            .bind(number(change.position.get()))
            .bind(write.now.as_micros())
            .bind(change.thread.as_str())
            .bind(change.why.as_bytes())
            .execute(db)
            .await?;
            let (consumer, position) = (change.consumer.clone(), change.position);
            outcome(ConsumerResult::Quarantine(ChangeQuarantined { consumer, position }), true)
        }
        ConsumerArgs::Release(change) => {
            let gone = sqlx::query(
                "DELETE FROM throughline.quarantine WHERE tenant = $1 AND consumer = $2 AND position = $3",
            )
            .bind(tenant)
            .bind(name)
            .bind(number(change.position.get()))
            .execute(db)
            .await?;
            let was_listed = gone.rows_affected() > 0;
            let (consumer, position) = (change.consumer.clone(), change.position);
            outcome(ConsumerResult::Release(ChangeReleased { consumer, position, was_listed }), was_listed)
        }
        other => {
            let what = format_args!("the operation `{}` of a consumer", other.as_str());
            Ok(Err(PersistError::unsupported(what)))
        }
    }
}

async fn cursor(db: &mut PgConnection, tenant: &str, name: &str) -> sqlx::Result<Position> {
    let row = sqlx::query("SELECT position FROM throughline.consumers WHERE tenant = $1 AND consumer = $2")
        .bind(tenant)
        .bind(name)
        .fetch_optional(db)
        .await?;
    let Some(row) = row else { return Ok(Position::ZERO) };
    let position = counter(row.try_get("position")?);
    position.map(Position::new).ok_or_else(|| damaged(format!("the cursor of the consumer `{name}`")))
}

async fn put_cursor(db: &mut PgConnection, tenant: &str, name: &str, to: Position) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO throughline.consumers (tenant, consumer, position) VALUES ($1, $2, $3) \
         ON CONFLICT (tenant, consumer) DO UPDATE SET position = excluded.position",
    )
    .bind(tenant)
    .bind(name)
    .bind(number(to.get()))
    .execute(db)
    .await
    .map(drop)
}
