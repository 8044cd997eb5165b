//! `verify`: every page, row and checksum of a file.

use clap::Args;
use serde::Serialize;
use throughline::{
    ErrorKind,
    sqlite::{Damage, Verification},
};

use crate::{
    Exit, Failure, Outcome, Session,
    output::{BAD, GOOD, Output, count, line},
};

/// Checks every page, index and row of the file, and names each damaged row; exits with 3 if there is one
#[derive(Debug, Args)]
pub(crate) struct Verify {}

/// A verification as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verified {
    pub(super) sound: bool,
    checked: Checked,
    damaged: Vec<DamagedPart>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    messages: u64,
    tombstones: u64,
    chunks: u64,
    idempotency_keys: u64,
    threads: u64,
    aliases: u64,
    changes: u64,
    consumers: u64,
    sessions: u64,
    attempts: u64,
    audit_entries: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DamagedPart {
    part: String,
    tenant: Option<String>,
    thread: Option<String>,
    message: Option<String>,
    reason: String,
}

impl Verified {
    pub(super) fn of(found: &Verification) -> Self {
        let checked = Checked {
            messages: found.messages,
            tombstones: found.deleted,
            chunks: found.chunks,
            idempotency_keys: found.keys,
            threads: found.threads,
            aliases: found.aliases,
            changes: found.changes,
            consumers: found.consumers,
            sessions: found.sessions,
            attempts: found.attempts,
            audit_entries: found.audit,
        };
        let part = |damage: &Damage| DamagedPart {
            part: format!("{:?}", damage.part).to_lowercase(),
            tenant: damage.tenant.as_ref().map(ToString::to_string),
            thread: damage.thread.as_ref().map(ToString::to_string),
            message: damage.message.as_ref().map(ToString::to_string),
            reason: damage.reason.clone(),
        };
        Self { sound: found.is_sound(), checked, damaged: found.damaged.iter().map(part).collect() }
    }

    /// A file whose damage keeps it from being opened.
    fn unreadable(reason: String) -> Self {
        let damage = DamagedPart { part: "file".into(), tenant: None, thread: None, message: None, reason };
        Self { damaged: vec![damage], ..Self::of(&Verification::default()) }.with_sound(false)
    }

    const fn with_sound(mut self, sound: bool) -> Self {
        self.sound = sound;
        self
    }

    pub(super) const fn exit(&self) -> Exit {
        if self.sound { Exit::Done } else { Exit::Findings }
    }

    /// Writes the damage, each row on its own lines.
    pub(super) fn write(&self, output: &mut Output) -> Result<(), Failure> {
        for DamagedPart { part, tenant, thread, message, reason } in &self.damaged {
            let mut text = format!("{BAD}damaged {part}{BAD:#}:");
            for (name, value) in [("tenant", tenant), ("thread", thread), ("message", message)] {
                if let Some(value) = value {
                    text.push_str(&format!(" {name} `{}`,", line(value)));
                }
            }
            output.sentence(format_args!("{text} {}", line(reason)))?;
        }
        Ok(())
    }
}

impl Verify {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        let file = match session.file("verify").await {
            Err(Failure::Reported(report)) if report.code == ErrorKind::Corrupt.code() => Err(report.text),
            file => Ok(file?),
        };
        let progress = super::progress::spinner("verifying");
        let verified = match file {
            Ok(file) => Verified::of(&file.verify().await?),
            Err(reason) => Verified::unreadable(reason),
        };
        progress.finish_and_clear();
        let name = session.store_name();
        session.settled = Some(verified.exit());
        let output = &mut session.output;
        if output.is_json() {
            output.json("verify", &verified)?;
            return Ok(verified.exit());
        }
        verified.write(output)?;
        let Checked { messages, threads, changes, .. } = &verified.checked;
        let checked = format!(
            "{}, {} and {}",
            count(*threads, "thread"),
            count(*messages, "message"),
            count(*changes, "change")
        );
        if verified.sound {
            output.sentence(format_args!("{GOOD}sound{GOOD:#}: {name}, with {checked}"))?;
        } else {
            let damages = count(verified.damaged.len() as u64, "damage");
            output.sentence(format_args!("{BAD}{damages}{BAD:#}: {name}, with {checked}"))?;
            output.sentence("`throughline repair` shows what can be repaired.")?;
        }
        Ok(verified.exit())
    }
}
