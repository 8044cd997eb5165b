//! The steps that are one call of cargo.

use super::tools;
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
pub(super) fn tests(workspace: &Workspace, _: &mut Skips) -> Result {
    tools::nextest(workspace)?;
    workspace.cargo(["nextest", "run", "--workspace", "--all-features", "--no-fail-fast"]).run()
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
