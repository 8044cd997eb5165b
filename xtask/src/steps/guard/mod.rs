//! `guard`: the rules of the source that no compiler checks. One file each.

mod decisions;
mod length;
mod machine_paths;
mod names;
mod unfinished;
mod words;

use std::fmt;

use crate::Result;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// A rule: what is wrong with a file, given its path from the root, with `/` between the parts, and its text.
type Rule = fn(path: &str, text: &str) -> Vec<Finding>;

/// All rules.
const RULES: [Rule; 6] =
    [length::check, names::check, unfinished::check, machine_paths::check, decisions::check, words::check];

/// Something in a file that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// The line, if it is about one.
    line: Option<usize>,
    message: String,
}

impl Finding {
    /// About the whole file.
    fn whole(message: impl Into<String>) -> Self {
        Self { line: None, message: message.into() }
    }

    /// About a line, counted from 0 as iterators do.
    fn at(index: usize, message: impl Into<String>) -> Self {
        Self { line: Some(index + 1), message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{line}: {}", self.message),
            None => write!(f, " {}", self.message),
        }
    }
}

/// Checks every file that is or would be committed.
pub(super) fn run(workspace: &Workspace, _: &mut Skips) -> Result {
    let (mut files, mut findings) = (0, 0);
    for path in workspace.files()? {
        let Some(text) = workspace.text(&path) else { continue };
        files += 1;
        for finding in RULES.iter().flat_map(|rule| rule(&path, &text)) {
            println!("{path}:{finding}");
            findings += 1;
        }
    }
    println!("{files} files, {findings} findings");
    if findings == 0 { Ok(()) } else { Err(format!("{findings} findings").into()) }
}

/// Whether a path is of Rust source.
fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// Whether a path is of Python source, or of its types.
fn is_python(path: &str) -> bool {
    path.ends_with(".py") || path.ends_with(".pyi")
}
