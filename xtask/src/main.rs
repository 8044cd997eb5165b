//! The tasks of the workspace.
//!
//! ```text
//! cargo xtask test          the tests of the embedded default: SQLite and memory, with every layer
//! cargo xtask ci            everything that is checked before a change lands
//! cargo xtask ci --quick    the inner loop
//! cargo xtask python        the Python package, and the suites of its peers
//! cargo xtask list          the steps of `ci`
//! cargo xtask postgres      a PostgreSQL to try things with
//! cargo xtask lines         the lines of each crate, and the limits
//! cargo xtask order         which module of a crate uses which, and the circles
//! cargo xtask words         the words in each member that the glossary replaces
//! ```
#![allow(clippy::print_stdout, reason = "a command-line tool talks to its user on standard output")]

mod cli;
mod lines;
mod metadata;
mod order;
mod process;
mod process_group;
mod report;
mod runner;
mod rust_source;
mod skips;
mod steps;
mod words;
mod workspace;

use std::process::ExitCode;

use cli::Command;
use skips::Skips;
use throughline_postgres_cluster::Cluster;
use workspace::Workspace;

/// The result of a fallible part of xtask. Its errors are only ever shown to a person, so they are text.
pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match cli::parse(lexopt::Parser::from_env()) {
        Ok(command) => execute(&command),
        Err(error) => {
            eprintln!("error: {error}\n\n{}", cli::HELP);
            ExitCode::from(2)
        }
    }
}

/// A cluster until the end of input, or of this program: it goes with it.
fn serve(workspace: &Workspace) -> Result {
    let cluster = Cluster::start(&steps::postgres::installation(workspace)?)?;
    println!("{}", cluster.url("postgres"));
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

/// Carries out one command line.
fn execute(command: &Command) -> ExitCode {
    match command {
        Command::Help => print!("{}", cli::HELP),
        Command::List => print!("{}", steps::listing()),
        Command::Postgres => return task(serve),
        Command::CountLines { check } => return task(|workspace| lines::run(workspace, *check)),
        Command::Order { member, check } => {
            return task(|workspace| order::run(workspace, member.as_deref(), *check));
        }
        Command::Words { member } => return task(|workspace| words::run(workspace, member.as_deref())),
        Command::Python { long, peer } => return python(*long, peer.as_deref()),
        Command::Run(run) => match Workspace::find(run.long) {
            Ok(workspace) => return runner::run(&workspace, &run.selection.steps(), run.keep_going),
            Err(error) => return failure(&*error),
        },
    }
    ExitCode::SUCCESS
}

/// Checks the Python package, and repeats at the end what was skipped.
fn python(long: bool, peer: Option<&str>) -> ExitCode {
    let mut skips = Skips::default();
    let checked =
        Workspace::find(long).and_then(|workspace| steps::python::check(&workspace, &mut skips, peer));
    for skip in skips.iter() {
        println!("{skip}");
    }
    checked.map_or_else(|error| failure(&*error), |()| ExitCode::SUCCESS)
}

/// Carries out a task that is not a step.
fn task(body: impl FnOnce(&Workspace) -> Result) -> ExitCode {
    match Workspace::find(false).and_then(|workspace| body(&workspace)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure(&*error),
    }
}

fn failure(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::FAILURE
}
