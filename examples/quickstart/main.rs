//! Plays conversations through a pipeline into SQLite, closes it, opens it again, and compares every message with what
//! was read.
//!
//! ```text
//! cargo run --release --example quickstart [-- [FILE…] [--db PATH]]
//! ```
//!
//! `FILE` holds one JSON object a line, or one JSON array of them: turns of a coding agent's session log, or
//! ShareGPT-style chats, also mixed.
//! Without one it reads a small transcript of its own. `PATH` is the SQLite file, a fresh one by default.
//!
//! The stack stands in `store.rs`, a plugin in `tally.rs`, and what a host does with a thread in `player.rs`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod array;
mod lines;
mod player;
mod reader;
mod record;
mod report;
mod store;
mod tally;
mod transcript;
mod verify;

use std::{error::Error, path::PathBuf, process::ExitCode};

use indicatif::{ProgressBar, ProgressStyle};
use throughline::{TenantId, ThreadId};

use self::{
    player::play,
    reader::Reader,
    report::Report,
    store::{Files, Stores},
    verify::verify,
};

const USAGE: &str = "usage: quickstart [FILE…] [--db PATH]\n\n\
    FILE holds one JSON object a line, or an array of them: turns of a coding agent's session log, or ShareGPT-style chats.";
const SAMPLE: &str = include_str!("sample.jsonl");

/// Every message that was read is in the store, byte for byte.
const VERIFIED: u8 = 0;
/// Something in the store is not as it was read, or the store failed.
const FAILED: u8 = 1;
/// There was nothing to do.
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
    let played = play(&stores.db, &conversations, &bar).await?;
    bar.finish_and_clear();
    let count = conversations.len();
    let report = Report { stores: &stores, files: &files, played: &played, conversations: count, skipped };
    println!("{report}");
    stores.close().await?;

    // What counts is what a later process finds.
    let stores = Stores::open(&files, &run).await?;
    let verdict = verify(&stores, &conversations, &played.refused).await?;
    stores.close().await?;
    for fault in &verdict.faults {
        eprintln!("not as it was read: {fault}");
    }
    println!("{} of the messages are in the agents' file", verdict.redirected);
    println!("verified {} of {} messages", verdict.verified, verdict.expected);
    Ok(if verdict.faults.is_empty() { VERIFIED } else { FAILED })
}

/// What the caller asked for.
struct Arguments {
    files: Vec<PathBuf>,
    db: Option<PathBuf>,
}

impl Arguments {
    /// Nothing when help was asked for.
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

    /// The file that was named, or a fresh one that stays for whoever wants to look into it.
    fn files_to_write(&self) -> std::io::Result<Files> {
        let main = match &self.db {
            Some(path) => path.clone(),
            None => tempfile::Builder::new().prefix("throughline-").tempdir()?.keep().join("quickstart.db"),
        };
        Ok(Files::at(&main))
    }
}
