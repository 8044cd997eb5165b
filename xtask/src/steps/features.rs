//! `features`: every package with every feature alone, with none, and with all.
//!
//! A workspace build chooses the features of all packages together, so a package that forgot to ask for one of a
//! dependency still compiles there, and first fails for a user who enables that feature alone. Packages without features are checked
//! alone for the same reason.

use crate::Result;
use crate::metadata::Package;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// Checks them all, and names all that fail.
pub(super) fn run(workspace: &Workspace, _: &mut Skips) -> Result {
    let calls: Vec<_> = workspace.metadata().packages.iter().flat_map(calls).collect();
    let mut failed = 0;
    for args in &calls {
        if let Err(error) = workspace.cargo(args).run() {
            println!("FAILED: {error}");
            failed += 1;
        }
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} feature sets", calls.len()).into()) }
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
}
