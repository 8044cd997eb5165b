use rusqlite::{Connection, Row, params};
use throughline_core::backend::search::Tokenizer;

/// How far the index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// The changes that it holds: all up to this one.
    pub(crate) indexed: i64,
    /// While the messages are gone through again: the last one.
    pub(crate) recovered: Option<i64>,
    /// Whether it holds every message that there was before those changes.
    pub(crate) complete: bool,
    /// How it divides a text. None that this version knows, where a newer one has made it.
    pub(crate) tokenizer: Option<Tokenizer>,
}

impl State {
    const SELECT: &str = "SELECT indexed, recovered, complete, tokenizer FROM search_state WHERE id = 1";

    /// No index.
    pub(super) const fn empty(tokenizer: Option<Tokenizer>) -> Self {
        Self { indexed: 0, recovered: None, complete: false, tokenizer }
    }

    /// Whether there is no index.
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

    /// Up to which change a search with this tokenizer finds everything.
    pub(crate) fn found_up_to(&self, tokenizer: Tokenizer) -> u64 {
        let is_whole = self.complete && self.recovered.is_none() && self.tokenizer == Some(tokenizer);
        if is_whole { u64::try_from(self.indexed).unwrap_or_default() } else { 0 }
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        // A name that this version does not know is left as it is.
        let tokenizer = self.tokenizer.map(Tokenizer::as_str);
        connection
            .prepare_cached(
                "UPDATE search_state SET indexed = ?1, recovered = ?2, complete = ?3, tokenizer = coalesce(?4, tokenizer) WHERE id = 1",
            )?
            .execute(params![self.indexed, self.recovered, self.complete, tokenizer])?;
        Ok(())
    }
}

/// Makes the tables of the index again, as they were described, without a term in them.
pub(super) fn clear(connection: &Connection, tokenizer: Option<Tokenizer>) -> rusqlite::Result<()> {
    let described: String = connection.query_row(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'search'",
        [],
        |row| row.get(0),
    )?;
    connection.execute_batch("DROP TABLE search")?;
    connection.execute_batch(&described)?;
    connection.execute_batch("INSERT INTO search (search, rank) VALUES ('secure-delete', 1)")?;
    connection.execute_batch("DELETE FROM search_shards")?;
    State::empty(tokenizer).write(connection)
}
