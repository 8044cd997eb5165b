use super::{Checksum, Columns, checksum_of};

/// The cursor of a consumer: a row of `consumers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    pub(crate) consumer_pk: i64,
    pub(crate) position: i64,
}

/// A quarantined change of a consumer: a row of `quarantine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuarantineRow<'a> {
    pub(crate) position: i64,
    pub(crate) at: i64,
    pub(crate) thread: &'a str,
    pub(crate) why: &'a str,
}

/// The columns of a cursor, as `k`, in the order in which [`Cursor::read`] expects them.
macro_rules! cursor_columns {
    () => {
        "k.consumer_pk, k.position, k.checksum"
    };
}
pub(crate) use cursor_columns;

/// The columns of a quarantined change, as `q`, in the order in which [`QuarantineRow::read`] expects them.
macro_rules! quarantine_columns {
    () => {
        "q.position, q.at, q.checksum, q.thread, q.why"
    };
}
pub(crate) use quarantine_columns;

impl Cursor {
    /// Reads the columns of [`cursor_columns!`] from `at` on; `None` if their checksum does not match.
    pub(crate) fn read(row: &impl Columns, at: usize, tenant: &str, consumer: &str) -> Option<Self> {
        let cursor = Self { consumer_pk: row.integer(at)?, position: row.integer(at + 1)? };
        (Self::checksum(tenant, consumer, cursor.position) == row.integer(at + 2)?).then_some(cursor)
    }

    pub(crate) fn checksum(tenant: &str, consumer: &str, position: i64) -> i64 {
        Checksum::new().text(tenant).text(consumer).integer(position).finish()
    }
}

impl<'a> QuarantineRow<'a> {
    /// Reads the columns of [`quarantine_columns!`] from `at` on; `None` if their checksum does not match.
    pub(crate) fn read(row: &'a impl Columns, at: usize, consumer_pk: i64) -> Option<Self> {
        let passed = Self {
            position: row.integer(at)?,
            at: row.integer(at + 1)?,
            thread: str::from_utf8(row.text(at + 3)?).ok()?,
            why: str::from_utf8(row.text(at + 4)?).ok()?,
        };
        (passed.checksum(consumer_pk) == row.integer(at + 2)?).then_some(passed)
    }

    pub(crate) fn checksum(&self, consumer_pk: i64) -> i64 {
        checksum_of!(consumer_pk; Self { position, at, thread, why } = *self)
    }
}
