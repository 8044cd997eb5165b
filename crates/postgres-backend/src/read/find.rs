//! Finds messages by a metadata field.

use sqlx::{AssertSqlSafe, Row as _, postgres::PgRow};
use throughline_core::{
    Effect, ErrorKind, IndexedMetadata, PersistError, Seq, ThreadId, Timestamp,
    backend::{index_is_incomplete, rules},
    messages::{FindCursor, FindMessages, FindOrder, FoundMessages},
};
use throughline_engine::read::{FindCriterion, FoundPage};

use super::{
    Answer, Scope,
    fitting::{fitting, left_out, message_size},
    message::Stored,
};
use crate::{
    error::damaged,
    rows::{SELECTED, counter, message_columns, number},
};

const NAME: &str = "SELECT n, is_complete FROM throughline.metadata_names WHERE name = $1";

/// The most entries of one statement.
const MOST: i64 = 1000;

impl Scope<'_> {
    /// Finds messages by a metadata field that the host has declared.
    pub(super) async fn found(
        &mut self,
        indexed: &IndexedMetadata,
        find: &FindMessages,
    ) -> Answer<FoundMessages> {
        rules::check_page(find.limit, find.max_bytes)?;
        let criterion = FindCriterion::of(find)?;
        indexed.expect(criterion.name())?;
        let name = sqlx::query(NAME).bind(criterion.name()).fetch_optional(&mut *self.db).await?;
        let Some(name) = name else {
            let name = criterion.name();
            let detail = format!(
                "another host has dropped the index of the metadata field `{name}`: open the store again"
            );
            return Err(PersistError::new(ErrorKind::Unsupported, detail)
                .with_effect(Effect::NotApplied)
                .into());
        };
        if !name.try_get::<bool, _>("is_complete")? {
            return Err(index_is_incomplete(criterion.name()).into());
        }
        let (n, value): (i32, _) = (name.try_get("n")?, criterion.index_key());
        let sql = statement(find);
        let mut page = FoundPage::new(find);
        let mut after = find.after.clone();
        let mut count = i64::from(find.limit) + 1;
        loop {
            let (at, thread, seq) = match (&after, find.order) {
                (Some(after), _) => {
                    (after.created_at.as_micros(), after.thread.as_str(), number(after.seq.get()))
                }
                (None, FindOrder::OldestFirst) => (i64::MIN, "", 0),
                (None, FindOrder::NewestFirst) => (i64::MAX, "", i64::MAX),
            };
            let query = sqlx::query(AssertSqlSafe(sql.as_str()))
                .bind(self.tenant.as_str())
                .bind(n)
                .bind(value.as_str())
                .bind(at)
                .bind(thread)
                .bind(seq)
                .bind(count)
                .bind(i64::from(find.max_bytes));
            let query = match &find.thread {
                Some(thread) => query.bind(thread.as_str()),
                None => query,
            };
            let rows = query.fetch_all(&mut *self.db).await?;
            let is_last = rows.len() < usize::try_from(count).unwrap_or(usize::MAX) && left_out(&rows)? == 0;
            let Some(last) = rows.last() else { break };
            after = Some(cursor(last)?);
            if !self.examine(&criterion, &rows, &mut page).await? || is_last {
                break;
            }
            // Entries of hidden messages were skipped, or the rest did not fit.
            count = (count * 2).min(MOST);
        }
        Ok(page.into_answer())
    }

    /// Examines entries. Returns whether the page goes on after them.
    async fn examine(
        &mut self,
        criterion: &FindCriterion<'_>,
        rows: &[PgRow],
        page: &mut FoundPage,
    ) -> Answer<bool> {
        let mut shown = Vec::new();
        let mut entries = Vec::with_capacity(rows.len());
        for row in rows {
            let stored = Stored::read(row)?;
            let floor = counter(row.try_get("floor")?).map_or(Seq::ZERO, Seq::new);
            // A message that cannot be decoded is reported as damaged.
            let is_shown = row.try_get::<bool, _>("is_living")? && stored.matches(criterion, floor);
            entries.push((cursor(row)?, is_shown));
            if is_shown {
                shown.push(stored);
            }
        }
        let mut whole = self.whole(shown).await?.into_iter();
        for (at, is_shown) in entries {
            let message = if is_shown { whole.next().transpose() } else { Ok(None) };
            if !page.has_entry() || !page.examine(at, message) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Returns the cursor of an entry.
fn cursor(row: &PgRow) -> sqlx::Result<FindCursor> {
    let thread: &str = row.try_get("thread")?;
    let seq: i64 = row.try_get("entry_seq")?;
    Ok(FindCursor {
        created_at: Timestamp::from_micros(row.try_get("entry_created_at")?),
        thread: ThreadId::new(thread).map_err(|_| damaged("the id of a stored thread".to_owned()))?,
        seq: counter(seq).map_or(Seq::ZERO, Seq::new),
    })
}

/// The statement of a find. The entries come from the index alone; the messages follow by their keys.
fn statement(find: &FindMessages) -> String {
    let (comparison, order) = match find.order {
        FindOrder::OldestFirst => (">", "ASC"),
        FindOrder::NewestFirst => ("<", "DESC"),
    };
    let (condition, by) = match find.thread {
        // The types of the parameters that only the other statement uses.
        Some(_) => (
            format!(
                "v.thread = $9 AND v.seq {comparison} $6 AND $4::bigint IS NOT NULL AND $5::text IS NOT NULL"
            ),
            format!("seq {order}"),
        ),
        None => (
            format!("(v.created_at, v.thread, v.seq) {comparison} ($4, $5, $6)"),
            format!("created_at {order}, thread {order}, seq {order}"),
        ),
    };
    let by_entry = match find.thread {
        Some(_) => format!("entry_seq {order}"),
        None => format!("entry_created_at {order}, thread {order}, entry_seq {order}"),
    };
    let rows = format!(
        concat!(
            "SELECT ",
            message_columns!(),
            ", m.content, e.created_at AS entry_created_at, e.seq AS entry_seq, t.floor, \
             NOT t.deleted AND m.seq IS NOT NULL AS is_living, ",
            message_size!(),
            " AS size FROM (SELECT v.tenant, v.thread, v.id, v.created_at, v.seq FROM throughline.metadata_values v \
             WHERE v.tenant = $1 AND v.n = $2 AND v.value = $3 AND {} ORDER BY {} LIMIT $7) AS e \
             JOIN throughline.messages m ON m.tenant = e.tenant AND m.thread = e.thread AND m.id = e.id \
             JOIN throughline.threads t ON t.tenant = e.tenant AND t.thread = e.thread ORDER BY {}"
        ),
        condition,
        by,
        by_entry.replace("thread", "e.thread")
    );
    let columns = format!("{SELECTED}, entry_created_at, entry_seq, floor, is_living");
    fitting!(columns, rows, by_entry, "$8")
}
