//! What could not be checked.

use std::{env, fs::OpenOptions, io::Write as _};

/// The file that skips are collected in, where somebody collects them.
const SKIPS: &str = "THROUGHLINE_SKIPS";

/// Says, where it is seen, that something was not checked and why. The caller returns then: a skip is never a pass.
///
/// # Panics
/// When the file named by `THROUGHLINE_SKIPS` cannot be written.
pub fn skipped(what: &str, why: &str) {
    println!("SKIPPED: {what} ({why})");
    if let Some(path) = env::var_os(SKIPS) {
        let mut file =
            OpenOptions::new().create(true).append(true).open(&path).expect("the file of skips opens");
        writeln!(file, "{what}\t{why}").expect("the file of skips is written");
    }
}
