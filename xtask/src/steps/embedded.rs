//! The tests of the embedded default: the facade, the core with every layer, SQLite, memory, the transfer of conversations.
//!
//! They need no tool but cargo and no server. Every other check belongs to `ci`, and so do the test targets `mutants`, which proves the checks
//! of the kit, `one_way_in`, which builds the core again, and `conformance_sqlite_blobs`, which repeats `conformance_sqlite`. The mutants of single tests are run with these.

use crate::Result;
use crate::metadata::Metadata;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// The packages.
const PACKAGES: [&str; 12] = [
    "throughline",
    "throughline-conformance",
    "throughline-core",
    "throughline-effects",
    "throughline-engine",
    "throughline-layers",
    "throughline-memory",
    "throughline-mirror",
    "throughline-session-runs",
    "throughline-sqlite",
    "throughline-tests",
    "throughline-transfer",
];

/// Test targets of these packages that only `ci` runs.
const ONLY_IN_CI: [&str; 4] = ["conformance_postgres", "conformance_sqlite_blobs", "mutants", "one_way_in"];

/// `tests`.
pub(super) fn tests(workspace: &Workspace, _: &mut Skips) -> Result {
    let targets = targets(workspace.metadata());
    let chosen = targets.into_iter().flat_map(|name| ["--test", name]);
    workspace.cargo(["test", "--no-fail-fast"]).args(packages()).args(["--lib"]).args(chosen).run()
}

/// `doctests`.
pub(super) fn doctests(workspace: &Workspace, _: &mut Skips) -> Result {
    workspace.cargo(["test", "--no-fail-fast"]).args(packages()).args(["--doc"]).run()
}

fn packages() -> impl Iterator<Item = &'static str> {
    PACKAGES.into_iter().flat_map(|name| ["--package", name])
}

/// The names of the test targets, each once.
fn targets(metadata: &Metadata) -> Vec<&str> {
    let packages = metadata.packages.iter().filter(|package| PACKAGES.contains(&package.name.as_str()));
    let mut names: Vec<&str> = packages.flat_map(|package| package.targets_of("test")).collect();
    names.retain(|name| !ONLY_IN_CI.contains(name));
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_targets_of_the_embedded_packages_are_chosen_without_those_of_ci() {
        let json = r#"{
            "packages": [
                {"name": "throughline-tests", "version": "0.1.0", "manifest_path": "/w/tests/Cargo.toml", "features": {}, "targets": [
                    {"name": "mutants", "kind": ["test"]}, {"name": "pipeline", "kind": ["test"]},
                    {"name": "conformance_postgres", "kind": ["test"]},
                    {"name": "conformance_sqlite_blobs", "kind": ["test"]}]},
                {"name": "throughline-core", "version": "0.1.0", "manifest_path": "/w/core/Cargo.toml", "features": {}, "targets": [
                    {"name": "throughline_core", "kind": ["lib"]}, {"name": "secrets", "kind": ["test"]}]},
                {"name": "throughline-postgres", "version": "0.1.0", "manifest_path": "/w/pg/Cargo.toml", "features": {}, "targets": [
                    {"name": "postgres", "kind": ["test"]}]}
            ],
            "workspace_root": "/w", "target_directory": "/t"
        }"#;
        let metadata = Metadata::parse(json).expect("good metadata");
        assert_eq!(targets(&metadata), ["pipeline", "secrets"]);
    }
}
