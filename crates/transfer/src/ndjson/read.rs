//! Reads a file in the native format.

use std::{collections::HashSet, fs};

use throughline_core::{ThreadId, Timestamp, messages::ImportRow};

use super::{
    Ndjson,
    line::{self, Header, ThreadLine},
};
use crate::{
    FindingKind, Location, Progress, Report, TransferError,
    import::{Conversation, Sink, Source, Step},
    line_reader::{self, LineReader},
    object::Object,
    record,
};

impl Source for Ndjson {
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        progress.expect(fs::metadata(&self.path).map_or(0, |found| found.len()));
        let mut lines = LineReader::open(&self.path, self.max_line_bytes, progress)?;
        let mut reader = Reader {
            sink,
            report,
            begun: HashSet::new(),
            is_in_thread: false,
            time: Timestamp::from_micros(0),
        };
        while let Some((number, line)) = lines.next_bytes()? {
            let location = Location::Line { file: self.path.clone(), line: number };
            let taken = match line {
                Ok(line) => reader.bytes(line, location),
                Err(found) => reader.skip(&location, found),
            };
            if taken.is_none() {
                return Ok(());
            }
        }
        // `None` means that the receiver stopped.
        let _ = reader.end();
        Ok(())
    }
}

struct Reader<'a> {
    sink: &'a mut dyn Sink,
    report: &'a mut Report,
    begun: HashSet<ThreadId>,
    is_in_thread: bool,
    /// The time of the last line.
    time: Timestamp,
}

impl Reader<'_> {
    fn skip(&mut self, location: &Location, found: FindingKind) -> Option<()> {
        self.report.skip(location, found);
        Some(())
    }

    /// Reads a line; `None` if the receiver stopped. Nearly every line is a message and nothing else, which one pass reads.
    fn bytes(&mut self, line: &[u8], location: Location) -> Option<()> {
        if self.is_in_thread
            && let Some(row) = line::message(line)
        {
            return self.row(row, location);
        }
        match line_reader::object(line.strip_suffix(b"\n").unwrap_or(line)) {
            Ok(line) => self.line(&line, location),
            Err(found) => self.skip(&location, found),
        }
    }

    fn row(&mut self, row: ImportRow, location: Location) -> Option<()> {
        self.time = row.created_at;
        self.sink.take(Step::Row(Box::new(row), location))
    }

    /// Reads a line of any kind; `None` if the receiver stopped.
    fn line(&mut self, line: &Object<'_>, location: Location) -> Option<()> {
        if line.raw("throughline").is_some() {
            return self.header(line, &location);
        }
        if let Some(thread) = line.raw("thread") {
            let json = line::unquoted(thread.get());
            return match json.and_then(|json| serde_json::from_str::<ThreadLine>(&json).ok()) {
                Some(thread) => self.thread(thread, &location),
                None => {
                    // Its messages cannot be imported without it.
                    self.end()?;
                    self.skip(&location, FindingKind::WrongField("thread"))
                }
            };
        }
        if !self.is_in_thread {
            return self.skip(&location, FindingKind::NoField("thread"));
        }
        if let Some(state) = line.get::<String>("state") {
            return self.skip(
                &location,
                if state == "final" { FindingKind::WrongField("state") } else { FindingKind::Open },
            );
        }
        let row = line
            .raw("message")
            .and_then(|message| serde_json::from_str::<ImportRow>(&line::unquoted(message.get())?).ok());
        let row = row.unwrap_or_else(|| {
            let found = match line.raw("message") {
                Some(_) => FindingKind::WrongField("message"),
                None => FindingKind::NoField("message"),
            };
            self.report.warn(&location, found);
            record::kept_whole(record::id_of(line.text()), line.text(), self.time)
        });
        self.row(row, location)
    }

    /// Reads the first line of the file, or of another file behind it.
    fn header(&mut self, line: &Object<'_>, location: &Location) -> Option<()> {
        self.end()?;
        match serde_json::from_str::<Header>(line.text()) {
            Ok(header) if header.throughline != line::NAME => {
                self.skip(location, FindingKind::UnknownType(header.throughline))
            }
            Ok(header) if header.version > Ndjson::VERSION => {
                self.report.add_newer(location);
                self.report.warn(location, FindingKind::Newer(header.version.to_string()));
                Some(())
            }
            Ok(_) => Some(()),
            Err(_) => self.skip(location, FindingKind::WrongField("version")),
        }
    }

    fn thread(&mut self, thread: ThreadLine, location: &Location) -> Option<()> {
        self.end()?;
        self.is_in_thread = true;
        self.time = thread.created_at;
        let (id, archived) = (thread.id.clone(), thread.archived);
        let continues = !self.begun.insert(id.clone());
        let new = thread.into_new();
        let conversation =
            Conversation { archived, continues, ..Conversation::new(id, new, location.clone()) };
        self.sink.take(Step::Begin(Box::new(conversation)))
    }

    fn end(&mut self) -> Option<()> {
        if std::mem::take(&mut self.is_in_thread) { self.sink.take(Step::End) } else { Some(()) }
    }
}
