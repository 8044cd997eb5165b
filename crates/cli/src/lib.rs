//! The command `throughline`: looks at a store, checks it, repairs it, backs it up, moves it and serves it.
//!
//! `cargo install --path crates/cli` installs it. It works on a SQLite file or a Postgres database without layers. A host whose
//! store is encrypted or redirected has the same commands over its own stack:
//!
//! ```no_run
//! use throughline::{layers::limits::LimitsLayer, pipeline::LayerList};
//! use throughline_cli::{Stack, run};
//!
//! fn main() -> std::process::ExitCode {
//!     run(Stack::new().layers(|_access| LayerList::new().with(LimitsLayer::new())))
//! }
//! ```
//!
//! # Exit codes
//! | code | meaning |
//! |---|---|
//! | 0 | the command did its work |
//! | 1 | it failed |
//! | 2 | its arguments are not valid |
//! | 3 | it did its work, and reports findings: damaged rows, differences |
//! | 4 | the store is busy or cannot be reached; the same command may succeed later |
//!
//! # Changes
//! A command that only reads leaves every file as it was. A command that deletes shows its plan, and changes nothing without
//! `--apply`.

mod arguments;
mod command;
mod failure;
mod output;
mod session;
mod stack;
mod store;

/// The program of the guide, as a documentation test.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/guide/command.md")]
    mod command {}
}

use std::{ffi::OsString, io::Write as _, process::ExitCode, time::Duration};

use clap::{CommandFactory as _, FromArgMatches as _};

pub use self::stack::{Access, Stack};
pub(crate) use self::{
    failure::{Exit, Failure, Outcome},
    session::Session,
};
use crate::{arguments::Arguments, command::OnInterrupt, output::Output, store::StoreName};

/// How long the threads of the runtime may work on after the command has ended.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// Runs the command of the program's arguments over this stack, and returns the exit code of the program.
///
/// It builds a tokio runtime of its own, so call it outside of one. Ctrl-C ends the command and closes the store.
///
/// # Panics
/// If the operating system gives no threads for a runtime.
#[must_use]
pub fn run(stack: Stack) -> ExitCode {
    run_with(stack, std::env::args_os())
}

/// Runs the command of these arguments, whose first one is the name of the program. Otherwise as [`run`].
///
/// # Panics
/// If the operating system gives no threads for a runtime.
#[must_use]
pub fn run_with(stack: Stack, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = Arguments::command()
        .try_get_matches_from(&arguments)
        .and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(answer) => return print_answer(&answer, &arguments),
    };
    let is_json = arguments.json;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the operating system gives threads for a runtime");
    let ended = runtime.block_on(execute(stack, arguments));
    runtime.shutdown_timeout(SHUTDOWN);
    match ended {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Reported(report)) => {
            print_failure(&report, is_json);
            ExitCode::from(report.exit as u8)
        }
    }
}

async fn execute(stack: Stack, arguments: Arguments) -> Outcome {
    let Arguments { store, tenant, json, command } = arguments;
    let store = store.as_deref().map(StoreName::parse).transpose()?;
    let mut session = Session::new(stack, store, tenant, Output::new(json));
    let interrupt = command.on_interrupt();
    let interrupted = async {
        match interrupt {
            OnInterrupt::EndsItself => std::future::pending().await,
            _ => interrupted().await,
        }
    };
    let ended = tokio::select! {
        ended = command.run(&mut session) => ended,
        () = interrupted => match interrupt {
            OnInterrupt::IsDone => Ok(Exit::Done),
            _ => Err(Failure::new(Exit::Failed, "cancelled", "the command was interrupted")),
        },
    };
    let flushed = session.output.flush();
    let closed = session.close().await;
    let exit = match (ended, session.settled) {
        (Ok(exit), _) => match flushed.map_err(Failure::from) {
            Ok(()) | Err(Failure::OutputClosed) => exit,
            Err(failure) => return Err(failure),
        },
        (Err(Failure::OutputClosed), Some(exit)) => exit,
        (Err(failure), _) => return Err(failure),
    };
    closed.map(|()| exit)
}

/// Waits for Ctrl-C, or for the signal that a service manager sends.
async fn interrupted() {
    let control_c = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending::<()>().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! {
        () = control_c => {}
        () = terminated => {}
    }
}

/// Prints the help or the version, or why the arguments are not valid.
fn print_answer(answer: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let is_failure = answer.use_stderr();
    let mut options = arguments.iter().take_while(|argument| *argument != "--");
    if is_failure && options.any(|argument| argument == "--json") {
        let Failure::Reported(report) = Failure::of_arguments(answer) else { return ExitCode::SUCCESS };
        print_failure(&report, true);
    } else {
        // A reader of the help that leaves, as `head` does, is no failure.
        drop(answer.print());
    }
    ExitCode::from(u8::try_from(answer.exit_code()).unwrap_or(2))
}

/// Writes a failure to the error output.
fn print_failure(report: &failure::Report, is_json: bool) {
    let mut error = anstream::stderr();
    // A closed error output leaves only the exit code.
    let written = if is_json {
        writeln!(error, "{}", report.to_json())
    } else {
        let width = output::error_width();
        let mut write = |style: anstyle::Style, name: &str, text: &str| {
            let text = format!("{style}{name}{style:#}: {}", output::line(text));
            writeln!(error, "{}", output::wrapped("", &text, width))
        };
        write(output::BAD, "error", &report.text).and_then(|()| match &report.advice {
            Some(advice) => write(output::CAUTION, "help", advice),
            None => Ok(()),
        })
    };
    drop(written);
}
