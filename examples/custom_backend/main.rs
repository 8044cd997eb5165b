//! A backend of your own: a log in a file, and the conformance kit that says whether it keeps its word.
//!
//! It adds and reads. What it does not do it does not claim, and the kit checks that the pipeline refuses it.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    path::Path,
    process::ExitCode,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Deserializer;
use throughline::{
    Add, Added, Admitted, Backend, BoxError, Capabilities, Durability, ErrorKind, Generation, Message,
    MessageId, OpKind, OpenReservations, Page, PageFrom, PersistError, Position, ReadArgs, ReadPage,
    ReadResult, Reply, Result, Seq, TenantId, ThreadId,
    backend::{AnswerBytes, EstimatedSize as _, rules},
};
use throughline_conformance::{Fixture, Place, Profile};

struct LogBackend(Mutex<Log>);

/// The file holds messages as JSON, one after the other; what is in memory is what was read from it.
#[derive(Default)]
struct Log {
    /// Nothing once it is closed, or a write has failed: what followed half a message could not be read.
    file: Option<File>,
    written: u64,
    threads: HashMap<(TenantId, ThreadId), Rows>,
}

/// The messages of a thread in order, and where each id is.
#[derive(Default)]
struct Rows {
    messages: Vec<Message>,
    places: HashMap<MessageId, usize>,
}

impl LogBackend {
    fn open(path: &Path) -> Result<Self, BoxError> {
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut log = Log::default();
        let mut messages = Deserializer::from_slice(&bytes).into_iter();
        let mut end = 0;
        while let Some(message) = messages.next() {
            match message {
                Ok(message) => log.take(message),
                // The last writer died in the middle of a message, and never answered for it.
                Err(error) if error.is_eof() => break,
                Err(error) => return Err(error.into()),
            }
            end = messages.byte_offset() as u64;
        }
        file.set_len(end)?;
        log.file = Some(file);
        Ok(Self(Mutex::new(log)))
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn take(&mut self, message: Message) {
        let rows = self.threads.entry((message.tenant.clone(), message.thread.clone())).or_default();
        rows.places.insert(message.id.clone(), rows.messages.len());
        rows.messages.push(message);
        self.written += 1;
    }

    /// The file first: what cannot be written has not happened.
    fn commit(&mut self, message: &Message) -> Result<Position> {
        let failed = || PersistError::new(ErrorKind::Unavailable, "the log takes no more");
        let json = serde_json::to_vec(message).map_err(|error| failed().with_source(error))?;
        let mut file = self.file.take().ok_or_else(failed)?;
        // An error that does not say its effect counts as an unknown outcome, which is the truth here.
        file.write_all(&json).map_err(|error| failed().with_source(error))?;
        self.file = Some(file);
        self.take(message.clone());
        Ok(Position::new(self.written))
    }
}

impl Backend for LogBackend {
    fn name(&self) -> &str {
        "log"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new(Durability::Process).with_operations(&[OpKind::Add, OpKind::Read])
    }

    async fn add(&self, call: Admitted<'_, Add>) -> Result<Reply<Add>> {
        let (add, context, now) = call.into_parts();
        let mut log = self.lock();
        let rows = log.threads.entry((context.tenant().clone(), add.thread.clone())).or_default();
        if rows.places.contains_key(&add.id) {
            let error = PersistError::new(ErrorKind::AlreadyExists, "the thread has a message with this id");
            return Err(error.about(&add.thread, &add.id));
        }
        let last = Seq::new(rows.messages.len() as u64);
        rules::expect_last(add.after, last)?;
        // No thread is ever cleared here, so that each is in its first generation.
        rules::expect_generation(add.generation, Generation::FIRST)?;
        let message = add.to_message(context.tenant(), last.next(), now);
        let position = log.commit(&message)?;
        Ok(Reply::at(Added { message, deduplicated: false }, position))
    }

    async fn read(&self, call: Admitted<'_, ReadArgs>) -> Result<Reply<ReadArgs>> {
        let (read, context, _) = call.into_parts();
        let log = self.lock();
        let nothing = Rows::default();
        let rows = |thread: &ThreadId| {
            log.threads.get(&(context.tenant().clone(), thread.clone())).unwrap_or(&nothing)
        };
        Ok(Reply::new(match read {
            ReadArgs::Get(get) => {
                let rows = rows(&get.thread);
                ReadResult::Get(rows.places.get(&get.id).map(|place| rows.messages[*place].clone()))
            }
            ReadArgs::Page(read) => {
                ReadResult::Page(rows(&read.thread).page(&read, Position::new(log.written))?)
            }
            // Nothing is ever reserved here, so nothing is open.
            ReadArgs::OpenReservations(list) => {
                rules::check_page(list.limit, list.max_bytes)?;
                ReadResult::OpenReservations(OpenReservations {
                    messages: Vec::new(),
                    damaged: Vec::new(),
                    next: None,
                })
            }
            other => return Err(PersistError::unsupported(format_args!("the read `{}`", other.as_str()))),
        }))
    }

    async fn close(&self) -> Result<()> {
        self.lock().file = None;
        Ok(())
    }
}

impl Rows {
    /// The message of place 1 stands first, so that a cursor is an index.
    fn page(&self, read: &ReadPage, position: Position) -> Result<Page> {
        rules::check_page(read.limit, read.max_bytes)?;
        let (all, limit) = (self.messages.len(), read.limit as usize);
        let index = |seq: u64| usize::try_from(seq).unwrap_or(usize::MAX).min(all);
        let shown = match read.from {
            PageFrom::Start | PageFrom::End => 0..all,
            PageFrom::After(seq) => index(seq.get())..all,
            PageFrom::Before(seq) => 0..index(seq.get().saturating_sub(1)),
        };
        let cut = if read.from.is_forward() {
            shown.start..shown.end.min(shown.start.saturating_add(limit))
        } else {
            shown.start.max(shown.end.saturating_sub(limit))..shown.end
        };
        let mut has_more = cut.len() < shown.len();
        let mut bytes = AnswerBytes::new(read.max_bytes);
        let fits = |message: &&Message| bytes.take(message.estimated_size());
        let cut = self.messages[cut].iter();
        let messages: Vec<Message> = if read.from.is_forward() {
            cut.take_while(fits).cloned().collect()
        } else {
            let newest_first: Vec<&Message> = cut.rev().take_while(fits).collect();
            newest_first.into_iter().rev().cloned().collect()
        };
        has_more |= bytes.is_full();
        Ok(Page {
            thread: read.thread.clone(),
            messages,
            damaged: vec![],
            has_more,
            first_open: None,
            last_seq: Seq::new(all as u64),
            position,
        })
    }
}

/// All that the kit has to know: how to open a log where it says, and how to open it again.
struct Logs;

impl Fixture for Logs {
    type Backend = LogBackend;

    fn profile(&self) -> Profile {
        Profile::new("log")
    }

    async fn open(&self, place: &Place) -> Result<LogBackend, BoxError> {
        LogBackend::open(&place.directory().join("messages.log"))
    }
}

fn main() -> ExitCode {
    throughline_conformance::main(Logs)
}
