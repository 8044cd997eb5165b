use rusqlite::{Connection, Row, params};
use throughline_core::backend::search::Tokenizer;

/// The progress of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// The last change that it includes, with all earlier ones.
    pub(crate) indexed: i64,
    /// During a rebuild from the messages: the last indexed message.
    pub(crate) recovered: Option<i64>,
    /// Whether it includes every message from before those changes.
    pub(crate) complete: bool,
    /// Its tokenizer. `None` if a newer version created it with one that this version does not know.
    pub(crate) tokenizer: Option<Tokenizer>,
}

impl State {
    const SELECT: &str = "SELECT indexed, recovered, complete, tokenizer FROM search_state WHERE id = 1";

    /// The state without an index.
    pub(super) const fn empty(tokenizer: Option<Tokenizer>) -> Self {
        Self { indexed: 0, recovered: None, complete: false, tokenizer }
    }

    /// Returns whether there is no index.
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::empty(self.tokenizer)
    }

    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let tokenizer = Tokenizer::from_name(row.get_ref(3)?.as_str()?);
        Ok(Self { indexed: row.get(0)?, recovered: row.get(1)?, complete: row.get(2)?, tokenizer })
    }

    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached(Self::SELECT)?.query_row([], Self::of)
    }

    /// Returns the last change up to which a search with this tokenizer is complete.
    pub(crate) fn found_up_to(&self, tokenizer: Tokenizer) -> u64 {
        let is_whole = self.complete && self.recovered.is_none() && self.tokenizer == Some(tokenizer);
        if is_whole { u64::try_from(self.indexed).unwrap_or_default() } else { 0 }
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        // The name of an unknown tokenizer is not changed.
        let tokenizer = self.tokenizer.map(Tokenizer::as_str);
        connection
            .prepare_cached(
                "UPDATE search_state SET indexed = ?1, recovered = ?2, complete = ?3, tokenizer = coalesce(?4, tokenizer) WHERE id = 1",
            )?
            .execute(params![self.indexed, self.recovered, self.complete, tokenizer])?;
        Ok(())
    }
}

/// Creates the empty tables of the index again.
pub(super) fn clear(connection: &Connection, tokenizer: Option<Tokenizer>) -> rusqlite::Result<()> {
    let described: String = connection.query_row(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'search'",
        [],
        |row| row.get(0),
    )?;
    connection.execute_batch("DROP TABLE search")?;
    connection.execute_batch(&described)?;
    connection.execute_batch("INSERT INTO search (search, rank) VALUES ('secure-delete', 1)")?;
    connection.execute_batch(
        "DELETE FROM search_shards; DELETE FROM search_vocabulary; DELETE FROM search_messages; \
         DELETE FROM search_replaced",
    )?;
    State::empty(tokenizer).write(connection)
}
