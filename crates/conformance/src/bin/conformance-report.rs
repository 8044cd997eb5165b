//! Prints the report of a test run with one process per test: `conformance-report DIRECTORY [--json | --not-claimed]`.

use std::{env, io::Write as _, process::ExitCode};

use throughline_conformance::report::Report;

const USAGE: &str = "usage: conformance-report DIRECTORY [--json | --not-claimed]";

fn main() -> ExitCode {
    let (options, paths): (Vec<_>, Vec<_>) =
        env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let (Some(directory), true) = (paths.first(), options.len() <= 1) else {
        return complain(USAGE);
    };
    let report = match Report::from_directory(directory) {
        Ok(report) => report,
        Err(error) => return complain(&format!("{directory}: {error}")),
    };
    let text = match options.first().map(String::as_str) {
        None => report.to_markdown(),
        Some("--not-claimed") => report.to_markdown_with_not_claimed(),
        Some("--json") => report.to_json(),
        Some(_) => return complain(USAGE),
    };
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) if report.is_success() => ExitCode::SUCCESS,
        Ok(()) | Err(_) => ExitCode::FAILURE,
    }
}

fn complain(case: &str) -> ExitCode {
    drop(writeln!(std::io::stderr(), "{case}"));
    ExitCode::from(2)
}
