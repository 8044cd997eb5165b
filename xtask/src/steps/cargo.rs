//! The steps that are one call of cargo.

use super::{postgres, tools};
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

/// `tests`: all of them, even after a failure, so that one run tells everything.
///
/// The checks of the Postgres backend are left to the step `conformance`, where they share a process: here each would make its
/// own first.
pub(super) fn tests(workspace: &Workspace, skips: &mut Skips) -> Result {
    tools::nextest(workspace)?;
    let cluster = postgres::serve(workspace, skips)?;
    if cluster.is_some() {
        postgres::want_pooler(workspace, skips);
    }
    let nextest = workspace.cargo(["nextest", "run", "--workspace", "--all-features", "--no-fail-fast"]);
    postgres::told(nextest.args(["-E", "not binary(conformance_postgres)"]), cluster.as_ref()).run()
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
