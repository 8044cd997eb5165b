//! The command `throughline`, over a store without layers.

use std::process::ExitCode;

fn main() -> ExitCode {
    throughline_cli::run(throughline_cli::Stack::new())
}
