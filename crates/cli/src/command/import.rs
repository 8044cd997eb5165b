//! `import`: conversations from the files of other programs.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use throughline::transfer::{Finding, Progress, Report};

use super::{Indexes, sources::Kind};
use crate::{
    Exit, Failure, Outcome, Session,
    output::{BAD, CAUTION, GOOD, Output, count, line},
};

/// The findings that the text shows; JSON has all that the report lists.
const SHOWN: usize = 20;

/// Imports conversations from the files of other programs
///
/// A repeated import adds only the messages that are missing. The store is created if there is none.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The format of the paths
    #[arg(value_name = "FORMAT", value_parser = Kind::parser())]
    kind: Kind,
    /// The files or folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    indexes: Indexes,
    /// Reads everything and writes nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Imported {
    dry_run: bool,
    sources: Vec<OfSource>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfSource {
    path: PathBuf,
    format: &'static str,
    threads: u64,
    messages: u64,
    already_there: u64,
    skipped: Vec<String>,
    warnings: Vec<String>,
    not_listed: u64,
}

impl OfSource {
    pub(super) fn of(path: &Path, format: &'static str, report: &Report) -> Self {
        let texts = |findings: &[Finding]| findings.iter().map(ToString::to_string).collect();
        Self {
            path: path.to_owned(),
            format,
            threads: report.threads,
            messages: report.messages,
            already_there: report.already_there,
            skipped: texts(&report.skipped),
            warnings: texts(&report.warnings),
            not_listed: report.not_listed.total(),
        }
    }

    /// A skipped message is a finding; a warning is not.
    pub(super) const fn exit(&self) -> Exit {
        if self.skipped.is_empty() { Exit::Done } else { Exit::Findings }
    }

    pub(super) fn write(&self, verb: &str, output: &mut Output) -> Result<(), Failure> {
        let path = line(&self.path.to_string_lossy());
        let (messages, threads) = (count(self.messages, "message"), count(self.threads, "thread"));
        let there = match self.already_there {
            0 => String::new(),
            there => format!("; {there} were there already"),
        };
        output.sentence(format_args!(
            "{GOOD}{verb}{GOOD:#} {path} ({}): {messages} in {threads}{there}",
            self.format
        ))?;
        for (style, name, findings) in
            [(BAD, "left out", &self.skipped), (CAUTION, "warning", &self.warnings)]
        {
            for finding in findings.iter().take(SHOWN) {
                output.sentence(format_args!("  {style}{name}{style:#}: {}", line(finding)))?;
            }
            if findings.len() > SHOWN {
                output.line(format_args!("  and {} more; --json lists them", findings.len() - SHOWN))?;
            }
        }
        if self.not_listed > 0 {
            output.line(format_args!("  and {} more findings that no report lists", self.not_listed))?;
        }
        Ok(())
    }
}

impl Import {
    pub(super) async fn run(self, session: &mut Session) -> Outcome {
        // Every path is opened before the first one is imported.
        let mut sources = Vec::new();
        for path in &self.paths {
            sources.push((path, self.kind.open(path)?));
        }
        let db = if self.dry_run { None } else { Some(session.open_or_create(&self.indexes, None).await?) };
        let mut imported = Imported { dry_run: self.dry_run, sources: Vec::new() };
        for (path, source) in sources {
            let progress = Progress::new();
            let source = source.with_progress(progress.clone());
            let transfer = async {
                match &db {
                    Some(db) => source.import(db).await,
                    None => source.plan().await,
                }
            };
            let name = line(&path.to_string_lossy());
            let report = super::progress::bar(format!("reading {name}"), &progress, transfer).await?;
            imported.sources.push(OfSource::of(path, source.format().name(), &report));
        }
        let is_whole = imported.sources.iter().all(|source| source.exit() == Exit::Done);
        let exit = if is_whole { Exit::Done } else { Exit::Findings };
        let output = &mut session.output;
        if output.is_json() {
            output.json("import", &imported)?;
            return Ok(exit);
        }
        for source in &imported.sources {
            source.write(if self.dry_run { "would import" } else { "imported" }, output)?;
        }
        if self.dry_run {
            output.line("Nothing was written.")?;
        }
        Ok(exit)
    }
}
