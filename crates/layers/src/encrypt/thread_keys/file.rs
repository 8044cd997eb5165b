use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{KeysFuture, Listed, ThreadKey, ThreadKeys, WrappedKey};
use throughline_core::{Effect, ErrorKind, PersistError, Result, TenantId, ThreadId};

/// Thread keys in a folder, one small file each. A clone uses the same folder, and so can another process.
///
/// To destroy a key, it overwrites and syncs the key's file, and then records the destruction in it. It cannot reach
/// old blocks that a file system or a disk keeps (snapshots, wear leveling): a host that must guarantee their
/// destruction keeps the keys in a key service.
///
/// A list of all keys reads the folder at its first page, and again after five minutes; it reads each file once. Until
/// the last page it keeps 32 bytes for each file in memory.
///
/// ```
/// use throughline_layers::encrypt::thread_keys::FileThreadKeys;
///
/// # let folder = std::env::temp_dir().join(format!("throughline-keys-{}", std::process::id()));
/// let keys = FileThreadKeys::open(&folder)?;
/// # drop(keys); std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), throughline_core::PersistError>(())
/// ```
#[derive(Debug, Clone)]
pub struct FileThreadKeys {
    folder: Arc<Path>,
    /// The file names, from the first page of a list to its last.
    listed: Arc<Mutex<Option<Snapshot>>>,
}

/// The names of the files, in order.
#[derive(Debug, Clone)]
struct Snapshot {
    names: Arc<[Name]>,
    /// The time at which the read of the folder started.
    read_at: Instant,
}

/// The age at which a list reads the folder again: the list that made the snapshot may have ended early.
const MAX_AGE: Duration = Duration::from_secs(300);

/// The name of a file: a hash of the ids.
type Name = [u8; blake3::OUT_LEN];

/// The content of a file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    tenant: TenantId,
    thread: ThreadId,
    /// None for a destroyed key.
    key: Option<WrappedKey>,
}

impl FileThreadKeys {
    /// Opens `folder` as a store of thread keys, and creates it if it is missing. On Unix a new folder and the files
    /// are accessible to their owner only.
    ///
    /// # Errors
    /// `Unavailable` when the folder cannot be created or used.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let folder = folder.as_ref();
        builder.create(folder).and_then(|()| lock(folder)).map_err(failed)?;
        Ok(Self { folder: folder.into(), listed: Arc::default() })
    }

    /// Runs blocking work on the blocking thread pool.
    fn run<'a, T: Send + 'static>(
        &'a self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> KeysFuture<'a, T> {
        let folder = Arc::clone(&self.folder);
        Box::pin(async move {
            match tokio::task::spawn_blocking(move || work(&folder)).await {
                Ok(done) => done.map_err(failed),
                Err(_) => Err(PersistError::new(ErrorKind::Cancelled, "the runtime is shutting down")),
            }
        })
    }
}

fn failed(error: io::Error) -> PersistError {
    let kind =
        if error.kind() == io::ErrorKind::InvalidData { ErrorKind::Corrupt } else { ErrorKind::Unavailable };
    PersistError::new(kind, "the keys of threads cannot be read or written")
        .with_effect(Effect::NotApplied)
        .with_source(error)
}

/// Returns options to create a file that is accessible to its owner only.
fn own() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Takes the exclusive lock for a change, also against other processes; dropping the file releases it.
fn lock(folder: &Path) -> io::Result<File> {
    let file = own().create(true).truncate(false).open(folder.join("lock"))?;
    file.lock()?;
    Ok(file)
}

/// Returns the hash of the ids, because ids may contain characters that file names must not.
fn name(tenant: &TenantId, thread: &ThreadId) -> Name {
    let mut hasher = blake3::Hasher::new();
    for id in [tenant.as_str(), thread.as_str()] {
        hasher.update(&(id.len() as u64).to_be_bytes()).update(id.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

fn path_of(folder: &Path, name: Name) -> PathBuf {
    folder.join(format!("{}.key", blake3::Hash::from_bytes(name).to_hex()))
}

fn path(folder: &Path, tenant: &TenantId, thread: &ThreadId) -> PathBuf {
    path_of(folder, name(tenant, thread))
}

impl Snapshot {
    fn read(folder: &Path) -> io::Result<Self> {
        let read_at = Instant::now();
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let file = entry?.file_name();
            let hash = file.to_str().and_then(|file| file.strip_suffix(".key"));
            names
                .extend(hash.and_then(|hash| blake3::Hash::from_hex(hash).ok()).map(|hash| *hash.as_bytes()));
        }
        names.sort_unstable();
        Ok(Self { names: names.into(), read_at })
    }

    fn is_recent(&self, now: Instant) -> bool {
        now.duration_since(self.read_at) < MAX_AGE
    }

    /// Keeps the snapshot for the next page, or drops it after the last page. The later snapshot of another list stays,
    /// because that list may need keys that this snapshot lacks.
    fn keep(self, kept: &mut Option<Self>, goes_on: bool) {
        let stays = |other: &Self| {
            !Arc::ptr_eq(&other.names, &self.names) && (!goes_on || other.read_at > self.read_at)
        };
        if !kept.as_ref().is_some_and(stays) {
            *kept = goes_on.then_some(self);
        }
    }
}

fn read(path: &Path) -> io::Result<Option<Record>> {
    match fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(record) => Ok(Some(record)),
            Err(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "the file is damaged")),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a record. A damaged record may be in the middle of its destruction, so it waits for the lock and reads again.
fn read_settled(folder: &Path, path: &Path) -> io::Result<Option<Record>> {
    match read(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            let _held = lock(folder)?;
            read(path)
        }
        answer => answer,
    }
}

/// Replaces a record atomically and durably, and overwrites the previous file.
fn write(folder: &Path, path: &Path, record: &Record) -> io::Result<()> {
    let new = path.with_extension("new");
    // A file that an interrupted write left.
    wipe(&new)?;
    let mut file = own().create(true).truncate(true).open(&new)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    file.sync_all()?;
    // On other systems, an open file cannot always be replaced.
    #[cfg(unix)]
    let before = match OpenOptions::new().write(true).open(path) {
        Ok(before) => Some(before),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    fs::rename(&new, path)?;
    // Where a folder cannot be synced, as on Windows, the rename is only as durable as the system makes it.
    #[cfg(unix)]
    {
        File::open(folder)?.sync_all()?;
        before.map_or(Ok(()), overwrite)?;
    }
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Overwrites the content of a file.
fn wipe(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).open(path) {
        Ok(file) => overwrite(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn overwrite(mut file: File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    file.write_all(&vec![b' '; length])?;
    file.sync_all()
}

fn state_of(record: Option<Record>, tenant: &TenantId, thread: &ThreadId) -> io::Result<ThreadKey> {
    match record {
        None => Ok(ThreadKey::Missing),
        Some(record) if record.tenant != *tenant || record.thread != *thread => {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the file is of another thread"))
        }
        Some(Record { key: None, .. }) => Ok(ThreadKey::Destroyed),
        Some(Record { key: Some(key), .. }) => Ok(ThreadKey::Kept(key)),
    }
}

impl ThreadKeys for FileThreadKeys {
    fn get<'a>(&'a self, tenant: &'a TenantId, thread: &'a ThreadId) -> KeysFuture<'a, ThreadKey> {
        let (tenant, thread) = (tenant.clone(), thread.clone());
        self.run(move |folder| {
            state_of(read_settled(folder, &path(folder, &tenant, &thread))?, &tenant, &thread)
        })
    }

    fn create<'a>(
        &'a self,
        tenant: &'a TenantId,
        thread: &'a ThreadId,
        key: WrappedKey,
    ) -> KeysFuture<'a, ThreadKey> {
        let (tenant, thread) = (tenant.clone(), thread.clone());
        self.run(move |folder| {
            let _held = lock(folder)?;
            let path = path(folder, &tenant, &thread);
            match state_of(read(&path)?, &tenant, &thread)? {
                ThreadKey::Missing => {
                    write(folder, &path, &Record { tenant, thread, key: Some(key.clone()) })?;
                    Ok(ThreadKey::Kept(key))
                }
                existing => Ok(existing),
            }
        })
    }

    fn replace<'a>(
        &'a self,
        tenant: &'a TenantId,
        thread: &'a ThreadId,
        from: &'a WrappedKey,
        to: WrappedKey,
    ) -> KeysFuture<'a, bool> {
        let (tenant, thread, from) = (tenant.clone(), thread.clone(), from.clone());
        self.run(move |folder| {
            let _held = lock(folder)?;
            let path = path(folder, &tenant, &thread);
            if state_of(read(&path)?, &tenant, &thread)? != ThreadKey::Kept(from) {
                return Ok(false);
            }
            write(folder, &path, &Record { tenant, thread, key: Some(to) })?;
            Ok(true)
        })
    }

    fn destroy<'a>(&'a self, tenant: &'a TenantId, thread: &'a ThreadId) -> KeysFuture<'a, ()> {
        let (tenant, thread) = (tenant.clone(), thread.clone());
        self.run(move |folder| {
            let _held = lock(folder)?;
            let path = path(folder, &tenant, &thread);
            wipe(&path.with_extension("new"))?;
            wipe(&path)?;
            write(folder, &path, &Record { tenant, thread, key: None })
        })
    }

    fn list<'a>(&'a self, after: Option<&'a (TenantId, ThreadId)>, limit: usize) -> KeysFuture<'a, Listed> {
        let (after, kept) = (after.cloned(), Arc::clone(&self.listed));
        self.run(move |folder| {
            let known = kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let snapshot = match known.filter(|known| after.is_some() && known.is_recent(Instant::now())) {
                Some(known) => known,
                None => Snapshot::read(folder)?,
            };
            let from = after.map_or(0, |(tenant, thread)| {
                let last = name(&tenant, &thread);
                snapshot.names.partition_point(|name| *name <= last)
            });
            let mut listed = Listed::default();
            for file in &snapshot.names[from..] {
                if listed.keys.len() == limit {
                    break;
                }
                let path = path_of(folder, *file);
                match read_settled(folder, &path) {
                    // The next page continues after the ids of the last key; the ids of a misplaced file would continue
                    // elsewhere.
                    Ok(Some(Record { tenant, thread, .. })) if name(&tenant, &thread) != *file => {
                        listed.damaged.push(label(&path));
                    }
                    Ok(Some(Record { tenant, thread, key: Some(key) })) => {
                        listed.keys.push(((tenant, thread), key));
                    }
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                        listed.damaged.push(label(&path));
                    }
                    Err(error) => return Err(error),
                }
            }
            let goes_on = listed.keys.len() == limit;
            snapshot.keep(&mut kept.lock().unwrap_or_else(PoisonError::into_inner), goes_on);
            Ok(listed)
        })
    }
}

/// Returns the name of a file.
fn label(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens a separate folder for each test.
    fn open(name: &str) -> FileThreadKeys {
        let folder = std::env::temp_dir().join(format!("throughline-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        FileThreadKeys::open(folder).unwrap()
    }

    fn key(ciphertext: &str) -> WrappedKey {
        serde_json::from_str(&format!(r#"{{"id":"t.1","ciphertext":"{ciphertext}"}}"#)).unwrap()
    }

    #[tokio::test]
    async fn the_first_key_is_kept_and_a_destroyed_key_cannot_be_created_again() {
        let keys = open("first");
        let (tenant, thread) = (TenantId::default(), "a/../b".parse().unwrap());
        assert_eq!(keys.get(&tenant, &thread).await.unwrap(), ThreadKey::Missing);
        let first = keys.create(&tenant, &thread, key("1")).await.unwrap();
        assert_eq!(first, ThreadKey::Kept(key("1")));
        assert_eq!(keys.create(&tenant, &thread, key("2")).await.unwrap(), first);
        assert!(!keys.replace(&tenant, &thread, &key("2"), key("3")).await.unwrap());
        assert!(keys.replace(&tenant, &thread, &key("1"), key("3")).await.unwrap());
        // Another process reads the same record.
        let again = FileThreadKeys::open(&*keys.folder).unwrap();
        assert_eq!(again.get(&tenant, &thread).await.unwrap(), ThreadKey::Kept(key("3")));
        keys.destroy(&tenant, &thread).await.unwrap();
        assert_eq!(again.create(&tenant, &thread, key("4")).await.unwrap(), ThreadKey::Destroyed);
        assert!(!again.replace(&tenant, &thread, &key("3"), key("4")).await.unwrap());
        assert_eq!(again.list(None, 10).await.unwrap(), Listed::default());
        fs::remove_dir_all(&*keys.folder).unwrap();
    }

    #[tokio::test]
    async fn a_list_has_pages_and_reports_a_damaged_file() {
        let keys = open("pages");
        let tenant = TenantId::default();
        for number in 0..5 {
            let thread = format!("t{number}").parse().unwrap();
            keys.create(&tenant, &thread, key("1")).await.unwrap();
        }
        let mut after = None;
        let mut seen = Vec::new();
        loop {
            let page = keys.list(after.as_ref(), 2).await.unwrap();
            let Some(last) = page.keys.last() else { break };
            after = Some(last.0.clone());
            seen.extend(page.keys.into_iter().map(|((_, thread), _)| thread));
        }
        seen.sort();
        assert_eq!(seen.iter().map(ThreadId::as_str).collect::<Vec<_>>(), ["t0", "t1", "t2", "t3", "t4"]);
        fs::write(path(&keys.folder, &tenant, &seen[0]), "{").unwrap();
        assert_eq!(keys.get(&tenant, &seen[0]).await.unwrap_err().kind(), ErrorKind::Corrupt);
        // In a list the damaged file hides no other, and appears once.
        let first = keys.list(None, 2).await.unwrap();
        let last = keys.list(Some(&first.keys[1].0), 3).await.unwrap();
        let damaged = [first.damaged, last.damaged].concat();
        assert_eq!(first.keys.len() + last.keys.len(), 4);
        assert_eq!(damaged, [label(&path(&keys.folder, &tenant, &seen[0]))]);
        // A copy under the name of another file is not accepted as its key.
        fs::copy(path(&keys.folder, &tenant, &seen[1]), path(&keys.folder, &tenant, &seen[2])).unwrap();
        assert_eq!(keys.get(&tenant, &seen[2]).await.unwrap_err().kind(), ErrorKind::Corrupt);
        fs::remove_dir_all(&*keys.folder).unwrap();
    }

    #[tokio::test]
    async fn a_list_ends_although_a_file_is_misplaced() {
        let keys = open("misplaced");
        let tenant = TenantId::default();
        let mut threads: Vec<ThreadId> = (0..4).map(|number| format!("t{number}").parse().unwrap()).collect();
        threads.sort_by_key(|thread| name(&tenant, thread));
        for thread in &threads {
            keys.create(&tenant, thread, key("1")).await.unwrap();
        }
        // The file of the last key is overwritten with the first, and the one of the first with the last.
        let [first, .., last] = &threads[..] else { unreachable!() };
        let [first, last] = [first, last].map(|thread| path(&keys.folder, &tenant, thread));
        let other = fs::read(&first).unwrap();
        fs::copy(&last, &first).unwrap();
        fs::write(&last, other).unwrap();
        let (mut after, mut seen, mut damaged) = (None, Vec::new(), Vec::new());
        for _ in 0..4 {
            let page = keys.list(after.as_ref(), 1).await.unwrap();
            damaged.extend(page.damaged);
            let Some((owner, _)) = page.keys.into_iter().next() else { break };
            seen.push(owner.1.clone());
            after = Some(owner);
        }
        assert_eq!((seen, damaged), (threads[1..3].to_vec(), vec![label(&first), label(&last)]));
        fs::remove_dir_all(&*keys.folder).unwrap();
    }

    #[test]
    fn the_snapshot_of_a_later_list_is_not_replaced_by_an_earlier_one() {
        let begin = Instant::now();
        let snapshot = |seconds: u64, file: u8| Snapshot {
            names: vec![[file; blake3::OUT_LEN]].into(),
            read_at: begin + Duration::from_secs(seconds),
        };
        let (earlier, later) = (snapshot(0, 1), snapshot(1, 2));
        let mut kept = None;
        earlier.clone().keep(&mut kept, true);
        later.clone().keep(&mut kept, true);
        for goes_on in [true, false] {
            earlier.clone().keep(&mut kept, goes_on);
            assert!(Arc::ptr_eq(&kept.as_ref().unwrap().names, &later.names), "{goes_on}");
        }
        assert!(later.is_recent(begin + MAX_AGE) && !earlier.is_recent(begin + MAX_AGE));
        later.keep(&mut kept, false);
        assert!(kept.is_none());
    }
}
