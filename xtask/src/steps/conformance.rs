//! `conformance`: what each backend and each law is checked for, once, with the tables that the checks print.
//!
//! They run under plain `cargo test`: it lets through what they print, and the checks of one table share a process.

use std::collections::BTreeSet;

use throughline_postgres_cluster::Cluster;

use super::postgres;
use crate::Result;
use crate::metadata::Metadata;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// Every test target whose name begins so is a backend's.
const BACKENDS: &str = "conformance_";

/// Test targets without which the workspace does not prove what it claims.
const REQUIRED: [&str; 5] = [
    "conformance_memory",
    "conformance_postgres",
    "conformance_sqlite",
    "conformance_sqlite_blobs",
    "mutants",
];

/// Test targets that are run where they exist.
const OPTIONAL: [&str; 1] = ["layer_laws"];

/// Runs all of them; a required one that does not exist is a failure.
pub(super) fn run(workspace: &Workspace, skips: &mut Skips) -> Result {
    let present = targets(workspace.metadata());
    let missing: Vec<_> = REQUIRED.into_iter().filter(|name| !present.contains(name)).collect();
    if !missing.is_empty() {
        return Err(format!("no such test target: {}", missing.join(", ")).into());
    }
    for name in OPTIONAL.into_iter().filter(|name| !present.contains(name)) {
        skips.add(name, "there is no such test target");
    }
    let chosen = present.into_iter().flat_map(|name| ["--test", name]);
    let cluster = postgres::serve(workspace, skips)?;
    let tests = workspace
        .cargo(["test", "--workspace", "--all-features", "--no-fail-fast"])
        .args(chosen)
        .args(["--", "--nocapture"]);
    postgres::with_cluster(tests, cluster.as_ref()).run()?;
    match &cluster {
        Some(cluster) => {
            with_row_security(workspace, cluster)?;
            behind_pooler(workspace, skips, cluster)
        }
        None => Ok(()),
    }
}

/// The checks that run with row-level security: those about tenants, and those that span tenants. All are run by
/// `THROUGHLINE_POSTGRES_ROW_SECURITY=1 cargo test -p throughline-tests --features postgres --test conformance_postgres`.
const WITH_ROW_SECURITY: [&str; 6] = ["tenant", "scope", "isolation.", "changes.", "replication.", "audit."];

/// Runs those, one after the other: the program takes one filter.
fn with_row_security(workspace: &Workspace, cluster: &Cluster) -> Result {
    for checks in WITH_ROW_SECURITY {
        let tests = workspace
            .cargo(["test", "--workspace", "--all-features", "--test", "conformance_postgres", "--", checks])
            .env("THROUGHLINE_POSTGRES_ROW_SECURITY", "1");
        postgres::with_cluster(tests, Some(cluster)).run()?;
    }
    Ok(())
}

/// The checks that are left out behind PgBouncer: memory decides them, and the connection to the server makes no difference. The others run:
/// checks of waits, of several processes, of lost connections, and of statements in random order. All are run by `THROUGHLINE_POSTGRES_POOLER=start cargo test -p throughline-tests --features postgres --test conformance_postgres`.
const NOT_BEHIND_POOLER: [&str; 15] = [
    "(MU-",
    "(RR-",
    "(T3-",
    "(TC-",
    "(VL-",
    "aliases.",
    "batches.",
    "forks.",
    "imports.",
    "prunes.",
    "purges.",
    "search.",
    "sessions.",
    "threads.",
    "turns.",
];

/// Runs the others through a PgBouncer.
fn behind_pooler(workspace: &Workspace, skips: &mut Skips, cluster: &Cluster) -> Result {
    let Some(pooler) = postgres::pool(workspace, skips, cluster)? else { return Ok(()) };
    let tests = workspace
        .cargo(["test", "--workspace", "--all-features", "--test", "conformance_postgres", "--"])
        .args(NOT_BEHIND_POOLER.into_iter().flat_map(|name| ["--skip", name]));
    postgres::with_pooler(postgres::with_cluster(tests, Some(cluster)), &pooler).run()
}

/// The test targets of the whole workspace that belong to this step.
pub(super) fn targets(metadata: &Metadata) -> BTreeSet<&str> {
    let tests = metadata.packages.iter().flat_map(|package| package.targets_of("test"));
    tests
        .filter(|name| name.starts_with(BACKENDS) || REQUIRED.contains(name) || OPTIONAL.contains(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_mutants_and_laws_are_found_by_name() {
        let json = r#"{
            "packages": [
                {"name": "a", "version": "0.1.0", "manifest_path": "/w/Cargo.toml", "features": {}, "targets": [
                    {"name": "a", "kind": ["lib"]}, {"name": "conformance_far", "kind": ["test"]},
                    {"name": "mutants", "kind": ["test"]}, {"name": "crash", "kind": ["test"]},
                    {"name": "conformance_of_an_example", "kind": ["example"]}]},
                {"name": "b", "version": "0.1.0", "manifest_path": "/w/b/Cargo.toml", "features": {}, "targets": [
                    {"name": "layer_laws", "kind": ["test"]}]}
            ],
            "workspace_root": "/w", "target_directory": "/t"
        }"#;
        let metadata = Metadata::parse(json).expect("good metadata");
        let found: Vec<_> = targets(&metadata).into_iter().collect();
        assert_eq!(found, ["conformance_far", "layer_laws", "mutants"]);
    }
}
