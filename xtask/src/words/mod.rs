//! `cargo xtask words`: the words of the glossary's table in each member, and the check of the members without them.

mod pending;
mod search;
mod tokens;
mod vocabulary;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

use self::search::Search;
use self::vocabulary::{PAGE, Vocabulary};
use crate::Result;
use crate::workspace::Workspace;

/// The lines of a clean file with a word of the table, counted from 1, each with the word and its replacement.
pub(crate) fn check(path: &str, text: &str) -> Vec<(usize, String)> {
    static SEARCH: LazyLock<Search<'static>> = LazyLock::new(|| Search::new(Vocabulary::get()));
    if !pending::is_clean(path) {
        return Vec::new();
    }
    let found = SEARCH.file(path, text).into_iter();
    found.map(|found| (found.line, format!("`{}`: write {}", found.word.form, found.word.write))).collect()
}

/// How often a word was found, and where first.
#[derive(Debug, PartialEq, Eq)]
struct Count<'v> {
    times: usize,
    example: String,
    write: &'v str,
}

/// For each part of the workspace, the words in it.
type Counts<'v> = BTreeMap<String, BTreeMap<String, Count<'v>>>;

/// Prints the counts of every part of the workspace, or each occurrence in one part.
pub(crate) fn run(workspace: &Workspace, only: Option<&str>) -> Result {
    let folders: Vec<_> =
        workspace.metadata().packages.iter().map(|package| workspace.folder(package)).collect();
    let vocabulary = Vocabulary::get();
    let search = Search::new(vocabulary);
    let mut counts = Counts::new();
    for path in workspace.files()?.iter().filter(|path| *path != PAGE) {
        let owner = owner(&folders, path);
        let Some(text) = workspace.text(path) else { continue };
        match only {
            None => count(&mut counts, owner, &search, path, &text),
            Some(only) if owner.ends_with(only) => print!("{}", list(&search, path, &text)),
            Some(_) => {}
        }
    }
    print!("{}", render(&counts));
    Ok(())
}

/// The folder of the member that a file is in; the top folder of a file of the root package, or its own path.
fn owner<'a>(folders: &'a [String], path: &'a str) -> &'a str {
    let holding = folders.iter().filter(|folder| path.starts_with(folder.as_str()));
    let innermost = holding.max_by_key(|folder| folder.len()).map_or("", String::as_str);
    if innermost.is_empty() {
        path.split('/').next().unwrap_or(path)
    } else {
        innermost.trim_end_matches('/')
    }
}

fn count<'v>(counts: &mut Counts<'v>, owner: &str, search: &Search<'v>, path: &str, text: &str) {
    for found in search.file(path, text) {
        let words = counts.entry(owner.to_owned()).or_default();
        let count = words.entry(found.word.form.to_string()).or_insert_with(|| Count {
            times: 0,
            example: format!("{path}:{}", found.line),
            write: &found.word.write,
        });
        count.times += 1;
    }
}

/// A line for each occurrence in a file.
fn list(search: &Search<'_>, path: &str, text: &str) -> String {
    let mut out = String::new();
    for found in search.file(path, text) {
        let word = found.word;
        writeln!(out, "{path}:{}: `{}`: write {}", found.line, word.form, word.write)
            .expect("a string takes any text");
    }
    out
}

/// The words of each part, the most frequent first, and then the sums.
fn render(counts: &Counts<'_>) -> String {
    let mut out = String::new();
    let mut sums = String::new();
    for (owner, words) in counts {
        let mut words: Vec<_> = words.iter().collect();
        words.sort_by_key(|(_, count)| std::cmp::Reverse(count.times));
        let sum: usize = words.iter().map(|(_, count)| count.times).sum();
        writeln!(out, "{owner}: {sum}").expect("a string takes any text");
        writeln!(sums, "{owner:<28} {sum:>7}").expect("a string takes any text");
        for (form, Count { times, example, write }) in words {
            writeln!(out, "  {form:<20} {times:>6}  {example}  ({write})").expect("a string takes any text");
        }
        out.push('\n');
    }
    out + &sums
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A word of the table. In two parts, so that this file does not hold it.
    const BRITISH: &str = concat!("behav", "iour");

    #[test]
    fn counts_have_the_first_example_and_the_sums() {
        let page = "| do not write | write | check |\n|---|---|---|\n| `lorry`, `boot` | `truck` | all |\n";
        let vocabulary = Vocabulary::parse(page).expect("a good page");
        let search = Search::new(&vocabulary);
        let mut counts = Counts::new();
        count(&mut counts, "a", &search, "a/b.md", "One boot.\nA lorry and a lorry.");
        count(&mut counts, "a", &search, "a/c.md", "No lorry.");
        count(&mut counts, "d", &search, "d/e.rs", "fn boot() {}");
        let expected = "\
a: 4
  lorry                     3  a/b.md:2  (truck)
  boot                      1  a/b.md:1  (truck)

d: 1
  boot                      1  d/e.rs:1  (truck)

a                                  4
d                                  1
";
        assert_eq!(render(&counts), expected);
    }

    #[test]
    fn a_list_has_each_occurrence_with_its_line() {
        let page = "| do not write | write | check |\n|---|---|---|\n| `lorry` | `truck` | all |\n";
        let vocabulary = Vocabulary::parse(page).expect("a good page");
        let listed = list(&Search::new(&vocabulary), "a/b.md", "A lorry.\nNone.\nA lorry.");
        assert_eq!(listed, "a/b.md:1: `lorry`: write truck\na/b.md:3: `lorry`: write truck\n");
    }

    #[test]
    fn files_outside_of_members_are_counted_by_top_folder() {
        let folders = ["".to_owned(), "crates/a/".to_owned()];
        assert_eq!(owner(&folders, "crates/a/src/lib.rs"), "crates/a");
        assert_eq!(owner(&folders, "docs/guide/a.md"), "docs");
        assert_eq!(owner(&folders, "README.md"), "README.md");
    }

    #[test]
    fn only_clean_files_are_checked() {
        assert_eq!(check("docs/decisions/0001-a.md", BRITISH), []);
        let found = check("xtask/a.md", &format!("Good.\n{BRITISH}"));
        assert_eq!(found, [(2, format!("`{BRITISH}`: write behavior, color"))]);
    }
}
