//! Limits a result to the rows that fit into an answer. The server does not send the others.

/// The bytes of a message `m` as [`EstimatedSize`](throughline_core::backend::EstimatedSize) counts them, or
/// slightly more. Postgres knows the length of a text without reading it.
macro_rules! message_size {
    () => {
        "greatest(m.content_bytes, octet_length(m.content), 0) + coalesce(octet_length(m.metadata), 0) \
         + coalesce(octet_length(m.attachments), 0) + coalesce(octet_length(m.abandon_reason), 0) + 256"
    };
}
pub(crate) use message_size;

/// Selects the first rows of a statement whose column `size` sums to at most the bytes of a parameter, but at least
/// one row. The column `found` of each row is the number of all rows.
///
/// The statement has a limit and is sorted by `$order`, which names its columns.
macro_rules! fitting {
    ($columns:expr, $rows:expr, $order:expr, $max_bytes:expr) => {
        format!(
            "SELECT {}, found FROM (SELECT r.*, row_number() OVER w AS nth, sum(r.size) OVER w AS upto, \
             count(*) OVER () AS found FROM ({}) AS r WINDOW w AS (ORDER BY {} ROWS UNBOUNDED PRECEDING)) AS fitting \
             WHERE nth = 1 OR upto <= {} ORDER BY nth",
            $columns, $rows, $order, $max_bytes
        )
    };
}
pub(crate) use fitting;

/// Returns how many of the found rows are not in `rows`.
pub(crate) fn left_out(rows: &[sqlx::postgres::PgRow]) -> sqlx::Result<usize> {
    use sqlx::Row as _;
    let Some(first) = rows.first() else { return Ok(0) };
    let found: i64 = first.try_get("found")?;
    Ok(usize::try_from(found).unwrap_or_default().saturating_sub(rows.len()))
}
