use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    path::PathBuf,
};

use rusqlite::Connection;
use throughline_core::Result;

use super::{BlobFolder, BlobRef, folder::sync_folder, reference::short_content};
use crate::error::EngineError;

/// Every reference, by the rows and by the index over them. Either may be damaged.
const ALL: [&str; 2] = [
    concat!("SELECT ", short_content!(), " FROM messages NOT INDEXED"),
    "SELECT content FROM messages WHERE content >= 'b'",
];

/// Copies the blobs that the rows of a file name from one folder to another, durably. A blob that is missing or damaged is so in
/// the copy too, and so is a row: verification names it. Calls `go_on` between two blobs.
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
    let mut folders = BTreeSet::new();
    for sql in ALL {
        let mut statement = db.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        loop {
            let row = match rows.next().map_err(failed) {
                Ok(Some(row)) => row,
                Err(error) if !error.is_damage() => return Err(error.into()),
                Ok(None) | Err(_) => break,
            };
            go_on()?;
            let text = row.get_ref(0).map_err(failed)?.as_str_or_null().ok().flatten();
            if let Some(blob) = text.and_then(BlobRef::parse) {
                let path = to.path_of(blob.hash());
                copy_one(&blob, from, to, &mut folders)
                    .map_err(|source| EngineError::Blob { path, source })?;
            }
        }
    }
    let mut sync = folders.iter().map(PathBuf::as_path).chain((!folders.is_empty()).then(|| to.path()));
    let synced = sync.try_for_each(sync_folder);
    Ok(synced.map_err(|source| EngineError::Blob { path: to.path().to_owned(), source })?)
}

fn copy_one(
    blob: &BlobRef,
    from: &BlobFolder,
    to: &BlobFolder,
    folders: &mut BTreeSet<PathBuf>,
) -> io::Result<()> {
    let (source, target) = (from.path_of(blob.hash()), to.path_of(blob.hash()));
    // Equal contents share a blob.
    if from.state(blob.hash())?.is_none() || to.state(blob.hash())?.is_some() {
        return Ok(());
    }
    let folder = target.parent().unwrap_or(to.path());
    if !folders.contains(folder) {
        fs::create_dir_all(folder)?;
        let permissions = fs::metadata(from.path())?.permissions();
        fs::set_permissions(to.path(), permissions.clone())?;
        fs::set_permissions(folder, permissions)?;
        folders.insert(folder.to_owned());
    }
    fs::copy(&source, &target)?;
    // Opened to be written, because another system syncs only such a file.
    File::options().read(true).write(true).open(&target)?.sync_all()
}
