//! The rebuild of the folder of a tenant.

use std::{
    collections::{BTreeSet, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use tokio::task::spawn_blocking;

use super::{JsonlMirror, lines, lines::MessageLines, make_folder_of};
use throughline_core::{
    BoxError, Persistence, Result, ThreadId,
    messages::{PageFrom, Visibility},
    threads::ListThreads,
};

pub(super) async fn rebuild(mirror: &JsonlMirror, db: &Persistence) -> Result<(), BoxError> {
    let folder = mirror.folder_of(db.tenant());
    let mut made: BTreeSet<ThreadId> = BTreeSet::new();
    let there = {
        let folder = folder.clone();
        spawn_blocking(move || threads_of(&folder)).await??
    };
    let mut due: BTreeSet<ThreadId> = there;
    loop {
        due.extend(listed(db).await?);
        due.retain(|thread| !made.contains(thread));
        // A thread that becomes active during the list can move to a page that was already read. Repeat until there is no new
        // thread.
        if due.is_empty() {
            break;
        }
        for thread in std::mem::take(&mut due) {
            rebuild_file(mirror, db, &thread).await?;
            made.insert(thread);
        }
    }
    let known: HashSet<PathBuf> = made.iter().map(|thread| mirror.file_of(db.tenant(), thread)).collect();
    let _turn = mirror.turn.write().await;
    spawn_blocking(move || remove_others(&folder, &known)).await??;
    mirror.forget();
    Ok(())
}

/// Returns the listed threads.
async fn listed(db: &Persistence) -> Result<Vec<ThreadId>> {
    let mut found = Vec::new();
    let mut list = ListThreads::new(256).archived_too();
    loop {
        let page = db.threads(list.clone()).await?;
        found.extend(page.threads.into_iter().map(|entry| entry.thread));
        found.extend(page.damaged);
        match page.next {
            Some(next) => list = list.after(next),
            None => return Ok(found),
        }
    }
}

async fn rebuild_file(mirror: &JsonlMirror, db: &Persistence, thread: &ThreadId) -> Result<(), BoxError> {
    let path = mirror.file_of(db.tenant(), thread);
    // An event must not write the file between the read of the store and the write here.
    let _turn = mirror.turn.write().await;
    let mut lines = MessageLines::default();
    let mut walk = db.thread(thread).walk(PageFrom::Start, Visibility::Final);
    while let Some(message) = walk.next().await? {
        lines.put(message.seq.get(), message.id.as_str(), &lines::line(&message)?);
    }
    spawn_blocking(move || {
        make_folder_of(&path)?;
        lines.write_if_other(&path)
    })
    .await??;
    mirror.forget();
    Ok(())
}

/// Returns the threads with a file.
fn threads_of(folder: &Path) -> io::Result<BTreeSet<ThreadId>> {
    let mut threads = BTreeSet::new();
    for file in files_of(folder)? {
        threads.extend(lines::thread_of(&file)?);
    }
    Ok(threads)
}

/// Removes the files without a known or readable thread.
fn remove_others(folder: &Path, known: &HashSet<PathBuf>) -> io::Result<()> {
    for file in files_of(folder)? {
        let is_of_another = !known.contains(&file) && lines::thread_of(&file)?.is_none();
        if is_of_another {
            lines::remove(&file)?;
        }
    }
    Ok(())
}

fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    Ok(files)
}
