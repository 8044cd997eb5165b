//! A decision is recorded whole: with what it costs and what else was thought of.

use super::Finding;

/// Where they are.
const FOLDER: &str = "docs/decisions/";

/// The headings that each has.
const HEADINGS: [&str; 4] = ["Context", "Decision", "Drawbacks", "Alternatives"];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    if !is_decision(path) {
        return Vec::new();
    }
    let missing = HEADINGS.into_iter().filter(|heading| !text.lines().any(|line| is_heading(line, heading)));
    missing.map(|heading| Finding::whole(format!("no heading `{heading}`"))).collect()
}

/// `docs/decisions/NNNN-title.md`: another page in the folder, such as a list, is not one.
fn is_decision(path: &str) -> bool {
    let Some(name) = path.strip_prefix(FOLDER).and_then(|name| name.strip_suffix(".md")) else {
        return false;
    };
    let number = name.split('-').next().unwrap_or_default();
    name.contains('-') && number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// A heading of any level whose first word is this one: `## Alternatives considered` has its alternatives.
fn is_heading(line: &str, word: &str) -> bool {
    let text = line.trim_start_matches('#');
    text.len() < line.len() && text.split_whitespace().next() == Some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_heading_is_named() {
        let text = "# 7: A thing\n## Context\n## Decision\nDrawbacks\n### Alternatives considered\n";
        assert_eq!(check("docs/decisions/0007-a-thing.md", text), [Finding::whole("no heading `Drawbacks`")]);
    }

    #[test]
    fn other_pages_are_left_alone() {
        for path in ["docs/decisions/README.md", "docs/guide/0001-a.md", "docs/decisions/12-a.md"] {
            assert_eq!(check(path, ""), [], "{path}");
        }
    }
}
