use rusqlite::types::ValueRef;
use sqlx::{Row as _, sqlite::SqliteRow};

/// One row of an answer, from the writer's connection or from a reader's.
///
/// A column of another type than was asked for reads as nothing: what that means is for the caller to say.
pub(crate) trait Columns {
    fn integer(&self, index: usize) -> Option<i64>;
    fn text(&self, index: usize) -> Option<&[u8]>;
    fn is_null(&self, index: usize) -> bool;

    /// Text or NULL; nothing when it is neither.
    fn optional_str(&self, index: usize) -> Option<Option<&str>> {
        if self.is_null(index) {
            return Some(None);
        }
        str::from_utf8(self.text(index)?).ok().map(Some)
    }
}

impl Columns for rusqlite::Row<'_> {
    fn integer(&self, index: usize) -> Option<i64> {
        match self.get_ref(index) {
            Ok(ValueRef::Integer(integer)) => Some(integer),
            _ => None,
        }
    }

    fn text(&self, index: usize) -> Option<&[u8]> {
        match self.get_ref(index) {
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => Some(bytes),
            _ => None,
        }
    }

    fn is_null(&self, index: usize) -> bool {
        matches!(self.get_ref(index), Ok(ValueRef::Null))
    }
}

/// The checked getters compare types and then decode; the tables are strict, so decoding alone is enough.
impl Columns for SqliteRow {
    fn integer(&self, index: usize) -> Option<i64> {
        self.try_get_unchecked::<Option<i64>, _>(index).ok().flatten()
    }

    fn text(&self, index: usize) -> Option<&[u8]> {
        self.try_get_unchecked::<Option<&[u8]>, _>(index).ok().flatten()
    }

    fn is_null(&self, index: usize) -> bool {
        use sqlx::ValueRef as _;
        self.try_get_raw(index).is_ok_and(|value| value.is_null())
    }
}
