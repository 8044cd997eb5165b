//! `cargo xtask lines`: the lines of each crate, and the limits.

use std::fmt::Write;

use crate::Result;
use crate::rust_source::{Kind, segments};
use crate::workspace::Workspace;

/// The most lines that a crate may have under `src`, tests, comments and blank lines included.
const LIMITS: [(&str, usize); 5] = [
    ("throughline-core", 23_000),
    ("throughline-engine", 6_000),
    ("throughline-memory", 1_500),
    ("throughline-postgres", 10_000),
    ("throughline-sqlite", 13_000),
];

/// The most lines that all files of Rust may have together.
const WORKSPACE_LIMIT: usize = 135_000;

/// The lines of one file, or the sum of several.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct LineCount {
    /// Every line.
    all: usize,
    /// The lines that are neither blank nor only a comment.
    code: usize,
}

impl LineCount {
    fn of(source: &str) -> Self {
        let mut is_code = vec![false; source.lines().count()];
        for segment in segments(source).into_iter().filter(|segment| segment.kind != Kind::Comment) {
            for (index, line) in segment.text.lines().enumerate() {
                if !line.trim().is_empty() {
                    is_code[segment.line + index] = true;
                }
            }
        }
        Self { all: is_code.len(), code: is_code.into_iter().filter(|is_code| *is_code).count() }
    }

    fn add(&mut self, other: Self) {
        self.all += other.all;
        self.code += other.code;
    }
}

/// One line of the table.
#[derive(Debug)]
struct Row {
    name: String,
    /// The files under `src`.
    lines: LineCount,
    limit: Option<usize>,
    /// All lines of the other files: tests, benchmarks, examples. The sum of the workspace has no others.
    outside: Option<usize>,
}

impl Row {
    fn new(name: &str) -> Self {
        let limit = LIMITS.iter().find(|(limited, _)| *limited == name).map(|(_, limit)| *limit);
        Self { name: name.to_owned(), lines: LineCount::default(), limit, outside: Some(0) }
    }

    fn add(&mut self, in_src: bool, lines: LineCount) {
        if in_src {
            self.lines.add(lines);
        } else {
            self.outside = self.outside.map(|outside| outside + lines.all);
        }
    }

    fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.lines.all > limit)
    }
}

/// Prints the table. With `check`, a crate over its limit is an error.
pub(crate) fn run(workspace: &Workspace, check: bool) -> Result {
    let rows = rows(workspace)?;
    print!("{}", render(&rows));
    let over: Vec<_> = rows.iter().filter(|row| row.is_over()).map(|row| row.name.as_str()).collect();
    if check && !over.is_empty() {
        return Err(format!("more lines than the limit: {}", over.join(", ")).into());
    }
    Ok(())
}

fn rows(workspace: &Workspace) -> Result<Vec<Row>> {
    let mut members: Vec<_> = workspace.metadata().packages.iter().collect();
    members.sort_by_key(|package| workspace.folder(package));
    let folders: Vec<_> = members.iter().map(|package| workspace.folder(package)).collect();
    let mut rows: Vec<_> = members.into_iter().map(|package| Row::new(&package.name)).collect();
    let mut all = LineCount::default();
    for path in workspace.files()?.iter().filter(|path| path.ends_with(".rs")) {
        let Some(text) = workspace.text(path) else { continue };
        let lines = LineCount::of(&text);
        all.add(lines);
        if let Some(member) = owner(&folders, path) {
            rows[member].add(path[folders[member].len()..].starts_with("src/"), lines);
        }
    }
    rows.push(Row { lines: all, limit: Some(WORKSPACE_LIMIT), outside: None, ..Row::new("every .rs file") });
    Ok(rows)
}

/// The member whose folder a file is in. The root package has every file that no other member has.
fn owner(folders: &[String], path: &str) -> Option<usize> {
    let holding = (0..folders.len()).filter(|member| path.starts_with(&folders[*member]));
    holding.max_by_key(|member| folders[*member].len())
}

/// The table. The limit is about `lines`: all lines under `src`.
fn render(rows: &[Row]) -> String {
    let mut out =
        format!("{:<28} {:>8} {:>8} {:>8} {:>12}\n", "crate", "lines", "limit", "code", "outside src");
    for row in rows {
        let [limit, outside] = [row.limit, row.outside]
            .map(|number| number.map_or_else(|| "-".to_owned(), |number| number.to_string()));
        let mark = if row.is_over() { "  OVER" } else { "" };
        let Row { name, lines: LineCount { all, code }, .. } = row;
        writeln!(out, "{name:<28} {all:>8} {limit:>8} {code:>8} {outside:>12}{mark}")
            .expect("a string takes any text");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_comments_and_docs_are_not_code() {
        let source = "//! Doc.\n\n/// Doc.\nfn a() { // why\n    /* b\n    c */\n    /* d */ e();\n}\n";
        assert_eq!(LineCount::of(source), LineCount { all: 8, code: 3 });
    }

    #[test]
    fn a_line_in_a_string_is_code_whatever_it_looks_like() {
        assert_eq!(LineCount::of("let a = \"\n// b\n\n\";\n"), LineCount { all: 4, code: 3 });
        assert_eq!(LineCount::of(""), LineCount { all: 0, code: 0 });
    }

    #[test]
    fn a_crate_over_its_limit_is_marked() {
        let row = |name: &str, all, limit| Row { lines: LineCount { all, code: 2 }, limit, ..Row::new(name) };
        let rows = [
            row("brook", 4, None),
            row("stream", 5, Some(5)),
            Row { outside: None, ..row("river", 6, Some(5)) },
        ];
        let expected = "\
crate                           lines    limit     code  outside src
brook                               4        -        2            0
stream                              5        5        2            0
river                               6        5        2            -  OVER
";
        assert_eq!(render(&rows), expected);
    }

    #[test]
    fn a_file_belongs_to_the_innermost_member() {
        let folders = ["".to_owned(), "crates/a/".to_owned(), "crates/ab/".to_owned()];
        assert_eq!(owner(&folders, "crates/ab/src/lib.rs"), Some(2));
        assert_eq!(owner(&folders, "crates/b.rs"), Some(0));
        assert_eq!(owner(&folders[1..], "src/lib.rs"), None);
    }
}
