use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use throughline_core::Result;

use super::{BlobFolder, BlobRef, folder::sync_folder};
use crate::error::EngineError;

/// Every reference, each once, in the order of the index.
const ALL: &str = "SELECT DISTINCT content FROM messages WHERE content >= 'b' ORDER BY content";

/// Copies the blobs that the rows of a file name from one folder to another, durably. A blob that is missing or damaged is so in
/// the copy too: verification names it. Calls `go_on` between two blobs.
///
/// # Errors
/// The operating system refused, or `go_on` failed.
pub(crate) fn copy(
    db: &Connection,
    from: &BlobFolder,
    to: &BlobFolder,
    go_on: impl Fn() -> Result<()>,
) -> Result<()> {
    let failed = |error: rusqlite::Error| EngineError::from(error);
    let mut statement = db.prepare(ALL).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut folders = BTreeSet::new();
    while let Some(row) = rows.next().map_err(failed)? {
        go_on()?;
        let text = row.get_ref(0).map_err(failed)?.as_str().unwrap_or_default();
        let Some(blob) = BlobRef::parse(text) else { continue };
        let (source, target) = (from.path_of(blob.hash()), to.path_of(blob.hash()));
        let folder = target.parent().unwrap_or(to.path()).to_owned();
        let mut copy = || -> io::Result<()> {
            if from.state(blob.hash())?.is_none() {
                return Ok(());
            }
            if !folders.contains(&folder) {
                fs::create_dir_all(&folder)?;
                copy_permissions(from.path(), to.path())?;
                copy_permissions(from.path(), &folder)?;
            }
            folders.insert(folder.clone());
            fs::copy(&source, &target)?;
            // Opened to be written, because another system syncs only such a file.
            File::options().read(true).write(true).open(&target)?.sync_all()
        };
        copy().map_err(|source| EngineError::Blob { path: target.clone(), source })?;
    }
    let mut sync = folders.iter().map(PathBuf::as_path).chain((!folders.is_empty()).then(|| to.path()));
    let synced = sync.try_for_each(sync_folder);
    Ok(synced.map_err(|source| EngineError::Blob { path: to.path().to_owned(), source })?)
}

fn copy_permissions(from: &Path, to: &Path) -> io::Result<()> {
    match fs::metadata(from) {
        // Then the store has no blob left.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        metadata => fs::set_permissions(to, metadata?.permissions()),
    }
}
