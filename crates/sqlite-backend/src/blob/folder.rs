use std::{
    fmt,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use blake3::Hash;
use rusqlite::Connection;
use throughline_core::Content;

use super::BlobRef;
use crate::{
    error::EngineError,
    writer::{available, with_suffix},
};

/// The suffix that follows the name of the store's file.
pub(crate) const FOLDER_SUFFIX: &str = "-blobs";

/// The beginning of the name of a file that is being written.
const TEMPORARY: &str = ".tmp-";

/// The folder with the blobs of one store. A blob is in the subfolder of the first two digits of its hash.
#[derive(Debug, Clone)]
pub(crate) struct BlobFolder {
    store: PathBuf,
    path: PathBuf,
    /// The subfolders whose names this process knows to be durable, one bit each.
    durable: Arc<[AtomicU64; 4]>,
}

/// Why a blob has no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlobFault {
    Missing,
    /// There is a folder or a device at its path.
    NoFile,
    Length {
        found: u64,
    },
    Hash,
}

impl fmt::Display for BlobFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::NoFile => f.write_str("is no file"),
            Self::Length { found } => write!(f, "is damaged: it has {found} bytes"),
            Self::Hash => f.write_str("is damaged: its hash does not match"),
        }
    }
}

/// The number, the length and the time of change of a file, which distinguish it from another one of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileState {
    number: Option<(u64, u64)>,
    length: u64,
    pub(super) modified: SystemTime,
}

impl FileState {
    fn of(metadata: &fs::Metadata) -> io::Result<Self> {
        Ok(Self { number: number(metadata), length: metadata.len(), modified: metadata.modified()? })
    }
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "other systems have none")]
fn number(metadata: &fs::Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt as _;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn number(_: &fs::Metadata) -> Option<(u64, u64)> {
    None
}

impl BlobFolder {
    /// The folder of the store in this file.
    pub(crate) fn of_store(store: &Path) -> Self {
        Self { store: store.to_owned(), path: with_suffix(store, FOLDER_SUFFIX), durable: Arc::default() }
    }

    /// The folder of the store that a connection has open.
    pub(crate) fn of(db: &Connection) -> Self {
        Self::of_store(Path::new(db.path().unwrap_or_default()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether the store may have blobs.
    pub(crate) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Returns the path of a blob.
    pub(crate) fn path_of(&self, hash: Hash) -> PathBuf {
        self.subfolder(hash.as_bytes()[0]).join(hash.to_hex().as_str())
    }

    /// Reads a blob, and compares its length and its hash with the reference.
    ///
    /// # Errors
    /// The operating system cannot read it now.
    pub(crate) fn read(&self, reference: &BlobRef) -> Result<Result<Content, BlobFault>, EngineError> {
        let path = self.path_of(reference.hash());
        let read = || -> io::Result<Result<Vec<u8>, BlobFault>> {
            let metadata = match fs::metadata(&path) {
                Err(error) if is_absent(&error) => return Ok(Err(BlobFault::Missing)),
                found => found?,
            };
            // Before it is opened: that would wait for the writer of a named pipe.
            if !metadata.is_file() {
                return Ok(Err(BlobFault::NoFile));
            }
            let found = metadata.len();
            if found != reference.length() {
                return Ok(Err(BlobFault::Length { found }));
            }
            fs::read(&path).map(Ok)
        };
        let bytes = match read() {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(fault)) => return Ok(Err(fault)),
            Err(source) => return Err(EngineError::Blob { path, source }),
        };
        if blake3::hash(&bytes) != reference.hash() {
            return Ok(Err(BlobFault::Hash));
        }
        let content = String::from_utf8(bytes).ok().and_then(|json| Content::from_json(json).ok());
        Ok(content.ok_or(BlobFault::Hash))
    }

    /// Returns whether there is a blob of the right length whose time of change could be set to now. Another process that looked at
    /// the file before then sees that it is in use again.
    pub(super) fn touch(&self, reference: &BlobRef) -> bool {
        let is_there =
            matches!(self.state(reference.hash()), Ok(Some(state)) if state.length == reference.length());
        let touch = || {
            File::options().write(true).open(self.path_of(reference.hash()))?.set_modified(SystemTime::now())
        };
        is_there && touch().is_ok()
    }

    /// Returns the state of the file of a blob.
    pub(super) fn state(&self, hash: Hash) -> io::Result<Option<FileState>> {
        match fs::metadata(self.path_of(hash)) {
            Err(error) if is_absent(&error) => Ok(None),
            found => found.and_then(|found| found.is_file().then(|| FileState::of(&found)).transpose()),
        }
    }

    /// Writes a content to a blob durably, also over an existing file, which may be damaged. Leaves `floor` bytes of the disk
    /// free. After an error there is no blob, or one that no row names.
    ///
    /// # Errors
    /// The operating system refused, or the disk has too little space.
    pub(crate) fn write_content(&self, content: &Content, floor: u64) -> Result<BlobRef, EngineError> {
        let reference = BlobRef::of(content.as_json().as_bytes());
        self.write(&reference, content, floor)?;
        Ok(reference)
    }

    /// As [`write_content`](Self::write_content), if the reference is known.
    pub(super) fn write(
        &self,
        reference: &BlobRef,
        content: &Content,
        floor: u64,
    ) -> Result<(), EngineError> {
        let path = self.path_of(reference.hash());
        let written = self.write_to(&path, reference, content, floor);
        written.map_err(|source| EngineError::Blob { path, source })
    }

    fn write_to(&self, path: &Path, reference: &BlobRef, content: &Content, floor: u64) -> io::Result<()> {
        let folder = self.create_subfolder_of(reference.hash())?;
        if floor > 0 && available(&folder) < floor.saturating_add(reference.length()) {
            let detail = format!("the disk would have less than {floor} bytes left");
            return Err(io::Error::new(io::ErrorKind::StorageFull, detail));
        }
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&folder)?;
        file.write_all(content.as_json().as_bytes())?;
        set_mode(file.path(), self.mode()?)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|refused| refused.error)?;
        sync_folder(&folder)
    }

    /// Creates the subfolder of a blob durably, if it is missing.
    fn create_subfolder_of(&self, hash: Hash) -> io::Result<PathBuf> {
        let first = hash.as_bytes()[0];
        let folder = self.subfolder(first);
        let (known, bit) = (&self.durable[usize::from(first / 64)], 1_u64 << (first % 64));
        if known.load(Ordering::Relaxed) & bit != 0 && folder.is_dir() {
            return Ok(folder);
        }
        // Also if another process has created it just now, and not synced it yet.
        if self.create(&self.path)? || self.durable.iter().all(|known| known.load(Ordering::Relaxed) == 0) {
            sync_folder(self.path.parent().unwrap_or(&self.path))?;
        }
        self.create(&folder)?;
        sync_folder(&self.path)?;
        known.fetch_or(bit, Ordering::Relaxed);
        Ok(folder)
    }

    /// Creates a folder, and returns whether it was missing.
    fn create(&self, folder: &Path) -> io::Result<bool> {
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            created => created?,
        }
        let mode = self.mode()?;
        // A user that may read a file may enter its folder.
        set_mode(folder, mode | ((mode & 0o444) >> 2))?;
        Ok(true)
    }

    fn subfolder(&self, first: u8) -> PathBuf {
        self.path.join(format!("{first:02x}"))
    }

    /// The permissions of the store's file, which its blobs have too.
    #[cfg(unix)]
    fn mode(&self) -> io::Result<u32> {
        use std::os::unix::fs::PermissionsExt as _;
        // Without opening the file: closing it again would drop the locks that SQLite holds.
        Ok(fs::metadata(&self.store)?.permissions().mode() & 0o777)
    }

    #[cfg(not(unix))]
    #[allow(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "other systems have no such permissions"
    )]
    fn mode(&self) -> io::Result<u32> {
        Ok(0)
    }

    /// Removes a blob.
    pub(super) fn remove(&self, hash: Hash) -> io::Result<()> {
        match fs::remove_file(self.path_of(hash)) {
            Err(error) if is_absent(&error) => Ok(()),
            removed => removed,
        }
    }

    /// Returns the blobs in a subfolder, from 0 to 255, each with its state. Removes files that were being written before `old`.
    pub(super) fn list(&self, subfolder: u8, old: Option<SystemTime>) -> io::Result<Vec<(Hash, FileState)>> {
        let entries = match fs::read_dir(self.subfolder(subfolder)) {
            Err(error) if is_absent(&error) => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let state = match entry.metadata() {
                Err(error) if is_absent(&error) => continue,
                metadata => FileState::of(&metadata?)?,
            };
            if let Ok(hash) = Hash::from_hex(name)
                && hash.as_bytes()[0] == subfolder
            {
                found.push((hash, state));
            } else if name.starts_with(TEMPORARY) && old.is_some_and(|old| state.modified < old) {
                // Its process has ended, or its write fails now.
                drop(fs::remove_file(entry.path()));
            }
        }
        Ok(found)
    }

    /// Returns every blob.
    pub(crate) fn all(&self) -> impl Iterator<Item = io::Result<Hash>> + '_ {
        (0..=u8::MAX).flat_map(|subfolder| {
            let (found, error) = match self.list(subfolder, None) {
                Ok(found) => (found, None),
                Err(error) => (Vec::new(), Some(Err(error))),
            };
            found.into_iter().map(|(hash, _)| Ok(hash)).chain(error)
        })
    }
}

/// A file, or a folder on the way to it, does not exist.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Makes the names in a folder durable.
#[cfg(unix)]
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// On other systems a folder cannot be synced; their file systems keep a journal of names.
#[cfg(not(unix))]
pub(super) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
