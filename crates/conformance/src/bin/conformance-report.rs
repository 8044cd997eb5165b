//! Puts together what the processes of a test run left: `conformance-report DIRECTORY [--json]`.

use std::{env, io::Write as _, process::ExitCode};

use throughline_conformance::report::Report;

fn main() -> ExitCode {
    let (options, paths): (Vec<_>, Vec<_>) =
        env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let (Some(directory), true) = (paths.first(), options.iter().all(|option| option == "--json")) else {
        return complain("usage: conformance-report DIRECTORY [--json]");
    };
    let report = match Report::from_directory(directory) {
        Ok(report) => report,
        Err(error) => return complain(&format!("{directory}: {error}")),
    };
    let text = if options.is_empty() { report.to_markdown() } else { report.to_json() };
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) if report.is_success() => ExitCode::SUCCESS,
        Ok(()) | Err(_) => ExitCode::FAILURE,
    }
}

fn complain(what: &str) -> ExitCode {
    drop(writeln!(std::io::stderr(), "{what}"));
    ExitCode::from(2)
}
