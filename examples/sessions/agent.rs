//! The agent: a process of its own that speaks JSON lines and keeps its sessions in a folder. The host knows nothing of them but
//! their names.

use std::{
    fs::{self, OpenOptions},
    io::{self, BufRead as _, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::Failure;

/// What the host asks.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Prompt {
    pub(crate) resume: Option<String>,
    pub(crate) dir: Option<String>,
    pub(crate) text: String,
}

/// What the agent says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Says {
    /// There is no such session.
    Refused,
    /// This is the session, and it is on disk.
    Session(String),
    /// It does something to the world.
    Tool(String),
    /// It is done, and this much was said in the session before.
    Answer { text: String, remembers: usize },
}

/// Asked this, it ends without a word.
pub(crate) const CRASH: &str = "crash";
/// Asked this, it works until it is stopped.
pub(crate) const HANG: &str = "hang";

/// Answers one prompt.
pub(crate) fn run(sessions: &Path) -> Result<(), Failure> {
    let mut lines = io::stdin().lock().lines();
    let prompt: Prompt = serde_json::from_str(&lines.next().ok_or("no prompt")??)?;
    let session = match prompt.resume {
        Some(session) if sessions.join(&session).exists() => session,
        Some(_) => return say(&Says::Refused),
        None => begin(sessions)?,
    };
    let file = sessions.join(&session);
    let remembers = fs::read_to_string(&file)?.lines().count();
    say(&Says::Session(session))?;
    writeln!(OpenOptions::new().append(true).open(&file)?, "{}", prompt.text)?;
    match prompt.text.as_str() {
        CRASH => std::process::exit(101),
        // Until the host closes the pipe.
        HANG => lines.try_for_each(|line| line.map(drop))?,
        text => {
            say(&Says::Tool("ls".to_owned()))?;
            let dir = prompt.dir.as_deref().unwrap_or("nowhere");
            say(&Says::Answer { text: format!("{text}, in {dir}"), remembers })?;
        }
    }
    Ok(())
}

/// Loses a session, as a disk does, or a clean-up that went too far.
pub(crate) fn lose(sessions: &Path, session: &str) -> Result<(), Failure> {
    Ok(fs::rename(sessions.join(session), sessions.join(lost(session)))?)
}

fn lost(session: &str) -> String {
    format!("{session}.lost")
}

/// A session under a name that none has had.
fn begin(sessions: &Path) -> Result<String, Failure> {
    let machine = sessions.file_name().and_then(|name| name.to_str()).ok_or("a folder without a name")?;
    for number in 1.. {
        let session = format!("{machine}-{number}");
        if sessions.join(lost(&session)).exists() {
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

fn say(says: &Says) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(says)?)?;
    Ok(out.flush()?)
}
