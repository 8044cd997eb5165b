//! Identifies the owner of a file before the store changes anything in it.

use std::path::Path;

use rusqlite::Connection;

use super::{OpenError, migration};
use crate::{connection::APPLICATION_ID, error::EngineError};

/// The identity of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// An empty file.
    Fresh,
    /// A store with this schema.
    Store(i64),
}

/// The reason why an attempt failed: that of the engine may pass on a retry, that about the file is final.
#[derive(Debug)]
pub(super) enum Unfit {
    Engine(EngineError),
    File(OpenError),
}

impl From<EngineError> for Unfit {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error.into())
    }
}

/// Returns the error for a file of another format.
pub(super) fn not_a_database(path: &Path) -> OpenError {
    OpenError::Foreign { path: path.to_owned(), found: "it is not an SQLite database".to_owned() }
}

/// Examines the file, in a transaction of the caller, so that all answers are from one snapshot.
pub(super) fn examine(connection: &Connection, path: &Path) -> Result<Identity, Unfit> {
    let foreign = |found| Err(Unfit::File(OpenError::Foreign { path: path.to_owned(), found }));
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let application_id = match pragma("application_id") {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            return Err(Unfit::File(not_a_database(path)));
        }
        answer => answer?,
    };
    let schema = pragma("user_version")?;
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application_id == 0 && objects == 0 && schema == 0 {
        return Ok(Identity::Fresh);
    }
    if application_id != i64::from(APPLICATION_ID) {
        return foreign(format!(
            "its application id is {application_id}, and it has {objects} tables and indexes"
        ));
    }
    let known = migration::LATEST;
    if schema > known {
        return Err(Unfit::File(OpenError::Newer { path: path.to_owned(), found: schema, known }));
    }
    migration::check(connection, path, schema)?;
    Ok(Identity::Store(schema))
}
