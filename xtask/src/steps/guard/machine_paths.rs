//! No path of one particular machine: the workspace works wherever it is cloned.

use super::Finding;

/// Folders that only an absolute path has at its start. Each in two parts, so that this file does not hold them.
const FOLDERS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    // Recorded conversations are data: they may speak of any path.
    if path.ends_with(".jsonl") {
        return Vec::new();
    }
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(index, line)| {
            Some(Finding::at(index, format!("a machine's path, `{}`", absolute(line)?)))
        })
        .collect()
}

/// The first of the folders that is the start of a path.
fn absolute(line: &str) -> Option<&'static str> {
    let starts_a_path = |folder: &str| line.match_indices(folder).any(|(at, _)| begins_here(&line[..at]));
    FOLDERS.into_iter().find(|folder| starts_a_path(folder))
}

/// Whether a slash after this text begins an absolute path, and does not go on with a relative one.
fn begins_here(before: &str) -> bool {
    let goes_on = |last: char| last.is_alphanumeric() || "_-.~/*)}>".contains(last);
    before.ends_with("://") || !before.ends_with(goes_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_are_found() {
        for folder in FOLDERS {
            for line in [format!("{folder}a"), format!("let a = \"{folder}\";"), format!("file://{folder}a")]
            {
                assert_eq!(check("a.toml", &line).len(), 1, "{line}");
            }
        }
    }

    #[test]
    fn relative_paths_are_not() {
        for folder in FOLDERS {
            for line in [format!("src{folder}a.rs"), format!("..{folder}a"), format!("${{dir}}{folder}a")] {
                assert_eq!(check("a.toml", &line), [], "{line}");
            }
        }
    }

    #[test]
    fn recorded_conversations_may_speak_of_any_path() {
        assert_eq!(check("tests/data/a.jsonl", FOLDERS[0]), []);
    }
}
