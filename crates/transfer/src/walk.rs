//! Lists the files below a folder.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::{FindingKind, TransferError};

/// The most folders inside one another.
const MAX_DEPTH: usize = 8;

/// Returns the path of a source that exists and is a file or a folder.
pub(crate) fn source(path: &Path) -> Result<PathBuf, TransferError> {
    check_kind(path, &fs::metadata(path).map_err(TransferError::io(path, "read"))?)?;
    Ok(path.to_owned())
}

/// Refuses a pipe, a device and a socket: it may have no end, and it can be read only once.
pub(crate) fn check_kind(path: &Path, found: &fs::Metadata) -> Result<(), TransferError> {
    if found.is_file() || found.is_dir() {
        return Ok(());
    }
    Err(TransferError::NotAFile { path: path.to_owned() })
}

/// The files below a folder.
pub(crate) struct Found {
    /// The files, sorted by path.
    pub(crate) files: Vec<PathBuf>,
    /// Whether there are more files than the limit.
    pub(crate) has_more: bool,
}

/// Returns the path itself if it is a file, or the files below a folder that `takes` accepts, sorted by path and at most
/// `max`. Symbolic links are not followed: `skip` receives those that `takes` accepts, and each folder below
/// `path` that is too deep or cannot be listed.
pub(crate) fn files(
    path: &Path,
    max: usize,
    takes: impl Fn(&Path) -> bool,
    skip: &mut dyn FnMut(&Path, FindingKind),
) -> Result<Found, TransferError> {
    if !fs::metadata(path).map_err(TransferError::io(path, "read"))?.is_dir() {
        return Ok(Found { files: vec![path.to_owned()], has_more: false });
    }
    let (mut files, mut has_more) = (BTreeSet::new(), false);
    let mut folders = vec![(path.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if depth > 0 => {
                skip(&folder, FindingKind::Unreadable(error.to_string()));
                continue;
            }
            Err(error) => return Err(TransferError::io(&folder, "read")(error)),
        };
        for entry in entries {
            let entry = entry.map_err(TransferError::io(&folder, "read"))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(TransferError::io(&path, "read"))?;
            if kind.is_dir() && depth < MAX_DEPTH {
                folders.push((path, depth + 1));
            } else if kind.is_dir() {
                skip(&path, FindingKind::TooDeep { max: MAX_DEPTH });
            } else if kind.is_symlink() && takes(&path) {
                skip(&path, FindingKind::SymbolicLink);
            } else if kind.is_file() && takes(&path) {
                files.insert(path);
                if files.len() > max {
                    has_more = files.pop_last().is_some();
                }
            }
        }
    }
    Ok(Found { files: files.into_iter().collect(), has_more })
}

/// Returns whether a file has one of these extensions, in any case.
pub(crate) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    extensions.iter().any(|known| extension.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_too_deep_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let last = dir.path().join("1/2/3/4/5/6/7/8");
        fs::create_dir_all(last.join("9")).unwrap();
        fs::write(last.join("in"), "").unwrap();
        fs::write(last.join("9/out"), "").unwrap();
        let mut skipped = Vec::new();
        let skip = &mut |path: &Path, found| skipped.push((path.to_owned(), found));
        let found = files(dir.path(), 10, |_| true, skip).unwrap();
        assert_eq!(found.files, [last.join("in")]);
        assert_eq!(skipped, [(last.join("9"), FindingKind::TooDeep { max: 8 })]);
    }
}
