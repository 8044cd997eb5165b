//! Examines a file that the store must not change.

use std::path::Path;

use throughline_core::{IndexedMetadata, backend::search::Tokenizer};

use super::{
    OpenError,
    identity::{Identity, Unfit, examine as identify, not_a_database},
    migration, version,
};
use crate::{
    error::EngineError, file_guard::is_inherited, fork_barrier, metadata_index::MetadataNames,
    read_only::Access, search::State, writer::with_suffix,
};

/// The attempts to examine a closed store while other processes open and close it.
const ATTEMPTS: u32 = 5;

/// The indexes of a store: the tokenizer of its full-text index, if it has one, and the indexed metadata.
type Searchable = (Option<Tokenizer>, IndexedMetadata);

/// Returns the indexes of the store at `path`. Blocks.
pub(super) fn examine(path: &Path) -> Result<Searchable, OpenError> {
    if fork_barrier::inherits_locks() {
        return Err(OpenError::ForkedInUse { path: path.to_owned() });
    }
    if !version::is_safe(rusqlite::version_number()) {
        return Err(OpenError::UnsafeSqlite { version: rusqlite::version() });
    }
    if is_inherited(path) {
        return Err(OpenError::Forked { path: path.to_owned() });
    }
    let mut last = EngineError::Changing;
    for _ in 0..ATTEMPTS {
        let access = access(path)?;
        let examined = examine_once(&access, path);
        // Another process may have changed the file meanwhile, so that neither the answer nor the error is about it.
        if access.is_checked_after() && Access::of(path).is_ok_and(|now| now != access) {
            continue;
        }
        match examined {
            Ok(searchable) => return Ok(searchable),
            Err(Unfit::File(error)) => return Err(error),
            Err(Unfit::Engine(error)) => last = error,
        }
        if !last.is_busy() {
            break;
        }
    }
    Err(OpenError::sqlite(path, last))
}

fn access(path: &Path) -> Result<Access, OpenError> {
    match Access::of(path) {
        Ok(access @ Access::Shared(_)) if !with_suffix(path, "-shm").exists() => {
            // A writer that is about to open or close the store creates and removes both.
            match Access::of(path) {
                Ok(again) if again != access => Ok(again),
                _ if with_suffix(path, "-shm").exists() => Ok(access),
                _ => Err(OpenError::NoWalIndex { path: path.to_owned() }),
            }
        }
        Ok(access) => Ok(access),
        Err(EngineError::File { source }) if source.kind() == std::io::ErrorKind::NotFound => {
            Err(OpenError::Missing { path: path.to_owned() })
        }
        Err(EngineError::File { source }) => Err(OpenError::Io { path: path.to_owned(), source }),
        Err(error) => Err(OpenError::sqlite(path, error)),
    }
}

fn examine_once(access: &Access, path: &Path) -> Result<Searchable, Unfit> {
    let mut connection = match access.connect(path) {
        // The first pragma reads the file.
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            return Err(Unfit::File(not_a_database(path)));
        }
        connection => connection?,
    };
    let snapshot = connection.transaction()?;
    match identify(&snapshot, path)? {
        Identity::Store(migration::LATEST) => {}
        Identity::Store(found) => {
            let known = migration::LATEST;
            return Err(Unfit::File(OpenError::Older { path: path.to_owned(), found, known }));
        }
        Identity::Fresh => {
            let found = "it is an empty file".to_owned();
            return Err(Unfit::File(OpenError::Foreign { path: path.to_owned(), found }));
        }
    }
    let index = State::read(&snapshot)?;
    let has_index = index.indexed > 0 || index.complete || index.recovered.is_some();
    Ok((index.tokenizer.filter(|_| has_index), MetadataNames::read(&snapshot)?.indexed))
}
