//! Reads rollouts.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
};

use throughline_core::{MessageId, ThreadId, Timestamp, messages::ImportRow};
use uuid::Uuid;

use super::{
    CodexRollouts,
    line::{self, Meaning},
};
use crate::{
    FindingKind, Format, Location, Progress, Report, TransferError,
    import::{Conversation, Sink, Source, Step},
    line_reader::LineReader,
    object::{Object, quoted},
    progress::Counted,
    record, walk, zstd_stream,
};

const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

impl Source for CodexRollouts {
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let mut skip = |path: &Path, found| report.skip(&Location::File(path.to_owned()), found);
        let found = walk::files(&self.path, Self::MAX_FILES, is_rollout, &mut skip)?;
        if found.has_more {
            return Err(TransferError::TooManyFiles { path: self.path.clone(), max: Self::MAX_FILES });
        }
        for file in &found.files {
            progress.expect(fs::metadata(file).map_or(0, |found| found.len()));
        }
        for file in found.files {
            let mut rollout = Rollout { file, sink, report, thread: None, before: None };
            let location = Location::File(rollout.file.clone());
            match rollout.read(self.max_line_bytes, progress) {
                Ok(Some(())) => {}
                Ok(None) => return Ok(()),
                // The lines before the error are imported.
                Err(error @ TransferError::Io { .. }) => {
                    rollout.report.skip(&location, FindingKind::Unreadable(error.cause()));
                }
                Err(error) => return Err(error),
            }
            if rollout.thread.is_some() && rollout.sink.take(Step::End).is_none() {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn is_rollout(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with("rollout-") && (name.ends_with(".jsonl") || name.ends_with(".jsonl.zst"))
}

/// A file that is being read.
struct Rollout<'a> {
    file: PathBuf,
    sink: &'a mut dyn Sink,
    report: &'a mut Report,
    /// The thread, from its first line on.
    thread: Option<ThreadId>,
    /// The time of the line before.
    before: Option<Timestamp>,
}

impl Rollout<'_> {
    /// Reads a file; `None` if the receiver stopped.
    fn read(&mut self, max_line_bytes: usize, progress: &Progress) -> Result<Option<()>, TransferError> {
        let path = self.file.clone();
        let file = File::open(&path).map_err(TransferError::io(&path, "read"))?;
        let mut file = BufReader::new(Counted::new(file, progress));
        let head = file.fill_buf().map_err(TransferError::io(&path, "read"))?;
        let stream: Box<dyn Read> =
            if head.starts_with(ZSTD) { Box::new(zstd_stream::decoder(file)) } else { Box::new(file) };
        let mut lines = LineReader::over(&path, stream, max_line_bytes);
        while let Some((number, line)) = lines.next()? {
            let location = Location::Line { file: path.clone(), line: number };
            let taken = match line {
                Ok(line) => self.line(&line, number, &location),
                Err(found) => {
                    self.report.skip(&location, found);
                    Some(())
                }
            };
            if taken.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    fn line(&mut self, line: &Object<'_>, number: u64, location: &Location) -> Option<()> {
        let time = line::time(line);
        let at = time.or(self.before).unwrap_or(Timestamp::from_micros(0));
        self.before = Some(at);
        let meaning = Meaning::of(line);
        let id = MessageId::new(format!("line-{number}")).expect("short, without controls");
        let row = match meaning {
            Meaning::Omitted(kind) => {
                self.report.omit(kind);
                return Some(());
            }
            Meaning::Session => return self.session(line, id, at, location),
            Meaning::Kept(found) => {
                self.report.warn(location, found);
                record::kept_whole(id, line.text(), at)
            }
            Meaning::Message { role, content, rest, warning } => {
                if time.is_none() && line.raw("payload").is_some() {
                    self.report.warn(location, FindingKind::NoTime("timestamp"));
                }
                if let Some(found) = warning {
                    self.report.warn(location, found);
                }
                let mut row = ImportRow::new(id, role, content, at);
                if let Some(rest) = rest {
                    record::keep(&mut row, rest);
                }
                row
            }
        };
        if self.thread.is_none() {
            self.begin(None, None, at)?;
        }
        self.sink.take(Step::Row(Box::new(row), location.clone()))
    }

    /// Begins the thread with the facts about its session. Those of a session that this one continues are omitted.
    fn session(
        &mut self,
        line: &Object<'_>,
        id: MessageId,
        time: Timestamp,
        location: &Location,
    ) -> Option<()> {
        if self.thread.is_some() {
            self.report.omit("session_meta".to_owned());
            return Some(());
        }
        let payload = line.raw("payload").and_then(|payload| Object::read(payload.get()).ok());
        let facts = payload.as_ref().unwrap_or(line);
        if facts.text().len() <= record::MAX_METADATA {
            return self.begin(Some(facts), Some(facts.text()), time);
        }
        self.begin(Some(facts), None, time)?;
        let row = record::kept_whole(id, line.text(), time);
        self.sink.take(Step::Row(Box::new(row), location.clone()))
    }

    fn begin(&mut self, facts: Option<&Object<'_>>, kept: Option<&str>, time: Timestamp) -> Option<()> {
        let named = facts.and_then(|facts| facts.get::<String>("id"));
        let id = named.and_then(|id| ThreadId::new(id).ok()).unwrap_or_else(|| id_of(&self.file));
        let mut new = record::thread(Format::Codex, &id).created_at(time);
        let mut metadata =
            kept.map_or_else(Default::default, |facts| record::metadata(record::RECORD, facts.to_owned()));
        let parent = facts.and_then(|facts| facts.get::<String>("forked_from_id"));
        if let Some(parent) = parent {
            metadata.set_raw(record::PARENT, record::raw(quoted(&parent)));
        }
        new = new.with_metadata(metadata);
        let archived = self.file.components().any(|part| part.as_os_str() == "archived_sessions");
        let location = Location::File(self.file.clone());
        let conversation =
            Conversation { archived, ..Conversation::new(id.clone(), new, location).numbered() };
        self.thread = Some(id);
        self.sink.take(Step::Begin(Box::new(conversation)))
    }
}

/// Returns the thread of a file without facts about its session: the UUID at the end of its name, or its name.
fn id_of(file: &Path) -> ThreadId {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = name.strip_suffix(".zst").unwrap_or(&name);
    let stem = stem.strip_suffix(".jsonl").unwrap_or(stem);
    let uuid = stem.len().checked_sub(36).and_then(|at| stem.get(at..));
    let uuid = uuid.filter(|uuid| uuid.parse::<Uuid>().is_ok());
    ThreadId::new(uuid.unwrap_or(stem))
        .unwrap_or_else(|_| ThreadId::new(record::id_of(stem).as_str()).expect("short, without controls"))
}
