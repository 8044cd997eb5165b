//! `cargo xtask order`: which top-level module of a crate uses which.
//!
//! It shows the modules in layers, where each uses only modules of lower layers, and the circles, which have no such order. The core has an
//! order that its modules are to have; a use against it is shown too.

mod graph;
mod module_tree;
mod permitted;
mod references;

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use self::graph::{Component, Graph};
use self::module_tree::{ModuleUses, Sources};
use self::permitted::{Order, group_of};
use crate::Result;
use crate::metadata::Package;
use crate::workspace::Workspace;

/// The member that is read if none is named.
const DEFAULT: &str = "throughline-core";

/// Prints the modules of a member. With `check`, a circle or a use against the order is an error.
pub(crate) fn run(workspace: &Workspace, member: Option<&str>, check: bool) -> Result {
    let package = find(&workspace.metadata().packages, member.unwrap_or(DEFAULT))?;
    let source = workspace.folder(package) + "src/";
    let uses = module_tree::read(&sources(workspace, &source)?)?;
    let report = Report::new(&uses, permitted::order_of(&package.name), &source);
    print!("{report}");
    if check && report.findings() > 0 {
        return Err(format!("{} findings in the modules of {}", report.findings(), package.name).into());
    }
    Ok(())
}

/// The member with this name, which can be given without the prefix that most have.
fn find<'a>(packages: &'a [Package], name: &str) -> Result<&'a Package> {
    let long = format!("throughline-{name}");
    let found = packages.iter().find(|package| package.name == name || package.name == long);
    found.ok_or_else(|| format!("the workspace has no member `{name}`").into())
}

fn sources(workspace: &Workspace, folder: &str) -> Result<Sources> {
    let mut sources = Sources::new();
    for path in workspace.files()? {
        let file = path.strip_prefix(folder).filter(|file| file.ends_with(".rs"));
        if let Some((file, text)) = file.zip(workspace.text(&path)) {
            sources.insert(file.to_owned(), text);
        }
    }
    Ok(sources)
}

/// The uses of one module by another.
#[derive(Debug, PartialEq, Eq)]
struct Edge<'a> {
    from: &'a str,
    to: &'a str,
    uses: usize,
    example: String,
}

impl fmt::Display for Edge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = format!("{} -> {}", self.from, self.to);
        write!(f, "{names:<28} {:>5}  {}", self.uses, self.example)
    }
}

/// The printed report.
#[derive(Debug)]
struct Report<'a> {
    components: Vec<Component<'a>>,
    edges: Vec<Edge<'a>>,
    order: Option<Order>,
    unresolved: BTreeMap<&'a str, String>,
}

impl<'a> Report<'a> {
    /// `folder` is put before the names of files.
    fn new(read: &'a ModuleUses, order: Option<Order>, folder: &str) -> Self {
        let mut graph = Graph::new();
        let mut edges = Vec::new();
        for (from, used) in &read.uses {
            graph.insert(from, used.keys().map(String::as_str).collect());
            edges.extend(used.iter().map(|(to, locations)| {
                let example = format!("{folder}{}:{}", locations[0].file, locations[0].line);
                Edge { from, to, uses: locations.len(), example }
            }));
        }
        let unresolved = read.unresolved.iter();
        let unresolved = unresolved
            .map(|(name, at)| (name.as_str(), format!("{folder}{}:{}", at[0].file, at[0].line)))
            .collect();
        Self { components: graph::components(&graph), edges, order, unresolved }
    }

    fn circles(&self) -> impl Iterator<Item = &Component<'a>> {
        self.components.iter().filter(|component| component.is_circle())
    }

    /// The uses of a module of a higher group, with the names of both groups.
    fn upward(&self) -> Vec<(&Edge<'a>, &'static str, &'static str)> {
        let Some(order) = self.order else { return Vec::new() };
        let groups = |edge: &&Edge<'_>| Some((group_of(order, edge.from)?, group_of(order, edge.to)?));
        let with_groups = self.edges.iter().filter_map(|edge| Some((edge, groups(&edge)?)));
        with_groups
            .filter(|(_, ((from, _), (to, _)))| to > from)
            .map(|(edge, ((_, from), (_, to)))| (edge, from, to))
            .collect()
    }

    /// The modules that the order does not name.
    fn unlisted(&self) -> Vec<&'a str> {
        let Some(order) = self.order else { return Vec::new() };
        let modules = self.components.iter().flat_map(|component| component.modules.iter().copied());
        modules.filter(|module| group_of(order, module).is_none()).collect()
    }

    fn findings(&self) -> usize {
        self.circles().count() + self.upward().len() + self.unlisted().len()
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let highest = self.components.iter().map(|component| component.layer).max().unwrap_or(0);
        for layer in 0..=highest {
            let mut line = String::new();
            for component in self.components.iter().filter(|component| component.layer == layer) {
                let names = component.modules.join(", ");
                let separator = if line.is_empty() { "" } else { ", " };
                let shown = if component.is_circle() { format!("circle ({names})") } else { names };
                write!(line, "{separator}{shown}")?;
            }
            writeln!(f, "layer {layer}: {line}")?;
        }
        for circle in self.circles() {
            writeln!(f, "\ncircle of {} modules: {}", circle.modules.len(), circle.modules.join(", "))?;
            let inside =
                |edge: &&Edge<'_>| [edge.from, edge.to].iter().all(|name| circle.modules.contains(name));
            for edge in self.edges.iter().filter(inside) {
                writeln!(f, "  {edge}")?;
            }
        }
        let upward = self.upward();
        if !upward.is_empty() {
            writeln!(f, "\nuses against the order: {}", upward.len())?;
        }
        for (edge, from, to) in upward {
            writeln!(f, "  {edge}  ({from} -> {to})")?;
        }
        for module in self.unlisted() {
            writeln!(f, "\nthe order does not name the module `{module}`")?;
        }
        for (name, example) in &self.unresolved {
            writeln!(f, "\nnot resolved: crate::{name}, {example}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::permitted::Group;
    use super::*;

    const ORDER: Order =
        &[Group { name: "low", modules: &["a", "b"] }, Group { name: "high", modules: &["c"] }];

    fn read(files: &[(&str, &str)]) -> ModuleUses {
        let sources = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        module_tree::read(&sources).expect("good sources")
    }

    #[test]
    fn circles_and_uses_against_the_order_are_shown_with_an_example() {
        let uses = read(&[
            ("lib.rs", "mod a;\nmod b;\nmod c;\nmod d;\n"),
            ("a.rs", "\nuse crate::b::{B, BB};\nuse crate::c::C;\nuse crate::X;\n"),
            ("b.rs", "use crate::a::A;\n"),
            ("c.rs", ""),
            ("d.rs", "use crate::{a::A, c::C};\n"),
        ]);
        let report = Report::new(&uses, Some(ORDER), "src/");
        let expected = "\
layer 0: c
layer 1: circle (a, b)
layer 2: d

circle of 2 modules: a, b
  a -> b                           2  src/a.rs:2
  b -> a                           1  src/b.rs:1

uses against the order: 1
  a -> c                           1  src/a.rs:3  (low -> high)

the order does not name the module `d`

not resolved: crate::X, src/a.rs:4
";
        assert_eq!(report.to_string(), expected);
        assert_eq!(report.findings(), 3);
    }

    #[test]
    fn modules_in_order_have_no_findings() {
        let uses = read(&[("lib.rs", "mod a;\nmod c;\n"), ("a.rs", ""), ("c.rs", "use crate::a::A;\n")]);
        let report = Report::new(&uses, Some(ORDER), "");
        assert_eq!(report.to_string(), "layer 0: a\nlayer 1: c\n");
        assert_eq!(report.findings(), 0);
    }

    #[test]
    fn a_member_is_found_by_its_short_name() {
        let packages =
            ["throughline-core", "xtask"].map(|name| Package { name: name.into(), ..Package::default() });
        assert_eq!(find(&packages, "core").expect("a member").name, "throughline-core");
        assert_eq!(find(&packages, "xtask").expect("a member").name, "xtask");
        assert!(find(&packages, "brook").is_err());
    }
}
