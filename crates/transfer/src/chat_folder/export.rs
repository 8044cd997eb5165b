//! Writes the threads of a tenant as a folder of chats.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use throughline_core::{Metadata, Persistence, Role, TenantId, messages::ImportRow, threads::ThreadSummary};

use super::{
    ChatId, SCHEMA_VERSION, TRANSCRIPT,
    catalog::{self, Catalog},
    facts::Facts,
    line::{is_opaque, line_of},
    turn::{Before, LINE},
};
use crate::{
    FindingKind, Location, Report, TransferError,
    output::{self, Output, blocking},
    stored,
};

/// The most messages of one line; a line also has a limit of bytes, unless a single message is larger. A reader reads a
/// line as a whole.
const ROWS: usize = 200;
const BYTES: usize = 1 << 20;

pub(super) async fn export(dir: &Path, fields: &Metadata, db: &Persistence) -> Result<Report, TransferError> {
    let folder = dir.to_owned();
    let _alone = blocking(move || alone(&folder)).await?;
    let (folder, tenant) = (dir.to_owned(), db.tenant().clone());
    let before = blocking(move || prepare(&folder, &tenant)).await?;
    let mut report = Report::default();
    let mut entries = Vec::new();
    let mut folders = HashMap::new();
    let (threads, damaged) = stored::every_thread(db).await?;
    // The chats of threads that exist, but could not be read. The report may not list all of them.
    let mut unreadable: BTreeSet<ChatId> = damaged.iter().map(ChatId::of).collect();
    for thread in damaged {
        report.skip(&Location::Thread(thread), FindingKind::Damaged);
    }
    for thread in threads {
        let id = ChatId::of(&thread);
        match folders.entry(id) {
            Entry::Vacant(free) => drop(free.insert(thread.clone())),
            Entry::Occupied(taken) => {
                // Its id is the name that is derived from another thread's id: no thread overwrites another.
                let found = FindingKind::FolderTaken(taken.get().clone());
                report.skip(&Location::Thread(thread), found);
                unreadable.insert(id);
                continue;
            }
        }
        let Some(summary) = stored::summary(db, &thread).await? else {
            report.skip(&Location::Thread(thread), FindingKind::Deleted);
            continue;
        };
        match write(dir, id, summary, db, &mut report).await? {
            Written::Entry(entry) => {
                entries.push((id, entry));
                report.threads += 1;
            }
            Written::Unreadable => drop(unreadable.insert(id)),
            Written::Deleted => {}
        }
    }
    let (dir, tenant, fields) = (dir.to_owned(), db.tenant().clone(), fields.clone());
    let written = Threads { entries, unreadable };
    blocking(move || finish(&dir, &tenant, before, written, &fields, report)).await
}

/// Locks the folder against other exports, of this process and of others, until the file is closed. The lock leaves no
/// file and ends with the process. A folder that cannot be locked is not protected.
fn alone(dir: &Path) -> Result<Option<File>, TransferError> {
    if cfg!(not(unix)) {
        return Ok(None);
    }
    let folder = File::open(dir).map_err(TransferError::io(dir, "read"))?;
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(TransferError::ExportUnderWay { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(TryLockError::Error(error)) => Err(TransferError::io(dir, "locked")(error)),
    }
}

/// Prepares the folder for an export, if it may be one.
fn prepare(dir: &Path, tenant: &TenantId) -> Result<Catalog, TransferError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(TransferError::io(dir, "read"))? {
        let name = entry.map_err(TransferError::io(dir, "read"))?.file_name();
        if !name.to_string_lossy().starts_with(output::UNFINISHED) {
            names.push(name);
        }
    }
    names.sort();
    let foreign = |found: PathBuf| TransferError::NotAnExport { path: dir.to_owned(), found };
    match (Catalog::read(dir)?, names.into_iter().next()) {
        (Some(catalog), _) => {
            let path = catalog::path(dir);
            if let Some(version) = catalog.newer {
                return Err(TransferError::NewerSchema { path, version, known: SCHEMA_VERSION });
            }
            match &catalog.export_of {
                None => return Err(foreign(path)),
                Some(other) if other != tenant => {
                    return Err(TransferError::ExportOfAnother {
                        path: dir.to_owned(),
                        tenant: other.clone(),
                    });
                }
                Some(_) => {}
            }
            remove_unfinished(dir)?;
            Ok(catalog)
        }
        (None, Some(name)) => Err(foreign(dir.join(name))),
        (None, None) => {
            remove_unfinished(dir)?;
            // From here on, an interrupted export is recognized as one.
            output::write(catalog::path(dir), &Catalog::text(tenant, 0, &[], &Metadata::new()))?;
            Ok(Catalog::default())
        }
    }
}

/// The threads of an export.
struct Threads {
    /// The catalog entries of the written threads.
    entries: Vec<(ChatId, String)>,
    /// The threads that exist, but could not be read.
    unreadable: BTreeSet<ChatId>,
}

/// The result of writing one thread.
enum Written {
    /// Its entry in the catalog.
    Entry(String),
    /// A part of it cannot be read.
    Unreadable,
    /// It was deleted meanwhile.
    Deleted,
}

/// Writes the transcript of a thread and returns its entry in the catalog.
async fn write(
    dir: &Path,
    id: ChatId,
    mut thread: ThreadSummary,
    db: &Persistence,
    report: &mut Report,
) -> Result<Written, TransferError> {
    let folder = dir.join(id.to_string());
    loop {
        let facts = Facts::of(&thread);
        let header = facts.header(id);
        let (mut messages, mut open) = (0, Vec::new());
        let mut transcript = Transcript::begin(folder.clone(), &thread).await?;
        transcript.output.line(&header).await?;
        let mut names = stored::aliases(db, &thread.thread).await?;
        let mut stored = stored::Messages::of(db, &thread.thread);
        loop {
            let message = match stored.next().await? {
                Ok(Some(message)) => message,
                Ok(None) => break,
                Err(error) => {
                    drop(transcript);
                    report.skip(&Location::Thread(thread.thread), FindingKind::Refused(error));
                    leave(folder).await?;
                    return Ok(Written::Unreadable);
                }
            };
            let location = Location::Message { thread: message.thread.clone(), message: message.id.clone() };
            match ImportRow::of(message) {
                Some(row) => {
                    messages += 1;
                    let origin = names.remove(&row.id).and_then(|origins| origins.into_iter().next());
                    transcript.add(row.with_origin(origin.unwrap_or_default())).await?;
                }
                None => open.push(location),
            }
        }
        transcript.flush().await?;
        let Some(now) = stored::summary(db, &thread.thread).await? else {
            drop(transcript);
            report.skip(&Location::Thread(thread.thread), FindingKind::Deleted);
            leave(folder).await?;
            return Ok(Written::Deleted);
        };
        if now.generation != thread.generation {
            thread = now;
            continue;
        }
        let turns = transcript.turns;
        transcript.output.finish().await?;
        report.messages += messages;
        open.iter().for_each(|location| report.skip(location, FindingKind::Open));
        return Ok(Written::Entry(facts.entry(id, &header, &thread, turns)));
    }
}

/// Keeps the transcript of an earlier export; removes the folder if it is empty.
async fn leave(folder: PathBuf) -> Result<(), TransferError> {
    blocking(move || {
        drop(fs::remove_dir(&folder));
        Ok(())
    })
    .await
}

/// Removes the unfinished files of an interrupted export.
fn remove_unfinished(folder: &Path) -> Result<(), TransferError> {
    for entry in fs::read_dir(folder).map_err(TransferError::io(folder, "read"))? {
        let entry = entry.map_err(TransferError::io(folder, "read"))?;
        if entry.file_name().to_string_lossy().starts_with(output::UNFINISHED) {
            fs::remove_file(entry.path()).map_err(TransferError::io(entry.path(), "removed"))?;
        }
    }
    Ok(())
}

/// A transcript that is being written.
struct Transcript {
    output: Output,
    before: Before,
    /// The number of the last line.
    number: u64,
    /// The messages of the next line.
    group: Vec<ImportRow>,
    bytes: usize,
    turns: u64,
}

impl Transcript {
    async fn begin(folder: PathBuf, thread: &ThreadSummary) -> Result<Self, TransferError> {
        let output = blocking(move || {
            if !catalog::is_there(&folder)? {
                fs::create_dir(&folder).map_err(TransferError::io(&folder, "made"))?;
            }
            remove_unfinished(&folder)?;
            Output::create(folder.join(TRANSCRIPT))
        });
        let before = Before::new(thread.created_at);
        Ok(Self { output: output.await?, before, number: 1, group: Vec::new(), bytes: 0, turns: 0 })
    }

    async fn add(&mut self, row: ImportRow) -> Result<(), TransferError> {
        let is_alone = is_opaque(&row);
        let bytes = row.content.byte_len() + row.metadata.byte_len();
        let is_full = self.group.len() == ROWS || self.bytes + bytes > BYTES;
        if is_alone || is_full || row.role == Role::User || row.metadata.get(LINE).is_some() {
            self.flush().await?;
        }
        self.bytes += bytes;
        self.group.push(row);
        if is_alone { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), TransferError> {
        let rows = std::mem::take(&mut self.group);
        self.bytes = 0;
        if rows.is_empty() {
            return Ok(());
        }
        self.number += 1;
        self.turns += 1;
        let line = line_of(&rows, &mut self.before, self.number);
        self.output.line(&line).await
    }
}

/// Writes the catalog if it changed.
fn finish(
    dir: &Path,
    tenant: &TenantId,
    before: Catalog,
    written: Threads,
    fields: &Metadata,
    mut report: Report,
) -> Result<Report, TransferError> {
    let Catalog { entries: mut left, fields: mut all, version, .. } = before;
    let mut texts = Vec::with_capacity(written.entries.len());
    for (id, entry) in written.entries {
        left.remove(&id);
        texts.push(entry);
    }
    for (id, (entry, _)) in left {
        let folder = dir.join(id.to_string());
        if catalog::is_there(&folder)? {
            if !written.unreadable.contains(&id) {
                report.warn(&Location::File(folder), FindingKind::NoLongerThere);
            }
            texts.push(entry);
        }
    }
    for (name, value) in fields.iter() {
        all.set_raw(name, value.to_owned());
    }
    let path = catalog::path(dir);
    let there = fs::read_to_string(&path).map_err(TransferError::io(&path, "read"))?;
    if there != Catalog::text(tenant, version, &texts, &all) {
        output::write(path, &Catalog::text(tenant, version.saturating_add(1), &texts, &all))?;
    }
    Ok(report)
}
