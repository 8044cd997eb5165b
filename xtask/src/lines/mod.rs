//! `cargo xtask lines`: the lines of each crate, and the limits.

mod test_items;

use std::collections::BTreeSet;
use std::fmt::Write;

use self::test_items::TestItems;

use crate::Result;
use crate::rust_source::{Kind, segments};
use crate::workspace::Workspace;

/// The most lines of library code that a crate may have under `src`: see `docs/decisions/0083-the-lines-that-limits-count.md`.
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
    /// The lines of code outside of tests.
    library: usize,
}

impl LineCount {
    /// Counts a file. The `tests` are its test items; `None` if only tests compile the file.
    fn of(source: &str, tests: Option<&TestItems>) -> Self {
        let mut is_code = vec![false; source.lines().count()];
        for segment in segments(source).into_iter().filter(|segment| segment.kind != Kind::Comment) {
            for (index, line) in segment.text.lines().enumerate() {
                if !line.trim().is_empty() {
                    is_code[segment.line + index] = true;
                }
            }
        }
        let count = |is_code: &[bool]| is_code.iter().filter(|is_code| **is_code).count();
        let code = count(&is_code);
        let library = tests.map_or(0, |tests| {
            tests.lines.iter().for_each(|lines| is_code[lines.clone()].fill(false));
            count(&is_code)
        });
        Self { all: is_code.len(), code, library }
    }

    fn add(&mut self, other: Self) {
        self.all += other.all;
        self.code += other.code;
        self.library += other.library;
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

    /// Whether the library code is over the limit.
    fn is_over(&self) -> bool {
        self.limit.is_some_and(|limit| self.lines.library > limit)
    }

    /// The remark at the end of the row. A crate that is over the limit only with all of its lines gets one too.
    fn mark(&self) -> &'static str {
        match self.limit {
            Some(limit) if self.lines.library > limit => "  OVER",
            Some(limit) if self.lines.all > limit => "  over with tests and comments",
            _ => "",
        }
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
    let files: Vec<_> = workspace.files()?.into_iter().filter(|path| path.ends_with(".rs")).collect();
    let texts: Vec<_> = files.iter().filter_map(|path| Some((path, workspace.text(path)?))).collect();
    let items: Vec<_> = texts.iter().map(|(path, text)| (path.as_str(), TestItems::of(text))).collect();
    let of_tests = files_of_tests(&items);
    for ((path, text), (_, items)) in texts.iter().zip(&items) {
        let member = owner(&folders, path);
        let in_src = member.is_some_and(|member| path[folders[member].len()..].starts_with("src/"));
        let is_test = !in_src || of_tests.iter().any(|prefix| path.starts_with(prefix));
        let lines = LineCount::of(text, (!is_test).then_some(items));
        all.add(lines);
        if let Some(member) = member {
            rows[member].add(in_src, lines);
        }
    }
    rows.push(Row { lines: all, limit: Some(WORKSPACE_LIMIT), outside: None, ..Row::new("every .rs file") });
    Ok(rows)
}

/// The paths of the files that only tests compile, and those of their folders.
fn files_of_tests(files: &[(&str, TestItems)]) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for (path, items) in files {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = match file {
            "mod.rs" | "lib.rs" | "main.rs" => folder,
            _ => path.trim_end_matches(".rs"),
        };
        let of_module = |module: &String| [format!("{folder}/{module}.rs"), format!("{folder}/{module}/")];
        out.extend(items.modules.iter().flat_map(of_module));
    }
    out
}

/// The member whose folder a file is in. The root package has every file that no other member has.
fn owner(folders: &[String], path: &str) -> Option<usize> {
    let holding = (0..folders.len()).filter(|member| path.starts_with(&folders[*member]));
    holding.max_by_key(|member| folders[*member].len())
}

/// The table. The limit is about `library`: the code under `src` outside of tests.
fn render(rows: &[Row]) -> String {
    let mut out = format!(
        "{:<28} {:>8} {:>8} {:>8} {:>8} {:>12}\n",
        "crate", "lines", "code", "library", "limit", "outside src"
    );
    for row in rows {
        let [limit, outside] = [row.limit, row.outside]
            .map(|number| number.map_or_else(|| "-".to_owned(), |number| number.to_string()));
        let Row { name, lines: LineCount { all, code, library }, .. } = row;
        let mark = row.mark();
        writeln!(out, "{name:<28} {all:>8} {code:>8} {library:>8} {limit:>8} {outside:>12}{mark}")
            .expect("a string takes any text");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(source: &str) -> LineCount {
        LineCount::of(source, Some(&TestItems::of(source)))
    }

    #[test]
    fn blank_lines_comments_and_docs_are_not_code() {
        let source = "//! Doc.\n\n/// Doc.\nfn a() { // why\n    /* b\n    c */\n    /* d */ e();\n}\n";
        assert_eq!(count(source), LineCount { all: 8, code: 3, library: 3 });
    }

    #[test]
    fn a_line_in_a_string_is_code_whatever_it_looks_like() {
        assert_eq!(count("let a = \"\n// b\n\n\";\n"), LineCount { all: 4, code: 3, library: 3 });
        assert_eq!(count(""), LineCount { all: 0, code: 0, library: 0 });
    }

    #[test]
    fn tests_are_code_of_no_library() {
        let source = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        assert_eq!(count(source), LineCount { all: 6, code: 5, library: 1 });
        assert_eq!(LineCount::of(source, None), LineCount { all: 6, code: 5, library: 0 });
    }

    #[test]
    fn the_files_of_a_test_module_are_found_from_each_kind_of_file() {
        let items = || TestItems::of("#[cfg(test)]\nmod tests;\n");
        let found = files_of_tests(&[("a/src/lib.rs", items()), ("a/src/b.rs", items())]);
        let expected = ["a/src/b/tests.rs", "a/src/b/tests/", "a/src/tests.rs", "a/src/tests/"];
        assert!(found.iter().eq(expected), "{found:?}");
    }

    #[test]
    fn a_crate_over_its_limit_is_marked() {
        let row = |name: &str, all, library, limit| Row {
            lines: LineCount { all, code: 4, library },
            limit,
            ..Row::new(name)
        };
        let rows = [
            row("brook", 9, 3, None),
            row("stream", 5, 3, Some(5)),
            row("lake", 6, 5, Some(5)),
            Row { outside: None, ..row("river", 9, 6, Some(5)) },
        ];
        let expected = "\
crate                           lines     code  library    limit  outside src
brook                               9        4        3        -            0
stream                              5        4        3        5            0
lake                                6        4        5        5            0  over with tests and comments
river                               9        4        6        5            -  OVER
";
        assert_eq!(render(&rows), expected);
        assert_eq!(rows.map(|row| row.is_over()), [false, false, false, true]);
    }

    #[test]
    fn a_file_belongs_to_the_innermost_member() {
        let folders = ["".to_owned(), "crates/a/".to_owned(), "crates/ab/".to_owned()];
        assert_eq!(owner(&folders, "crates/ab/src/lib.rs"), Some(2));
        assert_eq!(owner(&folders, "crates/b.rs"), Some(0));
        assert_eq!(owner(&folders[1..], "src/lib.rs"), None);
    }
}
