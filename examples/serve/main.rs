//! A SQLite store behind the HTTP interface, with its page: real transcripts, and three replies that are being written.
//!
//! ```sh
//! cargo run --release -p serve                               # the sample of the quickstart, until Ctrl-C
//! cargo run --release -p serve -- SESSION.jsonl CHATS.json   # your own session logs and chats
//! cargo run --release -p serve -- --address 127.0.0.1:8080 --db chat.db --token a-random-token
//! cargo run --release -p serve -- --empty                    # without transcripts and replies
//! cargo run --release -p serve -- --check                    # checks itself over HTTP, and ends
//! ```
//!
//! Without a token, the server listens on the loopback interface only, and every local program can read and write.
//! Start with `stack.rs`, which builds the pipeline and the server.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

mod check;
mod client;
mod replies;
mod stack;
mod transcripts;

// The reader of session logs and chats is that of the quickstart.
#[path = "../quickstart/array.rs"]
mod array;
#[path = "../quickstart/lines.rs"]
mod lines;
#[path = "../quickstart/reader.rs"]
mod reader;
#[path = "../quickstart/record.rs"]
mod record;
#[path = "../quickstart/skipped.rs"]
mod skipped;
#[path = "../quickstart/transcript.rs"]
#[expect(dead_code, reason = "only the quickstart reports bytes and origins")]
mod transcript;

use std::{error::Error, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use tokio::{net::TcpListener, sync::oneshot};

use crate::{replies::Pace, stack::Stack};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: serve [FILE…] [--address ADDRESS] [--db PATH] [--token TOKEN] [--empty | --check]\n\n\
    FILE holds one JSON object per line, or one JSON array of them: turns of a coding agent's session log, or ShareGPT-style chats.";

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Arguments::parse() {
        Ok(Some(arguments)) => run(arguments).await,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("error: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    // The folder of a new store is removed at the end.
    let folder = tempfile::tempdir()?;
    let file = arguments.db.clone().unwrap_or_else(|| folder.path().join("chat.db"));
    let listener = TcpListener::bind(&arguments.address).await?;
    let address = listener.local_addr()?;
    let stack = Stack::open(&file).await?;

    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(stack.server(listener, arguments.token.as_deref(), stopped)?.into_future());
    println!("serving http://{address}");
    let ended = if arguments.empty {
        tokio::signal::ctrl_c().await.map_err(Into::into)
    } else {
        show(&stack, &arguments, address).await
    };
    drop(stop);
    server.await?;
    // A reply that was interrupted stays open until its lease expires, and a host recovers it then.
    stack.db.close_within(Duration::from_secs(10)).await?;
    ended
}

/// Adds the transcripts and writes the replies.
async fn show(stack: &Stack, arguments: &Arguments, address: SocketAddr) -> Result<()> {
    let conversations = transcripts::read(&arguments.files);
    let added = transcripts::add(&stack.db, &conversations).await?;
    println!("added {added} messages in {} threads", conversations.len());

    let pace = if arguments.check { Pace::AtOnce } else { Pace::Reading };
    let replies = replies::write(&stack.db, &conversations, pace);
    if arguments.check {
        replies.await?;
        return check::run(stack, address, added).await;
    }
    println!("three replies are being written; Ctrl-C ends the server");
    println!("the web page is at http://{address}/ui/");
    tokio::select! {
        ended = replies => ended,
        pressed = tokio::signal::ctrl_c() => pressed.map_err(Into::into),
    }
}

/// The parsed command line.
struct Arguments {
    files: Vec<PathBuf>,
    address: String,
    db: Option<PathBuf>,
    token: Option<String>,
    empty: bool,
    check: bool,
}

impl Arguments {
    /// Returns `None` when the user asked for help.
    fn parse() -> std::result::Result<Option<Self>, lexopt::Error> {
        use lexopt::prelude::*;

        let address = "127.0.0.1:0".to_owned();
        let mut arguments =
            Self { files: Vec::new(), address, db: None, token: None, empty: false, check: false };
        let mut parser = lexopt::Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Long("address") => arguments.address = parser.value()?.string()?,
                Long("db") => arguments.db = Some(parser.value()?.into()),
                Long("token") => arguments.token = Some(parser.value()?.string()?),
                Long("empty") => arguments.empty = true,
                Long("check") => arguments.check = true,
                Long("help") | Short('h') => return Ok(None),
                Value(file) => arguments.files.push(file.into()),
                other => return Err(other.unexpected()),
            }
        }
        if arguments.check && (arguments.token.is_some() || arguments.empty) {
            return Err("`--check` goes with neither `--token` nor `--empty`".into());
        }
        Ok(Some(arguments))
    }
}
