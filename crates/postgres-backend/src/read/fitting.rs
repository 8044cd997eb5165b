//! As many rows as fit into an answer: what does not is never sent.

/// The bytes of a message `m` as [`EstimatedSize`](throughline_core::backend::EstimatedSize) counts them, or a few more. The length of a
/// text is known without reading it.
macro_rules! message_size {
    () => {
        "greatest(m.content_bytes, octet_length(m.content), 0) + coalesce(octet_length(m.metadata), 0) \
         + coalesce(octet_length(m.attachments), 0) + coalesce(octet_length(m.abandon_reason), 0) + 256"
    };
}
pub(crate) use message_size;

/// Of the rows of a statement, which says the `size` of each, the first ones that have no more bytes than a parameter says, at least
/// one; of each, `found` says how many there were.
///
/// The statement has a limit and is in the `$order`, which names its columns.
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

/// How many of the rows that were found are left out of `rows`.
pub(crate) fn left_out(rows: &[sqlx::postgres::PgRow]) -> sqlx::Result<usize> {
    use sqlx::Row as _;
    let Some(first) = rows.first() else { return Ok(0) };
    let found: i64 = first.try_get("found")?;
    Ok(usize::try_from(found).unwrap_or_default().saturating_sub(rows.len()))
}
