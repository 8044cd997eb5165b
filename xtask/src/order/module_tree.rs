//! The uses of a crate's top-level modules by each other, read from its sources.
//!
//! The module tree is followed from `lib.rs`, so that a module which only tests declare is left out. A use is a path from the root of the
//! crate, in a `use` item, an expression, a type or the tokens of a macro. A name that `lib.rs` re-exports counts for the module that the
//! re-export takes it from.

use std::collections::{BTreeMap, BTreeSet};

use super::references::{Declared, References, Target};
use crate::Result;

/// The text of every source file, by its path from the folder `src`.
pub(super) type Sources = BTreeMap<String, String>;

/// A line of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Location {
    /// The path from the folder `src`.
    pub(super) file: String,
    /// Counted from 1.
    pub(super) line: usize,
}

/// The uses of the top-level modules of a crate by each other.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ModuleUses {
    /// For each module the modules that it uses, and where. Every module is a key.
    pub(super) uses: BTreeMap<String, BTreeMap<String, Vec<Location>>>,
    /// Names that are neither modules, re-exports, nor items of `lib.rs`.
    pub(super) unresolved: BTreeMap<String, Vec<Location>>,
}

/// Reads the sources of a crate whose root is `lib.rs`, or `main.rs`.
pub(super) fn read(sources: &Sources) -> Result<ModuleUses> {
    let root_file = ["lib.rs", "main.rs"].into_iter().find(|file| sources.contains_key(*file));
    let root_file = root_file.ok_or("the crate has neither `src/lib.rs` nor `src/main.rs`")?;
    let root = References::read(&sources[root_file], 0).map_err(|error| format!("{root_file}: {error}"))?;
    let at_root = root.modules.iter().filter(|module| module.inside.is_empty());
    let modules: BTreeSet<&str> = at_root.map(|module| module.name.as_str()).collect();

    let mut pending: Vec<_> = root
        .modules
        .iter()
        .map(|module| Pending::below(module, "", module.inside.first().unwrap_or(&module.name), 1))
        .collect();
    let mut found: Vec<(String, String, Target)> = Vec::new();
    let mut exported_macros = BTreeMap::new();
    while let Some(Pending { top, candidates, depth }) = pending.pop() {
        let Some(file) = candidates.into_iter().find(|file| sources.contains_key(file)) else { continue };
        let read = References::read(&sources[&file], depth).map_err(|error| format!("{file}: {error}"))?;
        let folder = file
            .strip_suffix("mod.rs")
            .map_or_else(|| format!("{}/", file.trim_end_matches(".rs")), str::to_owned);
        pending.extend(read.modules.iter().map(|module| Pending::below(module, &folder, &top, depth + 1)));
        exported_macros.extend(read.exported_macros.into_iter().map(|name| (name, top.clone())));
        found.extend(read.targets.into_iter().map(|target| (top.clone(), file.clone(), target)));
    }
    // Modules with their source in `lib.rs` itself.
    found.extend(
        root.targets
            .into_iter()
            .filter_map(|target| Some((target.within.clone()?, root_file.to_owned(), target))),
    );
    found.sort_by(|a, b| (&a.1, a.2.line).cmp(&(&b.1, b.2.line)));

    let mut out = ModuleUses::default();
    out.uses.extend(modules.iter().map(|module| ((*module).to_owned(), BTreeMap::new())));
    for (from, file, Target { name, line, .. }) in found {
        let location = Location { file, line };
        let to = if modules.contains(name.as_str()) {
            Some(name.as_str())
        } else if let Some(source) = root.exports.get(&name) {
            Some(source.as_str()).filter(|source| modules.contains(source))
        } else if let Some(module) = exported_macros.get(&name) {
            Some(module.as_str())
        } else {
            if !root.items.contains(&name) {
                out.unresolved.entry(name).or_default().push(location);
            }
            continue;
        };
        if let Some(to) = to.filter(|to| *to != from) {
            out.uses.entry(from).or_default().entry(to.to_owned()).or_default().push(location);
        }
    }
    Ok(out)
}

/// A module whose file is still to be read.
#[derive(Debug)]
struct Pending {
    /// The top-level module that it belongs to.
    top: String,
    /// The paths that its file can have.
    candidates: Vec<String>,
    /// How many modules its path from the root has.
    depth: usize,
}

impl Pending {
    /// `folder` is the folder of the submodules of the file that declares the module.
    fn below(module: &Declared, folder: &str, top: &str, depth: usize) -> Self {
        let inline: String = module.inside.iter().map(|name| format!("{name}/")).collect();
        let stem = format!("{folder}{inline}{}", module.name);
        let mut candidates = vec![format!("{stem}.rs"), format!("{stem}/mod.rs")];
        candidates.retain(|file| !is_of_tests(file));
        Self { top: top.to_owned(), candidates, depth: depth + module.inside.len() }
    }
}

/// Whether a file holds only tests, by its name or by a folder that it is in.
fn is_of_tests(file: &str) -> bool {
    file.split('/').any(|part| part == "tests" || part == "tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_files(files: &[(&str, &str)]) -> ModuleUses {
        let sources = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        read(&sources).expect("good sources")
    }

    /// Each use as `from -> to file:line`.
    fn uses(read: &ModuleUses) -> Vec<String> {
        let mut out = Vec::new();
        for (from, used) in &read.uses {
            for (to, locations) in used {
                out.extend(locations.iter().map(|at| format!("{from} -> {to} {}:{}", at.file, at.line)));
            }
        }
        out
    }

    #[test]
    fn names_of_the_root_count_for_their_module() {
        let read = read_files(&[
            ("lib.rs", "mod a;\nmod b;\npub use self::{a::A, b::c::C};\nuse std::fmt;\nstruct Own;\n"),
            ("a.rs", "use crate::{C, Own, b::B};\nuse crate::fmt;\nuse crate::Missing;\n"),
            ("b/mod.rs", "mod c;\nuse crate::b::c::C;\nstruct B;\n"),
            ("b/c.rs", "use super::B;\nuse super::super::A;\npub struct C;\n"),
        ]);
        assert_eq!(uses(&read), ["a -> b a.rs:1", "a -> b a.rs:1", "b -> a b/c.rs:2"]);
        let unresolved: Vec<_> =
            read.unresolved.iter().map(|(name, at)| (name.as_str(), at[0].line)).collect();
        assert_eq!(unresolved, [("Missing", 3)]);
    }

    #[test]
    fn modules_of_tests_are_left_out() {
        let read = read_files(&[
            ("lib.rs", "mod a;\nmod b;\n#[cfg(test)]\nmod fixtures;\n"),
            ("a.rs", "#[cfg(test)]\nmod checks;\nmod tests;\n"),
            ("a/checks.rs", "use crate::b::B;\n"),
            ("a/tests.rs", "use crate::b::B;\n"),
            ("b.rs", "pub struct B;\n"),
            ("fixtures.rs", "use crate::b::B;\n"),
        ]);
        assert_eq!(uses(&read), [""; 0]);
        assert_eq!(read.uses.keys().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn exported_macros_count_for_the_module_that_defines_them() {
        let read = read_files(&[
            ("lib.rs", "mod a;\nmod b { fn f() { crate::m!(); } }\n"),
            ("a.rs", "#[macro_export]\nmacro_rules! m { () => { $crate::b::f() } }\n"),
        ]);
        assert_eq!(uses(&read), ["a -> b a.rs:2", "b -> a lib.rs:2"]);
    }

    #[test]
    fn a_crate_without_a_root_is_refused() {
        let error = read(&Sources::new()).expect_err("no root").to_string();
        assert!(error.contains("src/lib.rs"), "{error}");
    }
}
