//! `audit`: the audit log.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;
use throughline::{
    ThreadId,
    audit::{AuditEntry, AuditFrom, AuditNumber, AuditOutcome, AuditPage, ReadAudit},
    changes::ChangeScope,
    layers::audit::{self, Anchor, AuditKey, AuditReport},
    messages::ReadPage,
};

use crate::{
    Access, Exit, Failure, Outcome, Session,
    output::{BAD, CAUTION, DIM, GOOD, Output, count, line, time},
};

/// Reads and verifies the audit log, and makes anchors of it
#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Log(Log),
    Verify(Verify),
    Anchor(MakeAnchor),
}

/// Shows the latest entries of the tenant, oldest first
#[derive(Debug, Args)]
struct Log {
    /// Only the entries of this thread
    #[arg(long, conflicts_with = "all_tenants")]
    thread: Option<ThreadId>,
    /// The entries of every tenant
    #[arg(long)]
    all_tenants: bool,
    /// Begins after this entry; 0 is the first. Otherwise the latest entries are shown
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// The most entries
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(ReadPage::MAX_LIMIT)))]
    limit: u32,
}

/// Verifies the log with its key; exits with 3 if something was changed
#[derive(Debug, Args)]
struct Verify {
    #[command(flatten)]
    key: KeyFile,
    /// A file with anchors, one JSON document on each line
    #[arg(long, value_name = "FILE")]
    anchors: Option<PathBuf>,
}

/// Prints an anchor of the log as one line of JSON
///
/// Keep it outside of the store: with it, `audit verify` detects that the end of the log was removed.
#[derive(Debug, Args)]
struct MakeAnchor {
    #[command(flatten)]
    key: KeyFile,
    /// A file with earlier anchors, which are verified first
    #[arg(long, value_name = "FILE")]
    anchors: Option<PathBuf>,
}

/// The file with the key.
#[derive(Debug, Args)]
struct KeyFile {
    /// The file with the secret of the log: 32 bytes, or 64 hexadecimal digits
    #[arg(
        long = "key-file",
        env = "THROUGHLINE_AUDIT_KEY_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    path: PathBuf,
}

impl KeyFile {
    fn read(&self) -> Result<AuditKey, Failure> {
        let bytes = fs::read(&self.path).map_err(|error| {
            Failure::io(format_args!("`{}` could not be read", self.path.display()), &error)
        })?;
        let secret = secret(&bytes).ok_or_else(|| {
            let text =
                format!("`{}` has no key: it needs 32 bytes, or 64 hexadecimal digits", self.path.display());
            Failure::new(Exit::Failed, "invalid", text)
        })?;
        Ok(AuditKey::new(&secret))
    }
}

/// Reads 32 bytes, or the hexadecimal digits of 32 bytes with white space around them.
fn secret(bytes: &[u8]) -> Option<[u8; 32]> {
    if let Ok(secret) = bytes.try_into() {
        return Some(secret);
    }
    let digits = std::str::from_utf8(bytes).ok()?.trim();
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    let mut secret = [0; 32];
    for (at, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(secret)
}

fn anchors(path: Option<&Path>) -> Result<Vec<Anchor>, Failure> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::io(format_args!("`{}` could not be read", path.display()), &error))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| {
            anchor(line).map_err(|error| {
                let text = format!("line {} of `{}` is no anchor: {error}", at + 1, path.display());
                Failure::new(Exit::Failed, "invalid", text)
            })
        })
        .collect()
}

/// Reads an anchor, or the document of `audit anchor --json`.
fn anchor(line: &str) -> serde_json::Result<Anchor> {
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line)?;
    if fields.contains_key("command") {
        fields.remove("command");
        fields.remove("version");
    }
    serde_json::from_value(fields.into())
}

impl Audit {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        match self.verb {
            Verb::Log(log) => log.run(session).await,
            Verb::Verify(verify) => verify.run(session).await,
            Verb::Anchor(anchor) => anchor.run(session).await,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    entries: &'a [AuditEntry],
    damaged: &'a [AuditNumber],
    reached: u64,
    more: bool,
    written: u64,
}

impl Log {
    async fn run(self, session: &mut Session) -> Outcome {
        let db = session.open(Access::Read).await?;
        let scope = match (self.thread, self.all_tenants) {
            (Some(thread), _) => ChangeScope::Thread(thread),
            (None, true) => ChangeScope::Store,
            (None, false) => ChangeScope::Tenant,
        };
        let from = self.after.map_or(AuditFrom::End, |number| AuditFrom::After(AuditNumber::new(number)));
        let page: AuditPage = db.read(ReadAudit::new(scope, from, self.limit)).await?;
        let exit = if page.damaged.is_empty() { Exit::Done } else { Exit::Findings };
        session.settled = Some(exit);
        let output = &mut session.output;
        if output.is_json() {
            let (reached, written) = (page.reached.get(), page.written.get());
            let AuditPage { entries, damaged, more, .. } = &page;
            output.json("audit log", &Shown { entries, damaged, reached, more: *more, written })?;
            return Ok(exit);
        }
        for entry in &page.entries {
            write(entry, output)?;
        }
        for number in &page.damaged {
            output.line(format_args!("{BAD}damaged entry {number}{BAD:#}"))?;
        }
        if page.entries.is_empty() && page.damaged.is_empty() {
            match page.written.get() {
                0 => output
                    .sentence("The store has no audit log: no host has written with the layer `audit`.")?,
                written => {
                    output.sentence(format_args!("No such entry. The log has {written} entries."))?;
                }
            }
        }
        if page.more && self.after.is_some() {
            output.line(format_args!("There are more: --after {}", page.reached))?;
        }
        Ok(exit)
    }
}

fn write(entry: &AuditEntry, output: &mut Output) -> Result<(), Failure> {
    let record = &entry.record;
    let outcome = match &record.outcome {
        AuditOutcome::Applied { position, .. } => format!("{GOOD}applied{GOOD:#} at {position}"),
        AuditOutcome::Failed { kind, effect, site, times, .. } => {
            let times = if *times > 1 { format!(", {times} times") } else { String::new() };
            format!("{BAD}{}{BAD:#} in {}, {effect}{times}", kind.code(), line(site))
        }
        AuditOutcome::Elsewhere { times } => format!("answered elsewhere, {}", count(*times, "call")),
        AuditOutcome::Lost { calls } => {
            format!("{CAUTION}{} without an entry{CAUTION:#}", count(*calls, "call"))
        }
        other => format!("{CAUTION}unknown outcome{CAUTION:#} {}", line(&format!("{other:?}"))),
    };
    let actor = record.actor.as_deref().map_or_else(|| "-".to_owned(), line);
    let tenant = line(record.tenant.as_str());
    output.line(format_args!(
        "{DIM}{}{DIM:#} {} {tenant} {actor}: {outcome}",
        entry.number,
        time(record.at)
    ))?;
    for item in &record.items {
        let mut text = format!("    {}", line(&item.operation));
        if let Some(thread) = &item.thread {
            text.push_str(&format!(" {}", line(thread.as_str())));
        }
        for message in &item.messages {
            text.push_str(&format!(" {}", line(message.as_str())));
        }
        output.line(text)?;
    }
    Ok(())
}

impl Verify {
    async fn run(self, session: &mut Session) -> Outcome {
        let (key, anchors) = (self.key.read()?, anchors(self.anchors.as_deref())?);
        let db = session.open(Access::Read).await?;
        let progress = super::progress::spinner("verifying the audit log");
        let report = audit::verify(&db, &key, &anchors).await?;
        progress.finish_and_clear();
        let exit = if report.is_intact() { Exit::Done } else { Exit::Findings };
        session.settled = Some(exit);
        let output = &mut session.output;
        if output.is_json() {
            output.json("audit verify", &json!({ "isIntact": report.is_intact(), "report": report }))?;
            return Ok(exit);
        }
        write_report(&report, output)?;
        Ok(exit)
    }
}

fn write_report(report: &AuditReport, output: &mut Output) -> Result<(), Failure> {
    if let Some(flaw) = &report.flaw {
        output.sentence(format_args!("{BAD}changed{BAD:#}: {}", line(&flaw.to_string())))?;
    }
    if let Some(comparison) = &report.comparison {
        if comparison.without_entry > 0 {
            let changes = count(comparison.without_entry, "change");
            output.sentence(format_args!("{BAD}{changes} without an entry{BAD:#}"))?;
        }
        if comparison.without_change > 0 {
            output.sentence(format_args!(
                "{BAD}{} entries without their change{BAD:#}",
                comparison.without_change
            ))?;
        }
        let after = comparison.after;
        output.sentence(format_args!(
            "Compared {} after position {after}.",
            count(comparison.changes, "change")
        ))?;
    }
    let (intact, anchored) = (report.intact, report.anchored);
    if report.is_intact() {
        output.sentence(format_args!(
            "{GOOD}intact{GOOD:#} up to entry {intact}, anchored up to entry {anchored}"
        ))?;
    } else {
        output.sentence(format_args!("intact up to entry {intact}, anchored up to entry {anchored}"))?;
    }
    Ok(())
}

impl MakeAnchor {
    async fn run(self, session: &mut Session) -> Outcome {
        let (key, earlier) = (self.key.read()?, anchors(self.anchors.as_deref())?);
        let db = session.open(Access::Read).await?;
        // An anchor attests all entries before it, so that they are verified first.
        let report = audit::verify(&db, &key, &earlier).await?;
        if !report.is_intact() {
            session.settled = Some(Exit::Findings);
            if !session.output.is_json() {
                write_report(&report, &mut session.output)?;
                session.output.flush()?;
            }
            return Err(Failure::new(Exit::Findings, "corrupt", "no anchor was made: the log is not intact"));
        }
        let anchor = audit::anchor(&db, &key).await?;
        // `--anchors` reads both forms.
        match session.output.is_json() {
            true => session.output.json("audit anchor", &anchor)?,
            false => session.output.line(serde_json::to_string(&anchor)?)?,
        }
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_32_bytes_or_64_digits() {
        assert_eq!(secret(&[7; 32]), Some([7; 32]));
        assert_eq!(secret(format!("{}\n", "07".repeat(32)).as_bytes()), Some([7; 32]));
        for bad in ["", "07", &"0g".repeat(32), &"é".repeat(32)] {
            assert_eq!(secret(bad.as_bytes()), None, "{bad}");
        }
    }
}
