//! `conformance`: what each backend and each law is checked for, once, with the tables that the checks print.
//!
//! They run under plain `cargo test`: it lets through what they print, and the checks of one table share a process. Those on Postgres and the
//! others run side by side.

use std::collections::BTreeSet;

use throughline_postgres_cluster::{Cluster, Pooler};

use super::parts::{self, Part};
use super::postgres;
use crate::Result;
use crate::metadata::Metadata;
use crate::process::Process;
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
    let cluster = postgres::serve(workspace, skips)?;
    let pooler = match &cluster {
        Some(cluster) => postgres::pool(workspace, skips, cluster)?,
        None => None,
    };
    let tests = |options: &[&str], names: &BTreeSet<&str>| {
        let tests = workspace.cargo(["test", "--workspace", "--all-features", "--no-fail-fast"]);
        tests.args(options).args(names.iter().flat_map(|name| ["--test", name]))
    };
    // Both parts find everything compiled.
    tests(&["--no-run"], &present).run()?;
    let (of_postgres, others) = present.into_iter().partition(|name| *name == ON_POSTGRES);
    let [of_postgres, others] =
        [of_postgres, others].map(|names| tests(&[], &names).args(["--", "--nocapture"]));
    let mut on_postgres = Part::new(ON_POSTGRES, postgres::with_cluster(of_postgres, cluster.as_ref()));
    if let Some(cluster) = &cluster {
        for process in with_row_security(workspace, cluster) {
            on_postgres = on_postgres.then(process);
        }
        if let Some(pooler) = &pooler {
            on_postgres = on_postgres.then(behind_pooler(workspace, cluster, pooler));
            if Pooler::can_keep_statements() {
                let kept = behind_pooler(workspace, cluster, pooler);
                on_postgres = on_postgres.then(kept.env("THROUGHLINE_POSTGRES_PREPARED_STATEMENTS", "1"));
            }
        }
    }
    // Those on Postgres wait for the server, and the others for a processor.
    let parts = vec![on_postgres, Part::new("the other tables", others)];
    let folder = workspace.metadata().target.join("xtask").join("conformance");
    let failed: Vec<String> = parts::run(parts, parts::at_once(), &folder)?
        .into_iter()
        .filter(|part| part.failure.is_some())
        .map(|part| part.name)
        .collect();
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

/// The test target of the backend on Postgres.
const ON_POSTGRES: &str = "conformance_postgres";

/// The checks that run with row-level security: those about tenants, and those that span tenants. All are run by
/// `THROUGHLINE_POSTGRES_ROW_SECURITY=1 cargo test -p throughline-tests --features postgres --test conformance_postgres`.
const WITH_ROW_SECURITY: [&str; 6] = ["tenant", "scope", "isolation.", "changes.", "replication.", "audit."];

/// Returns a run for each of those: the program takes one filter.
fn with_row_security(workspace: &Workspace, cluster: &Cluster) -> impl Iterator<Item = Process> {
    WITH_ROW_SECURITY.into_iter().map(|checks| {
        let tests = workspace
            .cargo(["test", "--workspace", "--all-features", "--test", ON_POSTGRES, "--", checks])
            .env("THROUGHLINE_POSTGRES_ROW_SECURITY", "1");
        postgres::with_cluster(tests, Some(cluster))
    })
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

/// Returns a run of the others through a PgBouncer.
fn behind_pooler(workspace: &Workspace, cluster: &Cluster, pooler: &Pooler) -> Process {
    let tests = workspace
        .cargo(["test", "--workspace", "--all-features", "--test", ON_POSTGRES, "--"])
        .args(NOT_BEHIND_POOLER.into_iter().flat_map(|name| ["--skip", name]));
    postgres::with_pooler(postgres::with_cluster(tests, Some(cluster)), pooler)
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
