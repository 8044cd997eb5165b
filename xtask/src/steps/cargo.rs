//! The steps that are one call of cargo.

use super::{conformance, postgres, tools};
use crate::Result;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// `fmt`.
pub(super) fn fmt(workspace: &Workspace, _: &mut Skips) -> Result {
    workspace.cargo(["fmt", "--all", "--check"]).run()
}

/// `clippy`.
pub(super) fn clippy(workspace: &Workspace, _: &mut Skips) -> Result {
    let args = ["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"];
    workspace.cargo(args).run()
}

/// `tests`: all of them, even after a failure, so that one run reports every failure.
///
/// The checks and laws of the step `conformance` are left to it: there those of one table share a process.
pub(super) fn tests(workspace: &Workspace, skips: &mut Skips) -> Result {
    tools::nextest(workspace)?;
    let cluster = postgres::serve(workspace, skips)?;
    if cluster.is_some() {
        postgres::want_pooler(workspace, skips);
    }
    let nextest = workspace.cargo(["nextest", "run", "--workspace", "--all-features", "--no-fail-fast"]);
    let elsewhere: Vec<String> =
        conformance::targets(workspace.metadata()).iter().map(|name| format!("binary({name})")).collect();
    let filter = format!("not ({})", elsewhere.join(" or "));
    postgres::with_cluster(nextest.args(["-E", &filter]), cluster.as_ref()).run()
}

/// `doctests`, which nextest does not run.
pub(super) fn doctests(workspace: &Workspace, _: &mut Skips) -> Result {
    workspace.cargo(["test", "--workspace", "--doc", "--all-features"]).run()
}

/// `docs`.
pub(super) fn docs(workspace: &Workspace, _: &mut Skips) -> Result {
    let doc = workspace.cargo(["doc", "--workspace", "--no-deps", "--all-features"]);
    doc.env("RUSTDOCFLAGS", "-D warnings").run()
}
