//! One term for one thing: the words that the glossary replaces are in no clean file.

use super::Finding;
use crate::words;

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    words::check(path, text).into_iter().map(|(line, message)| Finding::at(line - 1, message)).collect()
}
