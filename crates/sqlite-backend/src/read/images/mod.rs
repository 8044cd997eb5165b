//! Reads a store as row images: first every row of each part by its key, then the dirty set, then the change events and
//! the audit log.

mod part;

use rusqlite::params;
use throughline_core::{
    Position, Result,
    audit::AuditNumber,
    backend::replication_rules,
    replication::{Image, ImageCursor, ImagePart, Images, ReadImages, ReplicationStatus},
};

use self::part::{Damaged, Found};
use super::{
    Scope,
    changes::every_change,
    thread::{position, progress},
};
use crate::{
    error::EngineError,
    record::{AuditRow, audit_columns, number},
    replica::{Part, capture, followed, is_empty},
};

/// Reads row images from a cursor on.
///
/// A change event follows all rows of the dirty set: a reader of the event finds its message in the state after the
/// change, or a later one.
pub(super) fn images(scope: Scope<'_>, read: &ReadImages) -> Result<Images> {
    let after = read.after;
    replication_rules::expect_capture(capture(scope.db).map_err(EngineError::from)?, after)?;
    let progress = progress(scope)?;
    let kept_after = Position::new(u64::try_from(progress.kept_after).unwrap_or_default());
    let mut page =
        Page { scope, images: Vec::new(), damaged: Vec::new(), bytes: 0, limit: read.limit as usize };
    let mut cursor = ImageCursor { changes: after.changes.max(kept_after), ..after };
    while let Some(part) = Part::from_code(cursor.part) {
        if !page.rows(part, &mut cursor)? {
            break;
        }
        (cursor.part, cursor.row) = (cursor.part + 1, 0);
    }
    let is_whole = cursor.part == Part::DONE
        && page.touched(&mut cursor)?
        && page.changes(&mut cursor)?
        && page.audit_log(&mut cursor)?;
    let Page { images, damaged, .. } = page;
    let position = position(&progress);
    if is_whole && progress.replication_state().is_primary() {
        // A commit without a change event has a position too.
        cursor.changes = position;
    }
    Ok(Images { images, cursor, more: !is_whole, position, kept_after, damaged, at: scope.now })
}

/// Returns the replication status of the store.
pub(super) fn replication_status(scope: Scope<'_>) -> Result<ReplicationStatus> {
    let progress = progress(scope)?;
    let cursor = followed(scope.db)?;
    let is_empty = is_empty(scope.db).map_err(EngineError::from)?;
    Ok(ReplicationStatus {
        replication_state: progress.replication_state(),
        cursor,
        position: position(&progress),
        is_empty,
    })
}

/// Returns whether these are the last rows: fewer than requested. The number of images does not show that, because a
/// damaged or deleted row has no image.
fn was_all<T>(rows: &[T], row_limit: i64) -> bool {
    i64::try_from(rows.len()).is_ok_and(|found| found < row_limit)
}

/// An answer that is being filled.
struct Page<'a> {
    scope: Scope<'a>,
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

    /// Returns the row limit of the next query: one more than the space that is left, to detect further rows.
    fn row_limit(&self) -> i64 {
        number((self.limit - self.images.len().min(self.limit)) as u64) + 1
    }

    fn image(&mut self, part: Part, row: i64) -> Result<()> {
        match part::image(self.scope.db, part, row).map_err(EngineError::from)? {
            Found::Image(image) => self.push(*image),
            Found::Damaged(Damaged(description)) => self.damaged.push(description),
            Found::Nothing => {}
        }
        Ok(())
    }

    /// Adds the rows of a part after the cursor. Returns whether they were the last ones.
    fn rows(&mut self, part: Part, cursor: &mut ImageCursor) -> Result<bool> {
        let (table, key) = part.table();
        let sql = format!("SELECT {key} FROM {table} WHERE {key} > ?1 ORDER BY {key} LIMIT ?2");
        let row_limit = self.row_limit();
        let keys = self.numbers::<1>(&sql, [number(cursor.row), row_limit])?;
        let is_end = was_all(&keys, row_limit);
        for [row] in keys {
            if self.is_full() {
                return Ok(false);
            }
            self.image(part, row)?;
            cursor.row = u64::try_from(row).unwrap_or_default();
        }
        Ok(is_end && !self.is_full())
    }

    /// Adds the rows of the dirty set after the cursor. Returns whether they were the last ones.
    fn touched(&mut self, cursor: &mut ImageCursor) -> Result<bool> {
        let sql = "SELECT n, kind, row FROM touched WHERE n > ?1 ORDER BY n LIMIT ?2";
        let row_limit = self.row_limit();
        let touched = self.numbers::<3>(sql, [number(cursor.touched), row_limit])?;
        let is_end = was_all(&touched, row_limit);
        for [n, kind, row] in touched {
            if self.is_full() {
                return Ok(false);
            }
            if let Some(part) = u32::try_from(kind).ok().and_then(Part::from_code) {
                self.image(part, row)?;
            }
            cursor.touched = u64::try_from(n).unwrap_or_default();
        }
        Ok(is_end && !self.is_full())
    }

    /// Adds the change events after the cursor. Returns whether they were the last ones.
    fn changes(&mut self, cursor: &mut ImageCursor) -> Result<bool> {
        for change in every_change(self.scope, cursor.changes, self.row_limit())? {
            if self.is_full() {
                return Ok(false);
            }
            cursor.changes = change.position;
            self.push(Image::new(change.tenant.clone(), ImagePart::Change(Box::new(change))));
        }
        Ok(!self.is_full())
    }

    /// Adds the audit records after the cursor. Returns whether they were the last ones. A modified record is copied
    /// unchanged: its hash reveals that on the replica as it does here.
    fn audit_log(&mut self, cursor: &mut ImageCursor) -> Result<bool> {
        const SQL: &str = concat!(
            "SELECT ",
            audit_columns!(),
            " FROM audit l WHERE l.number > ?1 ORDER BY l.number LIMIT ?2"
        );
        let (db, row_limit) = (self.scope.db, self.row_limit());
        let mut statement = db.prepare_cached(SQL).map_err(EngineError::from)?;
        let mut rows =
            statement.query(params![number(cursor.audit.get()), row_limit]).map_err(EngineError::from)?;
        let mut read = 0;
        while let Some(row) = rows.next().map_err(EngineError::from)? {
            if self.is_full() {
                return Ok(false);
            }
            let at: i64 = row.get(0).map_err(EngineError::from)?;
            (read, cursor.audit) = (read + 1, AuditNumber::new(u64::try_from(at).unwrap_or_default()));
            match AuditRow::read_as_stored(row, 0) {
                Some(entry) if entry.number == cursor.audit => {
                    self.push(Image::new(entry.record.tenant.clone(), ImagePart::Audit(Box::new(entry))));
                }
                _ => self.damaged.push(format!("entry {at} of `audit`")),
            }
        }
        Ok(read < row_limit && !self.is_full())
    }

    fn numbers<const N: usize>(&self, sql: &str, [after, limit]: [i64; 2]) -> Result<Vec<[i64; N]>> {
        let read = || -> rusqlite::Result<Vec<[i64; N]>> {
            let mut statement = self.scope.db.prepare_cached(sql)?;
            let rows = statement.query_map(params![after, limit], |row| {
                let mut numbers = [0; N];
                for (column, number) in numbers.iter_mut().enumerate() {
                    *number = row.get(column)?;
                }
                Ok(numbers)
            })?;
            rows.collect()
        };
        Ok(read().map_err(EngineError::from)?)
    }
}
