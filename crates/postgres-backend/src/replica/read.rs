//! Reads of row images: the snapshot, then the dirty set, then the change feed and the audit log.

use sqlx::{AssertSqlSafe, PgConnection, Row as _, postgres::PgRow};
use throughline_core::{
    Position, Timestamp,
    audit::{AuditEntry, AuditNumber},
    backend::replication_rules,
    replication::{Image, ImagePart, Images, ReadImages, ReplicationStatus},
};

use super::{
    Followed, Key, Part, State,
    image::{ReadImage, image},
};
use crate::{
    read::{
        Answer,
        audit::entry_as_stored,
        changes::change,
        fitting::{fitting, left_out, message_size},
    },
    rows::{counter, number},
};

/// The values of the cursor's part: within the snapshot, and after it.
pub(super) const LISTED: u32 = 1;
pub(super) const DONE: u32 = 2;

/// The rows of the snapshot that have not changed since. Changed rows are read from the dirty set.
const LIST: &str = "SELECT l.n, l.kind, l.key FROM throughline.listed l WHERE l.n > $1 AND NOT EXISTS \
    (SELECT 1 FROM throughline.touched t WHERE t.kind = l.kind AND t.key = l.key) ORDER BY l.n LIMIT $2";

const TOUCHED: &str =
    "SELECT t.n, t.kind, t.key FROM throughline.touched t WHERE t.n > $1 ORDER BY t.n LIMIT $2";

/// Returns the replication status of the store.
pub(crate) async fn status(db: &mut PgConnection) -> Answer<ReplicationStatus> {
    let state = State::read(db).await?;
    let followed = Followed::read(db, &state).await?;
    Ok(state.status(&followed))
}

/// Reads images after a cursor.
///
/// A change event comes after the whole dirty set. So the replica has the message of an event in its state at that
/// event, or later.
pub(crate) async fn images(db: &mut PgConnection, read: &ReadImages, now: Timestamp) -> Answer<Images> {
    let state = State::read(db).await?;
    let after = read.after;
    replication_rules::expect_capture(state.capture, after)?;
    let mut cursor = after;
    cursor.changes = cursor.changes.max(state.kept_after);
    let limit = read.limit as usize;
    let mut page = Page { db, images: Vec::new(), damaged: Vec::new(), bytes: 0, limit };
    if cursor.part == LISTED && page.rows(LIST, &mut cursor.row).await? {
        (cursor.part, cursor.row) = (DONE, 0);
    }
    let is_whole = cursor.part == DONE
        && page.rows(TOUCHED, &mut cursor.touched).await?
        && page.changes(&mut cursor.changes).await?
        && page.log(&mut cursor.audit).await?;
    let Page { images, damaged, .. } = page;
    let (position, kept_after) = (state.position, state.kept_after);
    if is_whole && state.replication_state.is_primary() {
        // Positions without an event advance the cursor too.
        cursor.changes = position;
    }
    Ok(Images { images, cursor, more: !is_whole, position, kept_after, damaged, at: now })
}

/// An answer under construction.
struct Page<'a> {
    db: &'a mut PgConnection,
    images: Vec<Image>,
    damaged: Vec<String>,
    bytes: usize,
    limit: usize,
}

impl Page<'_> {
    fn is_full(&self) -> bool {
        self.images.len() >= self.limit || self.bytes >= ReadImages::MAX_BYTES
    }

    fn push(&mut self, image: Image) {
        self.bytes += image.estimated_size();
        self.images.push(image);
    }

    /// Returns the limit of the next query: one more row than fits, to know whether there are more.
    fn rows_left(&self) -> i64 {
        number((self.limit - self.images.len().min(self.limit)) as u64) + 1
    }

    /// Adds the rows of a list, by number, after the cursor. Returns whether these were all.
    async fn rows(&mut self, list: &'static str, cursor: &mut u64) -> Answer<bool> {
        loop {
            if self.is_full() {
                return Ok(false);
            }
            let rows = sqlx::query(list)
                .bind(number(*cursor))
                .bind(self.rows_left())
                .fetch_all(&mut *self.db)
                .await?;
            if rows.is_empty() {
                return Ok(true);
            }
            let mut keys = rows.iter().map(listed).collect::<sqlx::Result<Vec<_>>>()?;
            self.fit(&mut keys).await?;
            let known: Vec<Key> = keys.iter().filter_map(|(_, key)| key.clone()).collect();
            let mut found = image(self.db, &known).await?;
            for (n, key) in keys {
                if self.is_full() {
                    return Ok(false);
                }
                *cursor = n;
                match key.map(|key| (found.remove(&key), key)) {
                    Some((Some(ReadImage::Image(image)), _)) => self.push(*image),
                    Some((Some(ReadImage::Damaged), key)) => {
                        let parts = key.as_str().replace(super::key::BETWEEN, "/");
                        self.damaged.push(format!("row `{parts}` of `{}`", key.part.table()));
                    }
                    // The row was deleted. Another row image or the change feed carries the deletion.
                    Some((None, _)) => {}
                    None => self.damaged.push(format!("row {n} of what is to be copied")),
                }
            }
        }
    }

    /// Removes the keys that do not fit into the answer, so that their long contents are not read.
    async fn fit(&mut self, keys: &mut Vec<(u64, Option<Key>)>) -> sqlx::Result<()> {
        const MESSAGES: &str = concat!(
            "SELECT k.i, ",
            message_size!(),
            " AS size FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (tenant, thread, id, i) \
             JOIN throughline.messages m ON m.tenant = k.tenant AND m.thread = k.thread AND m.id = k.id"
        );
        const THREADS: &str = "SELECT k.i, octet_length(t.entry)::bigint AS size \
            FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (tenant, thread, i) \
            JOIN throughline.threads t ON t.tenant = k.tenant AND t.thread = k.thread";
        let mut sizes = vec![0_usize; keys.len()];
        for (part, sql) in [(Part::Messages, MESSAGES), (Part::Threads, THREADS)] {
            let is_of = |key: &&Key| key.part == part;
            let of: Vec<(usize, &Key)> = keys
                .iter()
                .enumerate()
                .filter_map(|(at, (_, key))| Some((at, key.as_ref().filter(is_of)?)))
                .collect();
            if of.is_empty() {
                continue;
            }
            let column = |at| of.iter().map(|(_, key)| key.at(at)).collect::<Vec<_>>();
            let asked = sqlx::query(sql).bind(column(0)).bind(column(1));
            let asked = if part == Part::Messages { asked.bind(column(2)) } else { asked };
            for row in &asked.fetch_all(&mut *self.db).await? {
                let at = usize::try_from(row.try_get::<i64, _>("i")? - 1).unwrap_or_default();
                let size: Option<i64> = row.try_get("size")?;
                if let Some((at, _)) = of.get(at) {
                    sizes[*at] = size.and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
                }
            }
        }
        let mut bytes = self.bytes;
        // The last row is the one that reaches the limit.
        let is_below = |size: &usize| {
            let is_below = bytes < ReadImages::MAX_BYTES;
            bytes = bytes.saturating_add(*size);
            is_below
        };
        let fitting = sizes.iter().copied().take_while(is_below).count();
        keys.truncate(fitting.max(1));
        Ok(())
    }

    /// Adds the changes after the cursor. Returns whether these were all.
    async fn changes(&mut self, cursor: &mut Position) -> Answer<bool> {
        let rows = sqlx::query(
            "SELECT position, tenant, thread, at, kind FROM throughline.changes WHERE position > $1 \
             ORDER BY position LIMIT $2",
        )
        .bind(number(cursor.get()))
        .bind(self.rows_left())
        .fetch_all(&mut *self.db)
        .await?;
        for row in &rows {
            if self.is_full() {
                return Ok(false);
            }
            let change = change(row)?;
            *cursor = change.position;
            self.push(Image::new(change.tenant.clone(), ImagePart::Change(Box::new(change))));
        }
        Ok(!self.is_full())
    }

    /// Adds the audit records after the cursor. Returns whether these were all. A record that was tampered with is
    /// copied unchanged: the hashes reveal it in the copy too.
    async fn log(&mut self, cursor: &mut AuditNumber) -> Answer<bool> {
        let rows = "SELECT number, hash, body, octet_length(body) + 256 AS size FROM throughline.audit \
                    WHERE number > $1 ORDER BY number LIMIT $2";
        let sql = fitting!("number, hash, body", rows, "number", "$3");
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(number(cursor.get()))
            .bind(self.rows_left())
            .bind(number(ReadImages::MAX_BYTES.saturating_sub(self.bytes) as u64))
            .fetch_all(&mut *self.db)
            .await?;
        for row in &rows {
            if self.is_full() {
                return Ok(false);
            }
            let at = counter(row.try_get("number")?).unwrap_or_default();
            *cursor = AuditNumber::new(at);
            match entry_as_stored(row)? {
                Some(entry @ AuditEntry { number, .. }) if number == *cursor => {
                    self.push(Image::new(entry.record.tenant.clone(), ImagePart::Audit(Box::new(entry))));
                }
                _ => self.damaged.push(format!("entry {at} of `audit`")),
            }
        }
        Ok(!self.is_full() && left_out(&rows)? == 0)
    }
}

/// Decodes the number and the key of a row.
fn listed(row: &PgRow) -> sqlx::Result<(u64, Option<Key>)> {
    let n = counter(row.try_get("n")?).unwrap_or_default();
    Ok((n, Key::from_stored(row.try_get("kind")?, row.try_get("key")?)))
}
