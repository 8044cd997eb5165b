//! Reads files into a transcript, and reports every line that is no use.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::Arc,
};

use throughline::Role;

use crate::{
    array,
    lines::{Line, Lines},
    record::{self, Record},
    transcript::{Origin, Place, Said, Transcript},
};

/// What was read, and how much of it was no use.
#[derive(Default)]
pub(crate) struct Reader {
    pub(crate) transcript: Transcript,
    /// Lines that were understood.
    pub(crate) records: usize,
    /// Lines, and files, that were reported and skipped.
    pub(crate) skipped: usize,
}

impl Reader {
    /// Reads a file as far as it can be read.
    pub(crate) fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => self.input(&name, file),
            Err(error) => self.skip(&name, &format!("cannot be opened: {error}")),
        }
    }

    /// Reads everything there is in `input`: a JSON array of records, or a record a line.
    pub(crate) fn input(&mut self, name: &str, input: impl Read) {
        let mut input = BufReader::new(input);
        match begins_an_array(&mut input) {
            Ok(true) => self.array(name, input),
            Ok(false) => self.lines(name, input),
            Err(error) => self.skip(name, &format!("cannot be read: {error}")),
        }
    }

    fn array(&mut self, name: &str, input: impl BufRead) {
        let file: Arc<str> = name.into();
        let read = array::each(input, |element, json| {
            let origin = Origin { file: Arc::clone(&file), place: Place::Element(element) };
            self.record(record::record(json), &origin);
        });
        if let Err(reason) = read {
            self.skip(name, &reason);
        }
    }

    fn lines(&mut self, name: &str, input: impl BufRead) {
        let file: Arc<str> = name.into();
        let mut lines = Lines::new(input);
        loop {
            let (line, record) = match lines.next() {
                Ok(None) => return,
                Ok(Some((number, Line::Whole(line)))) => (number, record::parse(line, false)),
                Ok(Some((number, Line::Unfinished(line)))) => (number, record::parse(line, true)),
                Ok(Some((number, Line::TooLong))) => (number, Err(Line::TOO_LONG.to_owned())),
                Err(error) => return self.skip(name, &format!("cannot be read on: {error}")),
            };
            self.record(record, &Origin { file: Arc::clone(&file), place: Place::Line(line) });
        }
    }

    fn record(&mut self, record: Result<Record, String>, origin: &Origin) {
        match record.and_then(|record| self.take(record, origin)) {
            Ok(()) => self.records += 1,
            Err(reason) => self.skip(&origin.to_string(), &reason),
        }
    }

    fn take(&mut self, record: Record, origin: &Origin) -> Result<(), String> {
        match record {
            Record::NoTurn => {}
            Record::Turn { session, is_side, uuid, role, said } => {
                let prefix = if is_side { "side" } else { "agent" };
                let thread = format!("{prefix}:{session}");
                self.push(&thread, Some(&uuid), role, said, origin)?;
            }
            Record::Chat { id, turns } => {
                let thread = format!("chat:{id}");
                for (role, said) in turns {
                    self.push(&thread, None, role, said, origin)?;
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
        said: Said,
        origin: &Origin,
    ) -> Result<(), String> {
        self.transcript.push(thread, name, role, said, origin.clone()).map_err(|error| error.to_string())
    }

    fn skip(&mut self, place: &str, reason: &str) {
        self.skipped += 1;
        eprintln!("skipped {place}: {reason}");
    }
}

/// Whether the input is one JSON array of records: its first bytes that are not white space are `[` and `{`. Consumes nothing.
fn begins_an_array(input: &mut impl BufRead) -> io::Result<bool> {
    let mut bytes = input.fill_buf()?.iter().filter(|byte| !byte.is_ascii_whitespace());
    Ok((bytes.next(), bytes.next()) == (Some(&b'['), Some(&b'{')))
}
