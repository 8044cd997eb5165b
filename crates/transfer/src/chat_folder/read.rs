//! Reads a folder of chats.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, btree_map::Entry},
    fs,
    path::{Path, PathBuf},
};

use throughline_core::Timestamp;

use super::{
    ChatFolder, ChatId, TRANSCRIPT,
    catalog::{self, Catalog},
    facts::{self, Facts},
    turn::{Before, Kind, absent_or_wrong, newer},
};
use crate::{
    FindingKind, Location, Progress, Report, TransferError,
    import::{Conversation, Sink, Source, Step},
    line_reader::LineReader,
    object::Object,
};

impl Source for ChatFolder {
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let catalog = if self.ignores_catalog { None } else { Catalog::read(&self.dir)? };
        let names_chats = catalog.is_some();
        let mut catalog = catalog.unwrap_or_default();
        report.append_skipped(std::mem::take(&mut catalog.findings));
        for (name, _) in catalog.fields.iter() {
            report.unknown(format!("catalog.{name}"));
        }
        report.catalog_fields = std::mem::take(&mut catalog.fields);
        if catalog.newer.is_some() {
            report.add_newer(&Location::File(catalog::path(&self.dir)));
        }
        let mut threads = HashSet::new();
        let chats = chats(&self.dir, report)?;
        for dir in chats.values() {
            progress.expect(fs::metadata(dir.join(TRANSCRIPT)).map_or(0, |found| found.len()));
        }
        for (id, dir) in chats {
            let entry = catalog.entries.remove(&id).map(|(entry, _)| entry);
            if entry.is_none() && names_chats {
                report.warn(&Location::File(dir.clone()), FindingKind::NotInCatalog);
            }
            let max_line_bytes = self.max_line_bytes;
            let mut chat = Chat { id, file: dir.join(TRANSCRIPT), max_line_bytes, sink, report, progress };
            if chat.read(&dir, entry.as_deref(), &mut threads)?.is_none() {
                return Ok(());
            }
        }
        for (_, line) in catalog.entries.into_values() {
            report.skip(&Location::Line { file: catalog::path(&self.dir), line }, FindingKind::NoTranscript);
        }
        Ok(())
    }
}

/// Returns the folders of chats, and reports everything else.
fn chats(dir: &Path, report: &mut Report) -> Result<BTreeMap<ChatId, PathBuf>, TransferError> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(dir).map_err(TransferError::io(dir, "read"))? {
        names.insert(entry.map_err(TransferError::io(dir, "read"))?.file_name());
    }
    let mut chats = BTreeMap::new();
    for name in names {
        let path = dir.join(&name);
        let location = Location::File(path.clone());
        if name == catalog::FILE {
            continue;
        }
        let Some(Ok(id)) = name.to_str().map(str::parse::<ChatId>) else {
            report.skip(&location, FindingKind::NoChatId);
            continue;
        };
        let found = fs::symlink_metadata(&path).map_err(TransferError::io(&path, "read"))?;
        if found.is_symlink() {
            report.skip(&location, FindingKind::SymbolicLink);
        } else if !found.is_dir() {
            report.skip(&location, FindingKind::OtherFile);
        } else {
            match chats.entry(id) {
                Entry::Vacant(free) => drop(free.insert(path)),
                // The same UUID in the other case.
                Entry::Occupied(_) => report.skip(&location, FindingKind::Twice),
            }
        }
    }
    Ok(chats)
}

/// A chat that is being read.
struct Chat<'a> {
    id: ChatId,
    file: PathBuf,
    max_line_bytes: usize,
    sink: &'a mut dyn Sink,
    report: &'a mut Report,
    progress: &'a Progress,
}

impl Chat<'_> {
    fn at(&self, line: u64) -> Location {
        Location::Line { file: self.file.clone(), line }
    }

    /// Reads a chat to its end; `None` if the receiver stopped.
    fn read(
        &mut self,
        dir: &Path,
        entry: Option<&str>,
        threads: &mut HashSet<throughline_core::ThreadId>,
    ) -> Result<Option<()>, TransferError> {
        if !self.has_transcript(dir)? {
            return Ok(Some(()));
        }
        let header = self.header()?;
        if let Some((header, number)) = &header
            && Object::parse(header).is_ok_and(|header| header.raw("guid").is_some())
            && !facts::is_of(header, self.id)
        {
            let location = self.at(*number);
            self.report.skip(&location, FindingKind::HeaderOfAnother);
            return Ok(Some(()));
        }
        let facts = self.facts(header.as_ref().map(|(header, _)| &**header), entry);
        if !threads.insert(facts.thread.clone()) {
            self.report.skip(&Location::File(dir.to_owned()), FindingKind::Twice);
            return Ok(Some(()));
        }
        let new = facts.to_new();
        let location = Location::File(self.file.clone());
        let conversation = Conversation {
            archived: facts.archived,
            ..Conversation::new(facts.thread.clone(), new, location)
        };
        if self.sink.take(Step::Begin(Box::new(conversation))).is_none() {
            return Ok(None);
        }
        // The time of a turn without one is the start of the chat, if that is known.
        let began = facts.created_at.unwrap_or(Timestamp::from_micros(0));
        if self.turns(header.map(|(_, number)| number), began)?.is_none() {
            return Ok(None);
        }
        Ok(self.sink.take(Step::End))
    }

    /// Returns true if there is a transcript, and reports other files.
    fn has_transcript(&mut self, dir: &Path) -> Result<bool, TransferError> {
        let mut others = BTreeSet::new();
        let mut has = false;
        for file in fs::read_dir(dir).map_err(TransferError::io(dir, "read"))? {
            let file = file.map_err(TransferError::io(dir, "read"))?;
            if file.file_name() == TRANSCRIPT {
                let found = file.file_type().map_err(TransferError::io(file.path(), "read"))?;
                if found.is_symlink() {
                    self.report.skip(&Location::File(file.path()), FindingKind::SymbolicLink);
                    return Ok(false);
                }
                has = found.is_file();
            } else {
                others.insert(file.path());
            }
        }
        for other in others {
            self.report.skip(&Location::File(other), FindingKind::OtherFile);
        }
        if !has {
            self.report.skip(&Location::File(dir.to_owned()), FindingKind::NoTranscript);
        }
        Ok(has)
    }

    /// Returns the first header and its line.
    fn header(&self) -> Result<Option<(String, u64)>, TransferError> {
        let mut lines = LineReader::open(&self.file, self.max_line_bytes, &Progress::new())?;
        while let Some((number, line)) = lines.next()? {
            if let Ok(line) = line
                && Kind::of(&line) == Kind::Header
            {
                return Ok(Some((line.text().to_owned(), number)));
            }
        }
        Ok(None)
    }

    /// Reads the facts about the chat.
    fn facts(&mut self, header: Option<&str>, entry: Option<&str>) -> Facts {
        let (file, mut warnings) = (Location::File(self.file.clone()), Vec::new());
        let header = header.map(|text| Object::parse(text).expect("it was read as an object"));
        let entry = entry.map(|text| Object::parse(text).expect("it was read as an object"));
        match &header {
            None => warnings.push(FindingKind::NoHeader),
            Some(header) => {
                if let Some(version) = newer(header, &mut warnings) {
                    warnings.push(FindingKind::Newer(version));
                    self.report.add_newer(&file);
                }
                if header.raw("guid").is_none() {
                    warnings.push(absent_or_wrong(header, "guid"));
                }
                for name in facts::unknown_in_header(header) {
                    self.report.unknown(format!("header.{name}"));
                }
            }
        }
        for name in entry.iter().flat_map(facts::unknown_in_entry) {
            self.report.unknown(format!("entry.{name}"));
        }
        let facts = Facts::read(self.id, header.as_ref(), entry.as_ref(), &mut warnings);
        for found in warnings {
            self.report.warn(&file, found);
        }
        facts
    }

    /// Reads the turns, and reports every line that is none.
    fn turns(&mut self, header: Option<u64>, began: Timestamp) -> Result<Option<()>, TransferError> {
        let file = self.file.clone();
        let mut lines = LineReader::open(&file, self.max_line_bytes, self.progress)?;
        let mut before = Before::new(began);
        let mut ids = HashSet::new();
        while let Some((number, line)) = lines.next()? {
            let location = self.at(number);
            let line = match line {
                Ok(line) => line,
                Err(found) => {
                    self.report.skip(&location, found);
                    continue;
                }
            };
            match Kind::of(&line) {
                Kind::Turn => {}
                Kind::Header if header == Some(number) => continue,
                Kind::Header => {
                    self.report.skip(&location, FindingKind::SecondHeader);
                    continue;
                }
                Kind::Other(kind) => {
                    self.report.skip(&location, FindingKind::UnknownType(kind));
                    continue;
                }
            }
            let turn = before.read(&line, number);
            before.pass(&turn);
            match turn.newer {
                Some(_) => self.report.add_newer(&location),
                None => turn.unknown.iter().for_each(|name| self.report.unknown(format!("turn.{name}"))),
            }
            for found in turn.warnings {
                self.report.warn(&location, found);
            }
            for row in turn.rows {
                if !ids.insert(row.id.clone()) {
                    self.report.skip(&location, FindingKind::Twice);
                } else if self.sink.take(Step::Row(Box::new(row), location.clone())).is_none() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(()))
    }
}
