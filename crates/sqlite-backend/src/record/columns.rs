use rusqlite::{Row, types::ValueRef};

/// Access to the columns of one row.
///
/// A column of another type than the requested one reads as `None`; the caller decides what that means.
pub(crate) trait Columns {
    fn integer(&self, index: usize) -> Option<i64>;
    fn text(&self, index: usize) -> Option<&[u8]>;
    fn is_null(&self, index: usize) -> bool;

    /// Text or NULL; `None` for any other type.
    fn optional_str(&self, index: usize) -> Option<Option<&str>> {
        if self.is_null(index) {
            return Some(None);
        }
        str::from_utf8(self.text(index)?).ok().map(Some)
    }
}

impl Columns for Row<'_> {
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
