use rusqlite::{Connection, Row, params};

/// How far the index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// The changes that it holds: all up to this one.
    pub(crate) indexed: i64,
    /// While the messages are gone through anew: the last one.
    pub(crate) swept: Option<i64>,
    /// Whether it holds every message that there was before those changes.
    pub(crate) complete: bool,
}

impl State {
    /// No index.
    pub(super) const NOTHING: Self = Self { indexed: 0, swept: None, complete: false };

    const SELECT: &str = "SELECT indexed, swept, complete FROM search_state WHERE id = 1";

    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { indexed: row.get(0)?, swept: row.get(1)?, complete: row.get(2)? })
    }

    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached(Self::SELECT)?.query_row([], Self::of)
    }

    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached("UPDATE search_state SET indexed = ?1, swept = ?2, complete = ?3 WHERE id = 1")?
            .execute(params![self.indexed, self.swept, self.complete])?;
        Ok(())
    }
}

/// Makes the tables of the index again, as they were described, without a word in them.
pub(super) fn begin_anew(connection: &Connection) -> rusqlite::Result<()> {
    let described: String = connection.query_row(
        "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = 'search'",
        [],
        |row| row.get(0),
    )?;
    connection.execute_batch("DROP TABLE search")?;
    connection.execute_batch(&described)?;
    connection.execute_batch("INSERT INTO search (search, rank) VALUES ('secure-delete', 1)")?;
    State::NOTHING.write(connection)
}
