//! The fence transaction: determines the outcome of a transaction whose `COMMIT` got no answer.
//!
//! Each transaction stores its number in the row of its writer. An update of that row waits until the transaction
//! has committed or aborted; then the row shows the final outcome. The update is a commit too and waits for the
//! standbys.

use sqlx::{PgConnection, Row as _};

use super::{Link, link::in_time};
use crate::{
    error::{Failure, damaged},
    options::Settings,
    row_security::Reach,
    rows::{counter, number},
    transaction::{Of, begin},
    warnings::listen,
};

const RESOLVE: &str = "INSERT INTO throughline.writers AS w (writer, batch, fence_transaction_count, seen_at) VALUES ($1, 0, 1, now()) \
    ON CONFLICT (writer) DO UPDATE SET fence_transaction_count = w.fence_transaction_count + 1, seen_at = excluded.seen_at RETURNING w.batch, w.fence_transaction_count";

/// The row of a writer after a fence transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fenced {
    pub(super) was_committed: bool,
    /// How often the writer has run a fence transaction. A statement that was sent before this one commits only with a lower number.
    pub(super) fence_transaction_count: u64,
}

/// Returns whether the transaction with this number was committed.
///
/// # Errors
/// Returns the reason why the outcome cannot be determined now.
pub(super) async fn was_committed(
    settings: &Settings,
    link: &mut Link,
    writer: &str,
    number_of_batch: u64,
) -> Result<Fenced, Failure> {
    // Uses another connection than the transaction did.
    link.lose();
    let limit = settings.options.answer_limit + settings.options.wait_limit;
    let db: &mut PgConnection = link.get().await?;
    let begun = begin(settings, db, Of::Writes, Reach::none, limit).await?;
    let work = async {
        begun.say(db).await?;
        let row = sqlx::query(RESOLVE).bind(writer).fetch_one(&mut *db).await?;
        sqlx::raw_sql("COMMIT").execute(db).await?;
        let batch: i64 = row.try_get("batch")?;
        let fence_transaction_count = counter(row.try_get("fence_transaction_count")?);
        match (counter(batch), fence_transaction_count) {
            (Some(_), Some(fence_transaction_count)) => {
                Ok(Fenced { was_committed: batch >= number(number_of_batch), fence_transaction_count })
            }
            _ => Err(damaged("the row of the writer".to_owned())),
        }
    };
    let fenced = listen(in_time(limit, work)).await;
    link.set_timeline(begun.timeline);
    match fenced {
        // The WAL is sequential: a standby with this commit has everything before it. A standby that may lack this
        // commit may lack the other one too.
        (Ok(_), true) => Err(Failure::not_replicated()),
        (answer, _) => answer,
    }
}
