//! `conformance`: the reports of the conformance kit.

mod file;
mod markdown;
mod summary;
mod text;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use self::summary::Summary;
use crate::{Exit, Outcome, Session};

/// Shows the conformance report of a backend
#[derive(Debug, Args)]
pub(crate) struct Conformance {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Report(Report),
}

/// Shows whether a backend keeps every claim; exits with 3 if it does not
///
/// The test program of a backend writes the file: `cargo test --test conformance -- --report FILE`.
#[derive(Debug, Args)]
struct Report {
    /// The files that test programs wrote with --report
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to write it
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table of the families of checks, and each failure
    Text,
    /// The same as Markdown
    Markdown,
    /// The same as one JSON document, as with --json
    Json,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reported {
    keeps_claims: bool,
    backends: Vec<Summary>,
}

impl Conformance {
    pub(super) fn run(&self, session: &mut Session) -> Outcome {
        match &self.verb {
            Verb::Report(report) => report.run(session),
        }
    }
}

impl Report {
    fn run(&self, session: &mut Session) -> Outcome {
        let mut backends = Vec::new();
        for path in &self.files {
            backends.extend(file::read(path)?.into_iter().map(Summary::of));
        }
        let reported = Reported { keeps_claims: backends.iter().all(Summary::keeps_claims), backends };
        let exit = if reported.keeps_claims { Exit::Done } else { Exit::Findings };
        session.settled = Some(exit);
        let output = &mut session.output;
        let format = if output.is_json() { Format::Json } else { self.format };
        if format == Format::Json {
            output.json("conformance report", &reported)?;
            return Ok(exit);
        }
        for (at, backend) in reported.backends.iter().enumerate() {
            if at > 0 {
                output.line("")?;
            }
            match format {
                Format::Markdown => markdown::write(backend, output)?,
                _ => text::write(backend, output)?,
            }
        }
        Ok(exit)
    }
}
