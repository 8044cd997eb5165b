//! A tenant's threads, written as a folder of chats.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use throughline_core::{
    ErrorKind, ImportRow, ListAliases, ListThreads, MessageId, Metadata, Origin, PageFrom, Persistence,
    ReadPage, Role, ThreadEntry, ThreadId, Visibility,
};

use super::{
    ChatId, SCHEMA_VERSION, TRANSCRIPT,
    catalog::{self, Catalog},
    facts::Facts,
    line::{is_opaque, line_of},
    output::{self, Output, blocking},
    turn::{Before, LINE},
};
use crate::{Found, Place, Report, TransferError};

/// How many threads are listed at once.
const PAGE: u32 = 200;

pub(super) async fn export(dir: &Path, fields: &Metadata, db: &Persistence) -> Result<Report, TransferError> {
    let folder = dir.to_owned();
    let before = blocking(move || prepare(&folder)).await?;
    let mut report = Report::default();
    let mut entries = Vec::new();
    for thread in every_thread(db, &mut report).await? {
        let id = ChatId::of(&thread.thread);
        entries.push((id, write(dir, id, &thread, db, &mut report).await?));
        report.threads += 1;
    }
    let dir = dir.to_owned();
    let fields = fields.clone();
    blocking(move || finish(&dir, before, entries, &fields, report)).await
}

/// Makes the folder one of an export, if it may be one.
fn prepare(dir: &Path) -> Result<Catalog, TransferError> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(TransferError::io(dir, "read"))? {
        let name = entry.map_err(TransferError::io(dir, "read"))?.file_name();
        if name.to_string_lossy().starts_with(output::UNFINISHED) {
            // What an export that was broken off has left.
            let path = dir.join(name);
            fs::remove_file(&path).map_err(TransferError::io(path, "removed"))?;
        } else {
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
            if catalog.is_export { Ok(catalog) } else { Err(foreign(path)) }
        }
        (None, Some(name)) => Err(foreign(dir.join(name))),
        (None, None) => {
            // From here on a folder that is broken off is known for an export.
            output::write(catalog::path(dir), &Catalog::text(0, &[], &Metadata::new()))?;
            Ok(Catalog::default())
        }
    }
}

/// Every thread that a list shows, the oldest first.
async fn every_thread(db: &Persistence, report: &mut Report) -> Result<Vec<ThreadEntry>, TransferError> {
    // One that becomes active meanwhile is met twice, and by its id it is one.
    let mut entries = BTreeMap::new();
    let mut list = ListThreads::new(PAGE).archived_too();
    loop {
        let page = db.threads(list.clone()).await?;
        for damaged in page.damaged {
            report.skip(&Place::Thread(damaged), Found::Damaged);
        }
        entries.extend(page.entries.into_iter().map(|entry| (entry.thread.clone(), entry)));
        match page.next {
            Some(next) => list.after = Some(next),
            None => break,
        }
    }
    let mut entries: Vec<ThreadEntry> = entries.into_values().collect();
    entries.sort_by_key(|entry| entry.created_at);
    Ok(entries)
}

/// Writes the transcript of a thread; answers its entry in the catalogue.
async fn write(
    dir: &Path,
    id: ChatId,
    thread: &ThreadEntry,
    db: &Persistence,
    report: &mut Report,
) -> Result<String, TransferError> {
    let folder = dir.join(id.to_string());
    let output = blocking(move || {
        if !catalog::is_there(&folder)? {
            fs::create_dir(&folder).map_err(TransferError::io(&folder, "made"))?;
        }
        sweep(&folder)?;
        Output::create(folder.join(TRANSCRIPT))
    });
    let facts = Facts::of(thread);
    let header = facts.header(id);
    let before = Before::new(thread.created_at);
    let mut transcript = Transcript { output: output.await?, before, number: 1, group: Vec::new(), turns: 0 };
    transcript.output.line(&header).await?;
    let mut names = names(db, &thread.thread).await?;
    let mut walk = db.thread(thread.thread.clone()).walk(PageFrom::Start, Visibility::All);
    while let Some(message) = walk.next().await? {
        let place = Place::Message { thread: message.thread.clone(), message: message.id.clone() };
        match ImportRow::of(message) {
            Some(row) => {
                report.messages += 1;
                let origin = names.remove(&row.id).unwrap_or_default();
                transcript.add(row.with_origin(origin)).await?;
            }
            None => report.skip(&place, Found::Open),
        }
    }
    transcript.flush().await?;
    let turns = transcript.turns;
    transcript.output.finish().await?;
    Ok(facts.entry(id, &header, thread, turns))
}

/// What providers call the messages of a thread: of each the first name that was taken down.
async fn names(db: &Persistence, thread: &ThreadId) -> Result<HashMap<MessageId, Origin>, TransferError> {
    let mut names = HashMap::new();
    let mut list = ListAliases::new(thread.clone(), ReadPage::MAX_LIMIT);
    loop {
        let page = match db.read(list.clone()).await {
            Ok(page) => page,
            // A store may know no such names.
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(names),
            Err(error) => return Err(error.into()),
        };
        for alias in page.aliases {
            names.entry(alias.message).or_insert(alias.origin);
        }
        match page.next {
            Some(next) => list.after = Some(next),
            None => return Ok(names),
        }
    }
}

/// Takes away what an export that was broken off has left.
fn sweep(folder: &Path) -> Result<(), TransferError> {
    for entry in fs::read_dir(folder).map_err(TransferError::io(folder, "read"))? {
        let entry = entry.map_err(TransferError::io(folder, "read"))?;
        if entry.file_name().to_string_lossy().starts_with(output::UNFINISHED) {
            fs::remove_file(entry.path()).map_err(TransferError::io(entry.path(), "removed"))?;
        }
    }
    Ok(())
}

/// A transcript while it is written.
struct Transcript {
    output: Output,
    before: Before,
    /// The line that was written last.
    number: u64,
    /// What belongs to the next line.
    group: Vec<ImportRow>,
    turns: u64,
}

impl Transcript {
    async fn add(&mut self, row: ImportRow) -> Result<(), TransferError> {
        let is_alone = is_opaque(&row);
        if is_alone || row.role == Role::User || row.metadata.get(LINE).is_some() {
            self.flush().await?;
        }
        self.group.push(row);
        if is_alone { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), TransferError> {
        let rows = std::mem::take(&mut self.group);
        if rows.is_empty() {
            return Ok(());
        }
        self.number += 1;
        self.turns += 1;
        let line = line_of(&rows, &mut self.before, self.number);
        self.output.line(&line).await
    }
}

/// Writes the catalogue, where it would be another one.
fn finish(
    dir: &Path,
    before: Catalog,
    entries: Vec<(ChatId, String)>,
    fields: &Metadata,
    mut report: Report,
) -> Result<Report, TransferError> {
    let Catalog { entries: mut left, fields: mut all, version, .. } = before;
    let mut texts = Vec::with_capacity(entries.len());
    for (id, entry) in entries {
        left.remove(&id);
        texts.push(entry);
    }
    for (id, (entry, _)) in left {
        let folder = dir.join(id.to_string());
        if catalog::is_there(&folder)? {
            report.note(&Place::File(folder), Found::NoLongerThere);
            texts.push(entry);
        }
    }
    for (name, value) in fields.iter() {
        all.set_raw(name, value.to_owned());
    }
    let path = catalog::path(dir);
    let there = fs::read_to_string(&path).map_err(TransferError::io(&path, "read"))?;
    if there != Catalog::text(version, &texts, &all) {
        output::write(path, &Catalog::text(version + 1, &texts, &all))?;
    }
    Ok(report)
}
