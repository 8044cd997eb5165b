//! Nothing is committed unfinished, and no test is switched off.

use super::{Finding, is_python, is_rust};

/// The marks of unfinished code. Each in two parts, so that this file does not hold them.
const MARKS: [&str; 4] = [
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("#[", "ignore"),
    concat!("#![", "ignore"),
];

/// The same for Python.
const PYTHON_MARKS: [&str; 3] = [
    concat!("raise NotImpl", "ementedError"),
    concat!("pytest.mark.", "skip("),
    concat!("pytest.mark.", "xfail"),
];

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let known: &[&str] = match path {
        path if is_rust(path) => &MARKS,
        path if is_python(path) => &PYTHON_MARKS,
        _ => return Vec::new(),
    };
    let marks = |line: &str| known.iter().find(|mark| line.contains(**mark));
    let lines = text.lines().enumerate();
    lines.filter_map(|(index, line)| Some(Finding::at(index, format!("`{}`", marks(line)?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_is_found() {
        for mark in MARKS {
            let found = check("src/a.rs", &format!("fn a() {{\n    {mark}\n}}\n"));
            assert_eq!(found, [Finding::at(1, format!("`{mark}`"))]);
        }
        for mark in PYTHON_MARKS {
            let found = check("tests/a.py", &format!("def a():\n    {mark}\n"));
            assert_eq!(found, [Finding::at(1, format!("`{mark}`"))]);
        }
    }

    #[test]
    fn words_are_not_marks() {
        assert_eq!(check("src/a.rs", "// to do; ignored\nfn todo() {}\n"), []);
        assert_eq!(check("docs/a.md", MARKS[0]), []);
    }
}
