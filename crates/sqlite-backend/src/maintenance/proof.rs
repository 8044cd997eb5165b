//! Compares a backup with the snapshot that it was copied from.

use std::path::{Path, PathBuf};

use blake3::{Hash, Hasher};
use rusqlite::{Connection, types::ValueRef};
use throughline_core::{Effect, ErrorKind, PersistError, Position, Result};

use super::{
    Backup, Source, Stop, Verification,
    backup::{Target, copy, settle},
    failed,
    verify::verify_file,
};

/// A backup that was read again, and compared with the snapshot of the store that it was copied from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProvenBackup {
    /// The backup.
    pub backup: Backup,
    /// The position of the store in the snapshot, and of the backup.
    pub position: Position,
    /// The number of rows that are equal in both, in all tables.
    pub rows: u64,
    /// The verification of the backup. It names the rows that are damaged in the store, too.
    pub verification: Verification,
}

/// Copies the store to `path`, and compares each row of the copy with the same snapshot of the store. Blocks.
pub(super) fn backup(source: &Source, path: &Path, stop: &Stop) -> Result<ProvenBackup> {
    let target = Target::of(path)?;
    let (unfinished, expected, position) = source.read(stop, |db| {
        let unfinished = target.unfinished()?;
        copy(db, &unfinished.file, || stop.check())?;
        unfinished.copy_blobs(source.path(), stop)?;
        // Still in the transaction of the copy, so that both are one snapshot.
        Ok((unfinished, digest(db, stop)?, position_of(db)?))
    })?;
    let bytes = settle(source.path(), &unfinished.file)?;
    let copied = Source::new(unfinished.file.to_path_buf().into(), true);
    let (found, found_position) = copied.read(stop, |db| Ok((digest(db, stop)?, position_of(db)?)))?;
    if found_position != position || found != expected {
        return Err(differs(path, &expected, &found));
    }
    let verification = verify_file(&copied, stop)?;
    stop.check()?;
    target.name(unfinished)?;
    let rows = expected.iter().map(|table| table.rows).sum();
    let backup = Backup { path: PathBuf::from(path), bytes };
    Ok(ProvenBackup { backup, position, rows, verification })
}

/// The rows of a table, as their number and the hash of all values.
#[derive(Debug, PartialEq, Eq)]
struct TableDigest {
    table: String,
    rows: u64,
    hash: Hash,
}

/// Returns the digest of each table, in the order of the names. No index is read.
fn digest(db: &Connection, stop: &Stop) -> Result<Vec<TableDigest>> {
    let mut statement = db
        .prepare(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow') ORDER BY name",
        )
        .map_err(failed)?;
    let names = statement.query_map([], |row| row.get(0)).map_err(failed)?;
    let names = names.collect::<rusqlite::Result<Vec<String>>>().map_err(failed)?;
    names
        .into_iter()
        .map(|table| {
            stop.check()?;
            digest_of(db, table).map_err(failed)
        })
        .collect()
}

fn digest_of(db: &Connection, table: String) -> rusqlite::Result<TableDigest> {
    let mut statement = db.prepare(&format!("SELECT * FROM \"{table}\" NOT INDEXED"))?;
    let columns = statement.column_count();
    let (mut hasher, mut rows) = (Hasher::new(), 0);
    let mut read = statement.query([])?;
    while let Some(row) = read.next()? {
        rows += 1;
        for column in 0..columns {
            add(&mut hasher, row.get_ref(column)?);
        }
    }
    Ok(TableDigest { table, rows, hash: hasher.finalize() })
}

/// Adds a value with its type and its length, so that no two lists of values have the same bytes.
fn add(hasher: &mut Hasher, value: ValueRef<'_>) {
    let mut sized = |tag: u8, bytes: &[u8]| {
        hasher.update(&[tag]).update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    match value {
        ValueRef::Null => sized(0, &[]),
        ValueRef::Integer(number) => sized(1, &number.to_le_bytes()),
        ValueRef::Real(number) => sized(2, &number.to_bits().to_le_bytes()),
        ValueRef::Text(text) => sized(3, text),
        ValueRef::Blob(bytes) => sized(4, bytes),
    }
}

fn position_of(db: &Connection) -> Result<Position> {
    let position: i64 = db.query_row("SELECT position FROM store", [], |row| row.get(0)).map_err(failed)?;
    Ok(Position::new(u64::try_from(position).unwrap_or_default()))
}

/// The error of a copy that differs, with the names of the tables.
fn differs(path: &Path, expected: &[TableDigest], found: &[TableDigest]) -> PersistError {
    let different = |table: &&TableDigest| !found.contains(table);
    let names: Vec<&str> = expected.iter().filter(different).map(|table| table.table.as_str()).collect();
    let detail = format!(
        "the backup failed: its copy for `{}` differs from the store in {}: check the disk, and repeat it",
        path.display(),
        if names.is_empty() { "its list of tables".to_owned() } else { names.join(", ") }
    );
    PersistError::new(ErrorKind::Corrupt, detail).with_effect(Effect::NotApplied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &str) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(&format!("CREATE TABLE t (a, b); INSERT INTO t VALUES {rows}")).unwrap();
        db
    }

    #[test]
    fn the_digest_differs_for_a_value_of_another_type_or_length_or_order() {
        let digest = |rows: &str| digest(&table(rows), &Stop::default()).unwrap();
        let first = digest("('ab', 'c'), (1, NULL)");
        let names: Vec<_> = first.iter().map(|table| (table.table.as_str(), table.rows)).collect();
        assert_eq!(names, [("sqlite_schema", 1), ("t", 2)]);
        assert_eq!(first, digest("('ab', 'c'), (1, NULL)"));
        for other in [
            "('a', 'bc'), (1, NULL)",
            "('ab', x'63'), (1, NULL)",
            "('ab', 'c'), (1.0, NULL)",
            "('ab', 'c'), (1, '')",
            "(1, NULL), ('ab', 'c')",
            "('ab', 'c')",
        ] {
            assert_ne!(first, digest(other), "{other}");
        }
    }
}
