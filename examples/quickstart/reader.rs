//! Reads files into a transcript, and records what it skips.

use std::{
    fmt::Display,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::Arc,
};

use throughline::Role;

use crate::{
    array,
    lines::{Line, LineReader},
    record::{self, Record},
    skipped::{Defect, Kind, Skipped},
    transcript::{Location, Origin, Transcript, TurnContent},
};

/// The transcript of all inputs, with the numbers of read and skipped records.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) transcript: Transcript,
    /// The records that were parsed.
    pub(crate) records: usize,
    /// The records and files that were skipped.
    pub(crate) skipped: Skipped,
}

impl Reader {
    /// Reads a file up to its end, or up to the first read error.
    pub(crate) fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => self.input(&name, file),
            Err(error) => self.unreadable(&name, "cannot be opened", &error),
        }
    }

    /// Reads all records of `input`: one JSON array, or one record on each line.
    pub(crate) fn input(&mut self, name: &str, input: impl Read) {
        let mut input = BufReader::new(input);
        match is_json_array(&mut input) {
            Ok(true) => self.array(name, input),
            Ok(false) => self.lines(name, input),
            Err(error) => self.unreadable(name, "cannot be read", &error),
        }
    }

    fn array(&mut self, name: &str, input: impl BufRead) {
        let file: Arc<str> = name.into();
        let read = array::each(input, |element, json| {
            let origin = Origin { file: Arc::clone(&file), location: Location::Element(element) };
            self.record(record::record(json), &origin);
        });
        if let Err(reason) = read {
            self.skipped.add(&name, &Defect::new(Kind::NotJson, reason));
        }
    }

    fn lines(&mut self, name: &str, input: impl BufRead) {
        let file: Arc<str> = name.into();
        let mut lines = LineReader::new(input);
        loop {
            let (line, record) = match lines.next() {
                Ok(None) => return,
                Ok(Some((number, Line::Whole(line)))) => (number, record::parse(line, false)),
                Ok(Some((number, Line::Unfinished(line)))) => (number, record::parse(line, true)),
                Ok(Some((number, Line::TooLong))) => {
                    (number, Err(Defect::new(Kind::TooLong, Line::TOO_LONG)))
                }
                Err(error) => return self.unreadable(name, "cannot be read on", &error),
            };
            self.record(record, &Origin { file: Arc::clone(&file), location: Location::Line(line) });
        }
    }

    fn record(&mut self, record: Result<Record, Defect>, origin: &Origin) {
        match record.and_then(|record| self.take(record, origin)) {
            Ok(()) => self.records += 1,
            Err(defect) => self.skipped.add(origin, &defect),
        }
    }

    fn take(&mut self, record: Record, origin: &Origin) -> Result<(), Defect> {
        match record {
            Record::NoTurn => {}
            Record::Turn { session, is_side, uuid, role, content } => {
                let prefix = if is_side { "side" } else { "agent" };
                let thread = format!("{prefix}:{session}");
                self.push(&thread, Some(&uuid), role, content, origin)?;
            }
            Record::Chat { id, turns } => {
                let thread = format!("chat:{id}");
                for (role, content) in turns {
                    self.push(&thread, None, role, content, origin)?;
                }
            }
        }
        Ok(())
    }

    fn push(
        &mut self,
        thread: &str,
        name: Option<&str>,
        role: Role,
        content: TurnContent,
        origin: &Origin,
    ) -> Result<(), Defect> {
        let pushed = self.transcript.push(thread, name, role, content, origin.clone());
        pushed.map_err(|error| Defect::from(error.to_string()))
    }

    fn unreadable(&mut self, name: &str, failed: &str, error: &dyn Display) {
        self.skipped.add(&name, &Defect::new(Kind::Unreadable, format!("{failed}: {error}")));
    }
}

/// Returns whether the input is a JSON array of records: its first two characters, without white space, are `[` and
/// `{`. Consumes nothing.
fn is_json_array(input: &mut impl BufRead) -> io::Result<bool> {
    let mut bytes = input.fill_buf()?.iter().filter(|byte| !byte.is_ascii_whitespace());
    Ok((bytes.next(), bytes.next()) == (Some(&b'['), Some(&b'{')))
}
