/// The required columns of the table, in the order in which a row is read.
pub(super) const REQUIRED: [&str; 9] = [
    "message_id",
    "thread_id",
    "turn_id",
    "role",
    "text",
    "is_streaming",
    "attachments_json",
    "created_at",
    "updated_at",
];

/// Indexes into [`REQUIRED`].
pub(super) const MESSAGE_ID: usize = 0;
pub(super) const THREAD_ID: usize = 1;
pub(super) const CREATED_AT: usize = 7;

/// The columns of the table.
#[derive(Debug)]
pub(super) struct Columns {
    /// Unknown columns, in their order.
    pub(super) others: Vec<String>,
    /// A name for the row id; none for a table without row ids.
    pub(super) row_id: Option<&'static str>,
}

impl Columns {
    /// Sorts the column names of a table into required and other columns, or returns the missing ones. SQLite ignores
    /// the case of names.
    pub(super) fn of(names: &[String]) -> Result<Vec<String>, Vec<String>> {
        let has = |name: &str| names.iter().any(|there| there.eq_ignore_ascii_case(name));
        let missing: Vec<String> =
            REQUIRED.into_iter().filter(|name| !has(name)).map(str::to_owned).collect();
        if !missing.is_empty() {
            return Err(missing);
        }
        let is_known = |name: &str| REQUIRED.iter().any(|known| known.eq_ignore_ascii_case(name));
        Ok(names.iter().filter(|name| !is_known(name)).cloned().collect())
    }
}
