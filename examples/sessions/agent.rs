//! The agent: a separate process that speaks JSON lines and keeps its sessions in a folder. The host knows only the ids
//! of the sessions.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufRead as _, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::Failure;

/// A prompt from the host.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Prompt {
    pub(crate) resume: Option<String>,
    pub(crate) dir: Option<String>,
    pub(crate) text: String,
}

/// An event from the agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum AgentEvent {
    /// The session to resume does not exist.
    Refused,
    /// The id of the session, which is on disk.
    Session(String),
    /// A tool call with a side effect.
    Tool(String),
    /// The answer, with the number of earlier prompts in the session.
    Answer { text: String, remembers: usize },
}

/// This prompt makes the agent exit without an answer.
pub(crate) const CRASH: &str = "crash";
/// With this prompt the agent runs until the host stops it.
pub(crate) const HANG: &str = "hang";

/// Answers one prompt from standard input.
pub(crate) fn run(sessions: &Path) -> Result<(), Failure> {
    let mut lines = io::stdin().lock().lines();
    let prompt: Prompt = serde_json::from_str(&lines.next().ok_or("no prompt")??)?;
    let session = match prompt.resume {
        Some(session) if sessions.join(&session).exists() => session,
        Some(_) => return emit(&AgentEvent::Refused),
        None => create_session(sessions)?,
    };
    let file = sessions.join(&session);
    let remembers = fs::read_to_string(&file)?.lines().count();
    emit(&AgentEvent::Session(session))?;
    writeln!(OpenOptions::new().append(true).open(&file)?, "{}", prompt.text)?;
    match prompt.text.as_str() {
        CRASH => std::process::exit(101),
        // Blocks until the host closes the pipe.
        HANG => lines.try_for_each(|line| line.map(drop))?,
        text => {
            emit(&AgentEvent::Tool("ls".to_owned()))?;
            let dir = prompt.dir.as_deref().unwrap_or("nowhere");
            emit(&AgentEvent::Answer { text: format!("{text}, in {dir}"), remembers })?;
        }
    }
    Ok(())
}

/// Makes a session unavailable, as a disk failure or an excessive clean-up would.
pub(crate) fn make_unavailable(sessions: &Path, session: &str) -> Result<(), Failure> {
    Ok(fs::rename(sessions.join(session), sessions.join(unavailable_name(session)))?)
}

fn unavailable_name(session: &str) -> String {
    format!("{session}.unavailable")
}

/// Creates a session with an id that was never used before.
fn create_session(sessions: &Path) -> Result<String, Failure> {
    let machine = sessions.file_name().and_then(|name| name.to_str()).ok_or("a folder without a name")?;
    for number in 1.. {
        let session = format!("{machine}-{number}");
        if sessions.join(unavailable_name(&session)).exists() {
            continue;
        }
        match OpenOptions::new().write(true).create_new(true).open(sessions.join(&session)) {
            Ok(_) => return Ok(session),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err("there are no names left".into())
}

fn emit(event: &AgentEvent) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(event)?)?;
    Ok(out.flush()?)
}
