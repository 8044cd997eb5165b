//! Finds out what became of a transaction of which nobody has heard after its `COMMIT` was sent.
//!
//! Each transaction leaves its number in the row of its writer. To raise another number in that row waits until the transaction
//! has ended, one way or the other; what the row says then is final. That statement is a commit too, and waits for the standbys.

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

const FENCE: &str = "INSERT INTO throughline.writers AS w (writer, batch, fences, seen_at) VALUES ($1, 0, 1, now()) \
    ON CONFLICT (writer) DO UPDATE SET fences = w.fences + 1, seen_at = excluded.seen_at RETURNING w.batch";

/// Whether the transaction of this number was committed.
///
/// # Errors
/// Why that could not be found out now.
pub(super) async fn was_committed(
    settings: &Settings,
    link: &mut Link,
    writer: &str,
    number_of_batch: u64,
) -> Result<bool, Failure> {
    // Not on the connection that it was on.
    link.lose();
    let limit = settings.options.answer_limit + settings.options.wait_limit;
    let db: &mut PgConnection = link.get().await?;
    let begun = begin(settings, db, Of::Writes, Reach::nobody, limit).await?;
    let work = async {
        begun.say(db).await?;
        let row = sqlx::query(FENCE).bind(writer).fetch_one(&mut *db).await?;
        sqlx::raw_sql("COMMIT").execute(db).await?;
        let batch: i64 = row.try_get("batch")?;
        if counter(batch).is_none() {
            return Err(damaged("the row of the writer".to_owned()));
        }
        Ok(batch >= number(number_of_batch))
    };
    let fenced = listen(in_time(limit, work)).await;
    link.leads_to(begun.timeline);
    match fenced {
        // The log is one: a standby that has this has everything before it, and one that may not have this may lack the other.
        (Ok(_), true) => Err(Failure::not_replicated()),
        (answer, _) => answer,
    }
}
