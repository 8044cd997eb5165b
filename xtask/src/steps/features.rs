//! `features`: every package that a user builds by itself, with every feature alone, with none, and with all.
//!
//! A workspace build chooses the features of all packages together, so a package that forgot to ask for one of a
//! dependency still compiles there, and first fails for a user who enables that feature alone. Libraries without features are checked
//! alone for the same reason.
//!
//! The examples are checked together, because each by itself compiles most dependencies again: their procedural macros ask for different
//! features of `syn`. A long run checks each by itself, which finds a feature that only another example asks for.
//!
//! The libraries and the programs are checked side by side, each in a build folder of their own: a single check seldom keeps two
//! processors busy, because their crates depend on each other in a row.

use super::parts::{self, Part};
use crate::Result;
use crate::metadata::Package;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// Packages that only the workspace itself builds: tests, benchmarks and tools.
const INTERNAL: [&str; 6] = [
    "throughline-benches",
    "throughline-browser-tests",
    "throughline-postgres-cluster",
    "throughline-reliability",
    "throughline-tests",
    "xtask",
];

/// Checks them all, and names all that fail.
pub(super) fn run(workspace: &Workspace, _: &mut Skips) -> Result {
    let metadata = workspace.metadata();
    let packages = metadata.packages.iter().filter(|package| !INTERNAL.contains(&&*package.name));
    let (libraries, programs): (Vec<_>, Vec<_>) = packages.partition(|package| is_library(package));
    // The step `clippy` has checked most dependencies of the libraries in the first one.
    let folders = [metadata.target.clone(), metadata.target.join("xtask").join("features")];
    let parts = [("libraries", libraries), ("programs", programs)].into_iter().zip(folders).map(
        |((name, packages), folder)| {
            let checks = checks(workspace, &packages)
                .into_iter()
                .map(|args| workspace.cargo(args).setting("CARGO_TARGET_DIR", &folder.display().to_string()));
            Part::of_all(name, checks.collect())
        },
    );
    let logs = metadata.target.join("xtask").join("features-logs");
    let failed: Vec<String> = parts::run(parts.collect(), parts::at_once(), &logs)?
        .into_iter()
        .filter_map(|part| part.failure)
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ").into()) }
}

/// Whether it is a library of the framework. The others use them: examples, the command, and the package for Python.
fn is_library(package: &Package) -> bool {
    package.is_published && !package.targets_of("lib").is_empty()
}

/// The arguments of cargo for every check of these packages.
fn checks(workspace: &Workspace, packages: &[&Package]) -> Vec<Vec<String>> {
    let (together, alone): (Vec<&Package>, Vec<_>) = packages
        .iter()
        .partition(|package| !workspace.is_long() && is_example(package, &workspace.folder(package)));
    alone.into_iter().flat_map(calls).chain(call_together(&together)).collect()
}

/// Whether the package in this folder of the workspace is an example with a manifest of its own, and without features.
fn is_example(package: &Package, folder: &str) -> bool {
    package.features.is_empty() && folder.starts_with("examples/")
}

/// The arguments of cargo for one check of several packages, if there are any.
fn call_together(packages: &[&Package]) -> Option<Vec<String>> {
    let names = packages.iter().flat_map(|package| ["--package", &package.name]);
    let args = ["check"].into_iter().chain(names).map(str::to_owned).collect();
    (!packages.is_empty()).then_some(args)
}

/// The arguments of cargo for every check of a package.
fn calls(package: &Package) -> Vec<Vec<String>> {
    let call = |extra: &[&str]| {
        let mut args = vec!["check", "--package", &package.name];
        args.extend(extra);
        args.into_iter().map(str::to_owned).collect()
    };
    let mut calls = Vec::new();
    if package.features.is_empty() {
        calls.push(call(&[]));
        return calls;
    }
    calls.push(call(&["--no-default-features"]));
    for feature in &package.features {
        calls.push(call(&["--no-default-features", "--features", feature]));
    }
    // All of one is that one.
    if package.features.len() > 1 {
        calls.push(call(&["--all-features"]));
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(features: &[&str]) -> Vec<String> {
        let features = features.iter().map(|&feature| feature.to_owned()).collect();
        let package = Package { name: "p".into(), features, ..Package::default() };
        calls(&package).iter().map(|args| args.join(" ")).collect()
    }

    #[test]
    fn every_internal_package_is_a_member() {
        let workspace = Workspace::find(false).expect("the workspace of this test");
        let packages = &workspace.metadata().packages;
        let unknown: Vec<_> = INTERNAL
            .into_iter()
            .filter(|name| packages.iter().all(|package| package.name != *name))
            .collect();
        assert_eq!(unknown, [""; 0]);
    }

    #[test]
    fn none_each_and_all() {
        let expected = [
            "check --package p --no-default-features",
            "check --package p --no-default-features --features a",
            "check --package p --no-default-features --features default",
            "check --package p --all-features",
        ];
        assert_eq!(lines(&["a", "default"]), expected);
    }

    #[test]
    fn one_feature_is_also_all_of_them() {
        let expected = [
            "check --package p --no-default-features",
            "check --package p --no-default-features --features a",
        ];
        assert_eq!(lines(&["a"]), expected);
    }

    #[test]
    fn a_package_without_features_is_checked_alone() {
        assert_eq!(lines(&[]), ["check --package p"]);
    }

    #[test]
    fn examples_are_checked_together_unless_the_run_is_long() {
        let checked = |is_long| {
            let workspace = Workspace::find(is_long).expect("the workspace of this test");
            let named = |name: &&Package| ["catalog", "serve", "throughline-mirror"].contains(&&*name.name);
            let packages: Vec<_> = workspace.metadata().packages.iter().filter(named).collect();
            checks(&workspace, &packages).iter().map(|args| args.join(" ")).collect::<Vec<_>>()
        };
        let together = ["check --package throughline-mirror", "check --package catalog --package serve"];
        assert_eq!(checked(false), together);
        let alone =
            ["check --package catalog", "check --package serve", "check --package throughline-mirror"];
        assert_eq!(checked(true), alone);
    }
}
