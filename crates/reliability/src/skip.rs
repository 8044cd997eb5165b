//! Skipped checks.

use std::{env, fs::OpenOptions, io::Write as _};

/// The environment variable with the file that collects skips.
const SKIPS: &str = "THROUGHLINE_SKIPS";

/// Prints that a check was skipped and why. The caller then returns: a skip is never a pass.
///
/// # Panics
/// If the file of `THROUGHLINE_SKIPS` cannot be written.
pub fn skipped(check: &str, why: &str) {
    println!("SKIPPED: {check} ({why})");
    if let Some(path) = env::var_os(SKIPS) {
        let mut file =
            OpenOptions::new().create(true).append(true).open(&path).expect("the file of skips opens");
        writeln!(file, "{check}\t{why}").expect("the file of skips is written");
    }
}
