//! Every mutant is caught by the checks that are named for it.

use std::process::ExitCode;

fn main() -> ExitCode {
    throughline_conformance::mutants::main()
}
