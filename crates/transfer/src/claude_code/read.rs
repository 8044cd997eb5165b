//! The second pass through the logs: reads conversation by conversation.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use throughline_core::{NewThread, ThreadId, Timestamp};

use super::{
    ClaudeCode,
    index::{Group, Index},
    line::{self, Meaning},
};
use crate::{
    FindingKind, Format, Location, Progress, Report, TransferError,
    import::{Conversation, Sink, Source, Step},
    line_reader::LineReader,
    object::quoted,
    record, walk,
};

impl Source for ClaudeCode {
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let mut skip = |path: &Path, found| report.skip(&Location::File(path.to_owned()), found);
        let takes = |path: &Path| walk::has_extension(path, &["jsonl"]);
        let found = walk::files(&self.path, Self::MAX_FILES, takes, &mut skip)?;
        if found.has_more {
            return Err(TransferError::TooManyFiles { path: self.path.clone(), max: Self::MAX_FILES });
        }
        let files = found.files;
        for file in &files {
            progress.expect(2 * fs::metadata(file).map_or(0, |found| found.len()));
        }
        let mut conversations: BTreeMap<(usize, usize), Vec<(PathBuf, Group)>> = BTreeMap::new();
        let mut first_seen = HashMap::new();
        for (at, file) in files.into_iter().enumerate() {
            let index = match Index::read(&file, self.max_line_bytes, report, progress) {
                Ok(index) => index,
                Err(error) => {
                    report.skip(&Location::File(file), FindingKind::Unreadable(error.cause()));
                    continue;
                }
            };
            for (nth, group) in index.groups.into_iter().enumerate() {
                let name = (group.session.clone(), group.chain.clone());
                let first = *first_seen.entry(name).or_insert((at, nth));
                conversations.entry(first).or_default().push((file.clone(), group));
            }
        }
        for mut parts in conversations.into_values() {
            // The file of the session comes before those that repeat a part of it.
            parts.sort_by_key(|(file, group)| {
                let is_own = stem(file) == group.session;
                (!is_own, Reverse(group.lines()))
            });
            for (nth, (file, group)) in parts.into_iter().enumerate() {
                let mut log = Log { source: self, file, sink, report, progress, continues: nth > 0 };
                match log.conversation(&group) {
                    Ok(Some(())) => {}
                    Ok(None) => return Ok(()),
                    Err(error @ TransferError::Io { .. }) => {
                        let found = FindingKind::Unreadable(error.cause());
                        log.report.skip(&Location::File(log.file.clone()), found);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A file that is being read.
struct Log<'a> {
    source: &'a ClaudeCode,
    file: PathBuf,
    sink: &'a mut dyn Sink,
    report: &'a mut Report,
    progress: &'a Progress,
    /// Whether another file has begun the conversation.
    continues: bool,
}

impl Log<'_> {
    /// Reads one conversation; `None` if the receiver stopped.
    fn conversation(&mut self, group: &Group) -> Result<Option<()>, TransferError> {
        if group.runs.is_empty() {
            return Ok(Some(()));
        }
        let location = Location::File(self.file.clone());
        let id = match &group.chain {
            Some(chain) => ThreadId::new(format!("{}/{chain}", group.session)),
            None => ThreadId::new(&group.session),
        };
        let id = match id {
            Ok(id) => id,
            Err(error) => {
                self.report.skip(&location, FindingKind::InvalidId(error));
                return Ok(Some(()));
            }
        };
        let created_at = group.created_at.unwrap_or(Timestamp::from_micros(0));
        let new = self.thread(group, &id, &location).created_at(created_at);
        let conversation = Conversation { continues: self.continues, ..Conversation::new(id, new, location) };
        if self.sink.take(Step::Begin(Box::new(conversation))).is_none() {
            return Ok(None);
        }
        let rows = self.rows(group, created_at);
        if matches!(rows, Ok(None)) || self.sink.take(Step::End).is_none() {
            return Ok(None);
        }
        rows
    }

    fn thread(&mut self, group: &Group, id: &ThreadId, location: &Location) -> NewThread {
        let mut new = record::thread(Format::ClaudeCode, id);
        if let Some((_, title)) = &group.title {
            new = new.with_title(record::title(title, location, self.report));
        }
        if group.chain.is_some() {
            new = new.with_metadata(record::metadata(record::PARENT, quoted(&group.session)));
        }
        new
    }

    fn rows(&mut self, group: &Group, created_at: Timestamp) -> Result<Option<()>, TransferError> {
        let mut before = created_at;
        let file = self.file.clone();
        for run in &group.runs {
            let max = self.source.max_line_bytes;
            let mut lines = LineReader::open_at(&file, max, self.progress, run.start)?;
            while let Some((number, line)) = lines.next()? {
                let location = Location::Line { file: file.clone(), line: number };
                // A line that is skipped was reported by the first pass.
                if let Ok(line) = line {
                    let meaning = Meaning::of(&line);
                    if let Meaning::Kept(found) = &meaning {
                        self.report.warn(&location, found.clone());
                    }
                    let time = line::time(&line).unwrap_or_else(|| {
                        self.report.warn(&location, FindingKind::NoTime("timestamp"));
                        before
                    });
                    before = time;
                    if let Some(row) = line::row(&line, meaning, time)
                        && self.sink.take(Step::Row(Box::new(row), location)).is_none()
                    {
                        return Ok(None);
                    }
                }
                if number == run.last {
                    break;
                }
            }
        }
        Ok(Some(()))
    }
}
