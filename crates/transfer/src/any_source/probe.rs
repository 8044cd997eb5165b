//! The first bytes of a file, or the files of a folder.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{AnySource, json_head};
use crate::{TransferError, export_archive, sqlite_file, walk, zstd_stream};

/// The most bytes that are read of a file.
const HEAD: u64 = 1 << 20;
/// The most lines that are looked at.
const LINES: usize = 100;
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// A file or a folder whose format is not known yet.
#[derive(Debug)]
pub(crate) struct Probe {
    path: PathBuf,
    head: Vec<u8>,
    is_folder: bool,
}

impl Probe {
    pub(super) fn of(path: &Path) -> Result<Self, TransferError> {
        let found = fs::metadata(path).map_err(TransferError::io(path, "read"))?;
        walk::check_kind(path, &found)?;
        let mut head = Vec::new();
        if !found.is_dir() {
            let file = File::open(path).map_err(TransferError::io(path, "read"))?;
            file.take(HEAD).read_to_end(&mut head).map_err(TransferError::io(path, "read"))?;
        }
        if head.starts_with(ZSTD) {
            head = decompressed(&head);
        }
        // Some editors write a byte order mark at the start.
        if head.starts_with(b"\xef\xbb\xbf") {
            head.drain(..3);
        }
        Ok(Self { path: path.to_owned(), head, is_folder: found.is_dir() })
    }

    pub(super) const fn is_folder(&self) -> bool {
        self.is_folder
    }

    pub(super) fn is_archive(&self) -> bool {
        self.head.starts_with(export_archive::ZIP)
    }

    /// Returns the first JSON files of an archive.
    pub(super) fn entries(&self) -> Result<impl Iterator<Item = Self>, TransferError> {
        let heads = export_archive::heads(&self.path, HEAD)?;
        Ok(heads.into_iter().map(|(path, head)| Self { path, head, is_folder: false }))
    }

    /// Returns the path of a folder.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.is_folder.then_some(&*self.path)
    }

    /// Returns the files of a folder, without those that cannot be read.
    pub(super) fn files(&self) -> Result<impl Iterator<Item = Self>, TransferError> {
        let found = walk::files(&self.path, AnySource::MAX_PROBED_FILES, |_| true, &mut |_, _| {})?;
        Ok(found.files.into_iter().filter_map(|path| Self::of(&path).ok()))
    }

    /// Returns the first lines.
    pub(crate) fn first_lines(&self) -> impl Iterator<Item = &[u8]> {
        self.head.split(|byte| *byte == b'\n').take(LINES)
    }

    /// Returns the field names of each of the first lines that is a JSON object or an array of them.
    pub(crate) fn lines(&self) -> impl Iterator<Item = Vec<&str>> {
        self.first_lines().map(json_head::names)
    }

    /// Returns the field names of the first object of a JSON document.
    pub(crate) fn names(&self) -> Vec<&str> {
        json_head::names(&self.head)
    }

    /// Opens the file if it is a SQLite database.
    fn database(&self) -> Option<Connection> {
        self.head.starts_with(sqlite_file::MAGIC).then(|| sqlite_file::open(&self.path).ok()).flatten()
    }

    /// Whether the file is a SQLite database with this table or view.
    pub(crate) fn has_table(&self, name: &str) -> bool {
        let sql = "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE";
        let count = self.database().and_then(|db| db.query_row(sql, [name], |row| row.get::<_, i64>(0)).ok());
        count.is_some_and(|count| count > 0)
    }

    /// Returns the tables of a SQLite database that have all of these columns; none of another file.
    pub(crate) fn tables_with(&self, columns: &[&str]) -> Vec<String> {
        let found = self.database().and_then(|db| sqlite_file::tables_with(&db, columns).ok());
        found.unwrap_or_default()
    }
}

/// Returns the first bytes of a compressed file, which may be cut off.
fn decompressed(head: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    // An error means that the head is cut off; what was read before it is kept.
    drop(zstd_stream::decoder(head).take(HEAD).read_to_end(&mut text));
    text
}
