//! Reads a history line by line.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use throughline_core::{Content, MessageId, Role, ThreadId, Timestamp, messages::ImportRow};

use super::{Aider, line::Line};
use crate::{
    FindingKind, Format, Location, Progress, Report, TransferError,
    import::{Conversation, Sink, Source, Step},
    iso8601,
    line_reader::LineReader,
    record, walk,
};

/// The name of a history.
const NAME: &str = ".aider.chat.history.md";

impl Source for Aider {
    fn read(
        &self,
        sink: &mut dyn Sink,
        report: &mut Report,
        progress: &Progress,
    ) -> Result<(), TransferError> {
        let mut skip = |path: &Path, found| report.skip(&Location::File(path.to_owned()), found);
        let takes = |path: &Path| path.file_name().is_some_and(|name| name == NAME);
        let found = walk::files(&self.path, Self::MAX_FILES, takes, &mut skip)?;
        if found.has_more {
            return Err(TransferError::TooManyFiles { path: self.path.clone(), max: Self::MAX_FILES });
        }
        for file in &found.files {
            progress.expect(fs::metadata(file).map_or(0, |found| found.len()));
        }
        for file in found.files {
            let mut history = History {
                max: self.max_message_bytes,
                file,
                sink,
                report,
                times: HashMap::new(),
                session: None,
                message: None,
            };
            match history.read(progress) {
                Ok(Some(())) => {}
                Ok(None) => return Ok(()),
                Err(TransferError::Io { source, .. }) => {
                    let location = Location::File(history.file.clone());
                    history.report.skip(&location, FindingKind::Unreadable(source.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A file that is being read.
struct History<'a> {
    max: usize,
    file: PathBuf,
    sink: &'a mut dyn Sink,
    report: &'a mut Report,
    /// The number of sessions of each time.
    times: HashMap<String, u64>,
    session: Option<Session>,
    message: Option<Message>,
}

/// The session of the current line.
struct Session {
    /// The reason why its messages are skipped.
    refusal: Option<FindingKind>,
    time: Timestamp,
    /// The number of its messages so far.
    messages: u64,
    /// Whether two spaces end the lines of the user and of tools; `None` before the first such line.
    has_spaces: Option<bool>,
}

/// The message of the current line.
struct Message {
    role: Role,
    text: String,
    /// The number of its first line.
    line: u64,
    is_too_large: bool,
    /// The blank lines after it, each behind a line break.
    blank: String,
}

impl Message {
    /// Whether a blank line follows it.
    fn has_end(&self) -> bool {
        !self.blank.is_empty()
    }

    /// Appends a line and the blank lines before it, up to a limit.
    fn push(&mut self, line: &str, max: usize) {
        let blank = std::mem::take(&mut self.blank);
        self.is_too_large |= self.text.len() + blank.len() + line.len() > max;
        if self.is_too_large {
            self.text = String::new();
            return;
        }
        self.text.push_str(&blank);
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(line);
    }

    fn push_blank(&mut self, line: &str, max: usize) {
        // A message of nothing but one blank line after the other is cut off at the limit.
        if self.role == Role::Assistant && self.text.len() + self.blank.len() + line.len() < max {
            self.blank.push('\n');
            self.blank.push_str(line);
        } else if self.blank.is_empty() {
            self.blank.push('\n');
        }
    }
}

impl History<'_> {
    fn location(&self, line: u64) -> Location {
        Location::Line { file: self.file.clone(), line }
    }

    /// Reads the file; `None` if the receiver stopped.
    fn read(&mut self, progress: &Progress) -> Result<Option<()>, TransferError> {
        let file = self.file.clone();
        let mut lines = LineReader::open(&file, self.max, progress)?;
        let mut is_torn = false;
        let stopped = loop {
            let (number, line) = match lines.next_bytes() {
                Ok(Some(next)) => next,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            let line = line.and_then(|line| {
                is_torn = !line.ends_with(b"\n");
                str::from_utf8(line).map_err(|_| FindingKind::NotUtf8("line"))
            });
            let taken = match line {
                Ok(_) if is_torn => self.torn(number),
                Ok(line) => self.line(line.trim_end_matches(['\n', '\r']), number),
                Err(found) => {
                    self.report.skip(&self.location(number), found);
                    Some(())
                }
            };
            if taken.is_none() {
                return Ok(None);
            }
        };
        // Aider writes a blank line after each answer, so one without it can continue.
        let has_spaces = self.session.as_ref().and_then(|session| session.has_spaces) == Some(true);
        let is_open = |message: &Message| has_spaces && message.role == Role::Assistant && !message.has_end();
        if let Some(message) = self.message.take_if(|message| is_torn || is_open(message)) {
            self.report.skip(&self.location(message.line), FindingKind::TornText);
        }
        if self.end().is_none() {
            return Ok(None);
        }
        stopped.map(Some)
    }

    /// Takes the last line, which has no line break. It can be a part of any line.
    fn torn(&mut self, number: u64) -> Option<()> {
        let continues = self.message.as_ref().is_some_and(|message| match message.role {
            Role::Assistant => true,
            Role::User => !message.has_end(),
            _ => false,
        });
        if !continues {
            self.message()?;
            self.report.skip(&self.location(number), FindingKind::TornText);
        }
        Some(())
    }

    fn line(&mut self, line: &str, number: u64) -> Option<()> {
        let (role, text) = match Line::of(line) {
            Line::Header(time) => return self.header(time, number),
            Line::Marked(role, text, has_spaces) if self.is_marked(has_spaces) => (role, text),
            Line::Text(_) if line.trim().is_empty() => {
                if let Some(message) = &mut self.message {
                    message.push_blank(line, self.max);
                }
                return Some(());
            }
            Line::Marked(..) | Line::Text(_) => (Role::Assistant, line),
        };
        let continues = self.message.as_ref().is_some_and(|message| match role {
            Role::Assistant => message.role == role,
            Role::User => message.role == role && !message.has_end(),
            _ => false,
        });
        if !continues {
            self.message()?;
        }
        let empty =
            || Message { role, text: String::new(), line: number, is_too_large: false, blank: String::new() };
        self.message.get_or_insert_with(empty).push(text, self.max);
        Some(())
    }

    /// Whether a line with a mark is one of the user or of a tool.
    fn is_marked(&mut self, has_spaces: bool) -> bool {
        let Some(session) = &mut self.session else { return true };
        let need_spaces = *session.has_spaces.get_or_insert(has_spaces);
        has_spaces || !need_spaces
    }

    fn header(&mut self, text: &str, line: u64) -> Option<()> {
        self.end()?;
        let location = self.location(line);
        let time = iso8601::parse(text).unwrap_or_else(|| {
            self.report.warn(&location, FindingKind::NoTime("aider chat started at"));
            Timestamp::from_micros(0)
        });
        let nth = self.times.entry(text.to_owned()).or_default();
        *nth += 1;
        let id = if *nth == 1 { format!("aider {text}") } else { format!("aider {text}/{nth}") };
        let refusal = match ThreadId::new(id) {
            Ok(id) => {
                let new = record::thread(Format::Aider, &id).created_at(time);
                self.sink.take(Step::Begin(Box::new(Conversation::new(id, new, location))))?;
                None
            }
            Err(error) => {
                let found = FindingKind::InvalidId(error);
                self.report.skip(&location, found.clone());
                Some(found)
            }
        };
        self.session = Some(Session { refusal, time, messages: 0, has_spaces: None });
        Some(())
    }

    /// Ends the current message.
    fn message(&mut self) -> Option<()> {
        let Some(message) = self.message.take() else { return Some(()) };
        let location = self.location(message.line);
        let Some(session) = &mut self.session else {
            self.report.skip(&location, FindingKind::NoHeader);
            return Some(());
        };
        session.messages += 1;
        let refusal = session.refusal.clone();
        if let Some(found) =
            refusal.or(message.is_too_large.then_some(FindingKind::TooLarge { max: self.max }))
        {
            self.report.skip(&location, found);
            return Some(());
        }
        let hash = blake3::hash(message.text.as_bytes()).to_hex();
        let id = format!("message-{}-{}", session.messages, &hash[..8]);
        let id = MessageId::new(id).expect("short, without controls");
        let row = ImportRow::new(id, message.role, Content::text(&message.text), session.time);
        self.sink.take(Step::Row(Box::new(row), location))
    }

    /// Ends the current session.
    fn end(&mut self) -> Option<()> {
        self.message()?;
        match self.session.take() {
            Some(Session { refusal: None, .. }) => self.sink.take(Step::End),
            _ => Some(()),
        }
    }
}
