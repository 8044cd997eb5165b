//! A folder with the messages of a tenant, to be searched with `grep`: one file a thread, one line a message.

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

/// How many files are remembered as they were left. Of others the lines are read before one is added.
const REMEMBERED: usize = 4096;

/// Keeps a folder as the store is: `tenant-…/thread-….jsonl`, one line of JSON for each final message, in the order of the
/// thread, with its ids, place, role, revision, times, content and metadata.
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
/// Nobody else writes there: the folder follows from the store, and [`rebuild`](Self::rebuild) makes it again. It shows
/// what the pipeline shows, so that behind an encryption layer it holds what that one decrypts. Readable by whoever may read the
/// folder: its rights are the host's to set.
///
/// # Names
/// Everything but `a-z`, `0-9`, `-` and `_` stands as `%` and two digits, and a long id ends in a hash: see
/// [`file_of`](Self::file_of). No id leads out of the folder, and none meets another, also where case is nothing.
///
/// # Costs
/// A message that comes at the end is appended and synced. An edit, a patch, a deletion, a prune and a message that was finished
/// out of turn write the file anew beside it and put it in its place: as much as the thread is long.
///
/// # After a crash
/// [`open`](Self::open) takes away what is left of a line. What was told and not taken down in the cursor is told again, and
/// changes nothing where it is there.
#[derive(Clone)]
pub struct JsonlMirror {
    name: Arc<str>,
    root: Arc<Path>,
    files: Arc<Mutex<HashMap<PathBuf, Tail>>>,
    /// Events have it together; who makes a file again from the store has it alone, from the read to the write.
    turn: Arc<RwLock<()>>,
}

/// What an event does to a file.
enum Act {
    Put { seq: u64, id: String, json: String },
    Remove { id: String },
    RemoveThrough(u64),
    RemoveAll,
}

impl JsonlMirror {
    /// Opens the folder, makes it where there is none, and takes away what a crash has left half-written.
    ///
    /// # Errors
    /// What the file system answers.
    ///
    /// # Cancel safety
    /// Dropped, it goes on by itself, and is done again the next time.
    pub async fn open(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let root: Arc<Path> = dir.into().into();
        let folder = Arc::clone(&root);
        spawn_blocking(move || prepare(&folder)).await.map_err(io::Error::other)??;
        Ok(Self { name: "jsonl-mirror".into(), root, files: Arc::default(), turn: Arc::default() })
    }

    /// Gives it another name than `jsonl-mirror`, for a second folder beside the first: each has a cursor of its own.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// The file of a thread, whether it is there or not.
    #[must_use]
    pub fn file_of(&self, tenant: &TenantId, thread: &ThreadId) -> PathBuf {
        let mut file = self.folder_of(tenant).join(file_name("thread-", thread.as_str()));
        file.as_mut_os_string().push(".jsonl");
        file
    }

    fn folder_of(&self, tenant: &TenantId) -> PathBuf {
        self.root.join(file_name("tenant-", tenant.as_str()))
    }

    /// Makes what is there of the tenant of `db` again, from the store: files that are as they should be stay, the others
    /// are written anew or go. It may be done at any time. A thread that is still being imported is on no list, and is made again
    /// only where its file is there.
    ///
    /// # Errors
    /// What the store and the file system answer. What was made again until then is.
    ///
    /// # Cancel safety
    /// Dropped, it stops between two files.
    pub async fn rebuild(&self, db: &Persistence) -> Result<(), BoxError> {
        rebuild::rebuild(self, db).await
    }

    /// Does it off the threads of the runtime.
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
        let act = match (&event.change.what, event.message) {
            (ChangeKind::ThreadCleared { through, .. } | ChangeKind::ThreadPruned { through }, _) => {
                Act::RemoveThrough(through.get())
            }
            (ChangeKind::ThreadDeleted, _) => Act::RemoveAll,
            // Whatever happened to it: what counts is what it is now.
            (_, Some(message)) if message.state == MessageState::Final => {
                Act::Put { seq: message.seq.get(), json: lines::line(&message)?, id: message.id.to_string() }
            }
            (what, _) => match what.message() {
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
    // Taken out while it is worked on: after a failure the file is looked at again.
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
        // Somebody else may have written it, against the rule.
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

/// Writes the file anew, where that changes anything.
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

/// Takes away what a crash has left half-written.
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

/// The folders of tenants.
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
