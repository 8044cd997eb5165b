//! A module is named after what it is about; these names are about nothing.

use super::Finding;

/// The names that no module has.
const EMPTY: [&str; 7] = ["util", "utils", "helper", "helpers", "manager", "managers", "common"];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let Some(stem) = path.strip_suffix(".rs").or_else(|| path.strip_suffix(".py")) else { return Vec::new() };
    let mut findings = Vec::new();
    if let Some(part) = stem.split('/').find(|part| EMPTY.contains(part)) {
        findings.push(Finding::whole(format!("`{part}` names nothing; say what it is about")));
    }
    for (index, line) in text.lines().enumerate() {
        // Also a module with its source in the same file, or elsewhere by a `path` attribute.
        if let Some(name) = declared_module(line).filter(|name| EMPTY.contains(name)) {
            findings.push(Finding::at(index, format!("module `{name}` names nothing; say what it is about")));
        }
    }
    findings
}

/// The module that a line declares: `mod x;`, `pub mod x {`, `pub(crate) mod x;`.
fn declared_module(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("mod ")?;
    let before = before.trim();
    let name = after.trim_end().trim_end_matches(['{', '}']).trim_end().trim_end_matches(';').trim();
    (before.is_empty() || before.starts_with("pub")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_found() {
        for path in ["src/utils.rs", "tests/common/mod.rs", "a/helpers/b.rs", "a/utils.py"] {
            assert_eq!(check(path, "").len(), 1, "{path}");
        }
        for path in ["src/commonplace.rs", "src/queue.rs", "docs/common/a.md", "common"] {
            assert_eq!(check(path, "").len(), 0, "{path}");
        }
    }

    #[test]
    fn declarations_are_found_with_their_line() {
        let text =
            "//! mod utils;\nmod fine;\npub(crate) mod utils;\n    mod common {\nlet mod_common = 1;\n";
        let lines: Vec<_> = check("src/lib.rs", text).into_iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [Some(3), Some(4)]);
    }
}
