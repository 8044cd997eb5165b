//! Stores conversations in SQLite through a pipeline, reopens the store, and compares every message with the input.
//!
//! ```text
//! cargo run --release --example quickstart [-- [FILE…] [--db PATH]]
//! ```
//!
//! `FILE` holds one JSON object per line, or one JSON array. Its records are turns of a coding agent's session log or
//! ShareGPT-style chats, also mixed. Without a `FILE`, the example reads a small sample. `PATH` is the SQLite file; by
//! default the example creates a new one.
//!
//! Start with `store.rs`, which builds the stack, and `writer.rs`, which writes to a thread. `counter.rs` is a plugin.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod array;
mod counter;
mod lines;
mod reader;
mod record;
mod report;
mod skipped;
mod store;
mod transcript;
mod verify;
mod writer;

use std::{error::Error, path::PathBuf, process::ExitCode};

use indicatif::{ProgressBar, ProgressStyle};
use throughline::{TenantId, ThreadId};

use self::{
    reader::Reader,
    report::Report,
    store::{Files, Stores},
    verify::verify,
    writer::write_all,
};

const USAGE: &str = "usage: quickstart [FILE…] [--db PATH]\n\n\
    FILE holds one JSON object per line, or one JSON array of them: turns of a coding agent's session log, or ShareGPT-style chats.";
const SAMPLE: &str = include_str!("sample.jsonl");

/// Exit code: every stored message is equal to the input, byte for byte.
const VERIFIED: u8 = 0;
/// Exit code: the store failed, or a stored message differs from the input.
const FAILED: u8 = 1;
/// Exit code: the input has no message to store, or the arguments are wrong.
const NOTHING_READ: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::parse() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return VERIFIED.into();
        }
        Err(error) => {
            eprintln!("error: {error}\n{USAGE}");
            return NOTHING_READ.into();
        }
    };
    match run(&arguments).await {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(further) = cause {
                eprintln!("  because: {further}");
                cause = further.source();
            }
            FAILED.into()
        }
    }
}

async fn run(arguments: &Arguments) -> Result<u8, Box<dyn Error>> {
    let mut reader = Reader::default();
    if arguments.files.is_empty() {
        reader.input("sample.jsonl", SAMPLE.as_bytes());
    }
    arguments.files.iter().for_each(|file| reader.file(file));
    let Reader { transcript, records, skipped } = reader;
    let messages = transcript.messages();
    eprint!("{skipped}");
    let skipped = skipped.total();
    println!("read {records} records with {messages} messages, skipped {skipped}");
    if messages == 0 {
        eprintln!("error: there is nothing to store");
        return Ok(NOTHING_READ);
    }
    let conversations = transcript.into_conversations();

    let files = arguments.files_to_write()?;
    let run: TenantId = ThreadId::mint().as_str().parse()?;
    let stores = Stores::open(&files, &run).await?;
    let bar = ProgressBar::new(messages as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos} of {len} messages")?);
    let written = write_all(&stores.db, &conversations, &bar).await?;
    bar.finish_and_clear();
    let count = conversations.len();
    let report = Report { stores: &stores, files: &files, written: &written, conversations: count, skipped };
    println!("{report}");
    stores.close().await?;

    // Verify through a second open, so that the check sees only what is in the files.
    let stores = Stores::open(&files, &run).await?;
    let verdict = verify(&stores, &conversations, &written.refused).await?;
    stores.close().await?;
    for mismatch in &verdict.mismatches {
        eprintln!("mismatch: {mismatch}");
    }
    if verdict.more_mismatches > 0 {
        eprintln!("mismatch: {} more", verdict.more_mismatches);
    }
    println!("{} of the messages are in the agents' file", verdict.redirected);
    println!("verified {} of {} messages", verdict.verified, verdict.expected);
    Ok(if verdict.mismatches.is_empty() { VERIFIED } else { FAILED })
}

/// The parsed command line.
struct Arguments {
    files: Vec<PathBuf>,
    db: Option<PathBuf>,
}

impl Arguments {
    /// Returns `None` when the user asked for help.
    fn parse() -> Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;

        let mut arguments = Self { files: Vec::new(), db: None };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("db") if arguments.db.is_some() => return Err("`--db` is given twice".into()),
                Long("db") => arguments.db = Some(parser.value()?.into()),
                Long("help") | Short('h') => return Ok(None),
                Value(file) => arguments.files.push(file.into()),
                other => return Err(other.unexpected()),
            }
        }
        Ok(Some(arguments))
    }

    /// Returns the paths of both files. Without `--db` they are in a new directory, which the example does not remove.
    fn files_to_write(&self) -> std::io::Result<Files> {
        let main = match &self.db {
            Some(path) => path.clone(),
            None => tempfile::Builder::new().prefix("throughline-").tempdir()?.keep().join("quickstart.db"),
        };
        Ok(Files::at(&main))
    }
}
