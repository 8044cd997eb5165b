//! The export of a chat service: a JSON file, a folder or a zip archive with JSON files.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use zip::ZipArchive;

use crate::{FindingKind, Location, Progress, Report, TransferError, progress::Counted, walk};

/// The most files of a folder, and the most entries of an archive.
pub(crate) const MAX_FILES: usize = 100_000;
/// The most bytes that are decompressed from one entry.
const MAX_ENTRY_BYTES: u64 = 64 << 30;
pub(crate) const ZIP: &[u8] = b"PK\x03\x04";

/// Calls `read` with the path and the bytes of each file whose name `takes` accepts: the file itself, the files of a
/// folder, or the entries of an archive. Nothing is written, and an entry whose path leaves the archive is skipped and
/// reported. `read` returns `None` to stop.
pub(crate) fn each_file(
    path: &Path,
    takes: impl Fn(&str) -> bool,
    report: &mut Report,
    progress: &Progress,
    mut read: impl FnMut(&Path, Box<dyn Read + '_>, &mut Report) -> Result<Option<()>, TransferError>,
) -> Result<(), TransferError> {
    if is_zip(path)? {
        return match open(path) {
            Ok(archive) => each_entry(archive, path, takes, report, progress, read),
            Err(error) => reported(Err(error), path, report).map(drop),
        };
    }
    let is_taken = |path: &Path| path.file_name().and_then(|name| name.to_str()).is_some_and(&takes);
    let mut skip = |path: &Path, found| report.skip(&Location::File(path.to_owned()), found);
    let found = walk::files(path, MAX_FILES, is_taken, &mut skip)?;
    if found.has_more {
        return Err(TransferError::TooManyFiles { path: path.to_owned(), max: MAX_FILES });
    }
    for file in &found.files {
        progress.expect(fs::metadata(file).map_or(0, |found| found.len()));
    }
    for path in found.files {
        let opened = File::open(&path).map_err(TransferError::io(&path, "read"));
        let taken = opened.and_then(|file| read(&path, Box::new(Counted::new(file, progress)), report));
        if reported(taken, &path, report)?.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether a file is a zip archive.
pub(crate) fn is_archive(path: &Path) -> bool {
    is_zip(path).unwrap_or(false)
}

fn is_zip(path: &Path) -> Result<bool, TransferError> {
    if fs::metadata(path).map_err(TransferError::io(path, "read"))?.is_dir() {
        return Ok(false);
    }
    let mut head = Vec::new();
    let file = File::open(path).map_err(TransferError::io(path, "read"))?;
    file.take(ZIP.len() as u64).read_to_end(&mut head).map_err(TransferError::io(path, "read"))?;
    Ok(head == ZIP)
}

/// Reports a file that cannot be read to its end; the other files are read.
fn reported(
    taken: Result<Option<()>, TransferError>,
    path: &Path,
    report: &mut Report,
) -> Result<Option<()>, TransferError> {
    match taken {
        Err(TransferError::Io { source, .. }) => {
            report.skip(&Location::File(path.to_owned()), FindingKind::Unreadable(source.to_string()));
            Ok(Some(()))
        }
        taken => taken,
    }
}

fn each_entry(
    mut archive: ZipArchive<BufReader<File>>,
    path: &Path,
    takes: impl Fn(&str) -> bool,
    report: &mut Report,
    progress: &Progress,
    mut read: impl FnMut(&Path, Box<dyn Read + '_>, &mut Report) -> Result<Option<()>, TransferError>,
) -> Result<(), TransferError> {
    if archive.len() > MAX_FILES {
        return Err(TransferError::TooManyFiles { path: path.to_owned(), max: MAX_FILES });
    }
    let mut names = Vec::new();
    for (at, name) in archive.file_names_raw().enumerate() {
        let name = String::from_utf8_lossy(name).into_owned();
        if takes(name.rsplit(['/', '\\']).next().unwrap_or_default()) {
            names.push((name, at));
        }
    }
    names.sort();
    for (name, at) in names {
        let location = path.join(name.trim_start_matches(['/', '\\']));
        let entry = match archive.by_index(at) {
            Ok(entry) => entry,
            Err(error) => {
                report.skip(&Location::File(location), FindingKind::Unreadable(error.to_string()));
                continue;
            }
        };
        if entry.enclosed_name().is_none() {
            report.skip(&Location::File(path.to_owned()), FindingKind::UnsafePath(name));
            continue;
        }
        if entry.is_dir() {
            continue;
        }
        progress.expect(entry.size());
        let stream = Counted::new(entry.take(MAX_ENTRY_BYTES), progress);
        let taken = read(&location, Box::new(stream), report);
        if reported(taken, &location, report)?.is_none() {
            return Ok(());
        }
    }
    Ok(())
}

fn open(path: &Path) -> Result<ZipArchive<BufReader<File>>, TransferError> {
    let file = File::open(path).map_err(TransferError::io(path, "read"))?;
    let archive = ZipArchive::new(BufReader::new(file));
    archive
        .map_err(|error| TransferError::io(path, "read")(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Returns the first bytes of each JSON file in an archive.
///
/// # Errors
/// Those of an archive that cannot be listed, such as one that is cut off.
pub(crate) fn heads(path: &Path, bytes: u64) -> Result<Vec<(PathBuf, Vec<u8>)>, TransferError> {
    let archive = open(path)?;
    let mut heads = Vec::new();
    let (mut report, progress) = (Report::default(), Progress::new());
    let takes = |name: &str| name.ends_with(".json");
    each_entry(archive, path, takes, &mut report, &progress, |path, stream, _| {
        let mut head = Vec::new();
        drop(stream.take(bytes).read_to_end(&mut head));
        heads.push((path.to_owned(), head));
        Ok((heads.len() < MAX_HEADS).then_some(()))
    })?;
    Ok(heads)
}

/// The most entries of an archive that are looked at for its format.
const MAX_HEADS: usize = 20;
