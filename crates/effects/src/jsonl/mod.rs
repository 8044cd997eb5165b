//! A folder with the messages of a tenant, for `grep`: one file for each thread, one line for each message.

mod lines;
mod name;
mod rebuild;

use std::{
    collections::HashMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{sync::RwLock, task::spawn_blocking};

use self::{
    lines::{MessageLines, Tail},
    name::file_name,
};
use super::{Consumer, Event, Rebuilt};
use throughline_core::{
    BoxError, MessageState, Persistence, Result, TenantId, ThreadId, changes::ChangeKind,
};

/// The most files whose ends are remembered. For other files, an append reads the lines first.
const REMEMBERED: usize = 4096;

/// A consumer that mirrors final messages into a folder: `tenant-…/thread-….jsonl`. Each message is one line of JSON, in the
/// order of the thread, with its ids, sequence number, role, revision, times, content and metadata.
///
/// ```no_run
/// use throughline_effects::{Effects, JsonlMirror};
///
/// # async fn example(db: throughline_core::Persistence) -> Result<(), Box<dyn std::error::Error>> {
/// let mirror = JsonlMirror::open("mirror").await?;
/// let effects = Effects::builder(db).consumer(mirror).start().await?;
/// # effects.stop().await;
/// # Ok(())
/// # }
/// ```
///
/// No other program may write there. The folder is derived from the store, and [`rebuild`](Self::rebuild) recreates it. It shows
/// the messages that the pipeline shows, so that behind an encryption layer it has decrypted text. Everyone with access to the
/// folder can read it; the host sets the permissions.
///
/// # Names
/// Every character but `a-z`, `0-9`, `-` and `_` is `%` and two hexadecimal digits, and a long id ends in a hash: see
/// [`file_of`](Self::file_of). No id can escape from the folder, and no two ids share a file, even on file systems that ignore
/// case.
///
/// # Costs
/// A message at the end of its thread is appended and synced. An edit, a patch, a deletion, a prune and a message that was
/// finished out of order rewrite the whole file of the thread, and then rename it atomically.
///
/// # After a crash
/// [`open`](Self::open) removes partial lines. Changes after the cursor are delivered again, and change nothing if their lines
/// exist.
#[derive(Clone)]
pub struct JsonlMirror {
    name: Arc<str>,
    root: Arc<Path>,
    files: Arc<Mutex<HashMap<PathBuf, Tail>>>,
    /// Events hold it shared. A rebuild of a file holds it exclusively, from the read of the store to the write of the file.
    turn: Arc<RwLock<()>>,
}

/// The effect of an event on a file.
enum Act {
    Put { seq: u64, id: String, json: String },
    Remove { id: String },
    RemoveThrough(u64),
    RemoveAll,
}

impl JsonlMirror {
    /// Opens the folder, or creates it, and removes the partial writes of a crash.
    ///
    /// # Errors
    /// The error of the file system.
    ///
    /// # Cancel safety
    /// A dropped future continues in the background. The next call repeats the work.
    pub async fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let root: Arc<Path> = dir.into().into();
        let folder = Arc::clone(&root);
        spawn_blocking(move || prepare(&folder)).await.map_err(io::Error::other)??;
        Ok(Self { name: "jsonl-mirror".into(), root, files: Arc::default(), turn: Arc::default() })
    }

    /// Sets the name, instead of `jsonl-mirror`. A second folder needs another name, because each has its own cursor.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Returns the path of the file of a thread, even if the file does not exist.
    #[must_use]
    pub fn file_of(&self, tenant: &TenantId, thread: &ThreadId) -> PathBuf {
        let mut file = self.folder_of(tenant).join(file_name("thread-", thread.as_str()));
        file.as_mut_os_string().push(".jsonl");
        file
    }

    fn folder_of(&self, tenant: &TenantId) -> PathBuf {
        self.root.join(file_name("tenant-", tenant.as_str()))
    }

    /// Rebuilds the files of the tenant of `db` from the store: rewrites or removes the files that differ. It can run at any
    /// time. A hidden thread is on no list, and is rebuilt only if its file exists.
    ///
    /// # Errors
    /// The error of the store or the file system. Files that were rebuilt before remain.
    ///
    /// # Cancel safety
    /// A dropped future stops between two files.
    pub async fn rebuild(&self, db: &Persistence) -> Result<(), BoxError> {
        rebuild::rebuild(self, db).await
    }

    /// Runs the work on a blocking thread.
    async fn act(&self, path: PathBuf, act: Act) -> Result<(), BoxError> {
        let files = Arc::clone(&self.files);
        let _turn = self.turn.read().await;
        Ok(spawn_blocking(move || apply(&files, path, &act)).await??)
    }

    fn forget(&self) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Consumer for JsonlMirror {
    fn name(&self) -> &str {
        &self.name
    }

    async fn handle(&self, event: Event) -> Result<(), BoxError> {
        let act = match (&event.change.kind, event.message) {
            (ChangeKind::ThreadCleared { through, .. } | ChangeKind::ThreadPruned { through }, _) => {
                Act::RemoveThrough(through.get())
            }
            (ChangeKind::ThreadDeleted, _) => Act::RemoveAll,
            // The current state of the message decides, independent of the change.
            (_, Some(message)) if message.state == MessageState::Final => {
                Act::Put { seq: message.seq.get(), json: lines::line(&message)?, id: message.id.to_string() }
            }
            (kind, _) => match kind.message() {
                Some(gone) => Act::Remove { id: gone.id.to_string() },
                None => return Ok(()),
            },
        };
        self.act(self.file_of(&event.change.tenant, &event.change.thread), act).await
    }

    async fn rebuild(&self, db: &Persistence) -> Result<Rebuilt, BoxError> {
        Self::rebuild(self, db).await?;
        Ok(Rebuilt::Whole)
    }
}

fn apply(files: &Mutex<HashMap<PathBuf, Tail>>, path: PathBuf, act: &Act) -> io::Result<()> {
    // Removed during the work, so that a failure makes the next event read the file again.
    let known = files.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
    let left = match act {
        Act::Put { seq, id, json } => put(&path, known, *seq, id, json)?,
        Act::Remove { id } => change(&path, known, |lines| lines.remove(id))?,
        Act::RemoveThrough(through) => change(&path, known, |lines| lines.remove_through(*through))?,
        Act::RemoveAll => lines::remove(&path).map(|()| None)?,
    };
    if let Some(left) = left {
        let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() >= REMEMBERED {
            files.clear();
        }
        files.insert(path, left);
    }
    Ok(())
}

fn put(path: &Path, known: Option<Tail>, seq: u64, id: &str, json: &str) -> io::Result<Option<Tail>> {
    let before = match known {
        // Checked, because another program can have changed the file against the rule.
        Some(known) if fs::metadata(path).is_ok_and(|file| file.len() == known.bytes) => Some(known),
        _ => {
            make_folder_of(path)?;
            lines::tail(path)?
        }
    };
    if before.is_none_or(|before| seq > before.last_seq) {
        return lines::append(path, before, seq, json).map(Some);
    }
    change(path, before, |lines| lines.put(seq, id, json))
}

/// Rewrites the file if its lines change.
fn change(
    path: &Path,
    before: Option<Tail>,
    change: impl FnOnce(&mut MessageLines) -> bool,
) -> io::Result<Option<Tail>> {
    let mut lines = MessageLines::read(path)?;
    if change(&mut lines) { lines.write(path) } else { Ok(before) }
}

fn make_folder_of(path: &Path) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    if !folder.exists() {
        fs::create_dir_all(folder)?;
        lines::sync_folder_of(folder)?;
    }
    Ok(())
}

/// Removes the partial writes of a crash.
fn prepare(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root)?;
    for folder in folders(root)? {
        for file in fs::read_dir(folder)? {
            let file = file?.path();
            match file.extension().and_then(|extension| extension.to_str()) {
                Some(lines::UNFINISHED) => lines::remove(&file)?,
                Some("jsonl") => lines::repair(&file)?,
                _ => {}
            }
        }
    }
    Ok(())
}

/// The folders of the tenants.
fn folders(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.file_name().to_string_lossy().starts_with("tenant-") {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

impl fmt::Debug for JsonlMirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonlMirror")
            .field("name", &self.name)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}
