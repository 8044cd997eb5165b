//! `http`: the HTTP interface against programs that are not part of the workspace, each over a real connection.
//!
//! The step installs them into the target folder, with the clients of their registries. It is never part of `cargo xtask test`.

mod npm;
mod openai;
mod schemathesis;
mod server;
mod typescript;

use std::path::PathBuf;

use crate::Result;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// The example that is the server of each check.
const SERVER: &str = "serve";

/// Runs all of them.
pub(super) fn run(workspace: &Workspace, skips: &mut Skips) -> Result {
    let server = build(workspace)?;
    openai::run(workspace, skips, &server)?;
    typescript::run(workspace, skips, &server)?;
    schemathesis::run(workspace, skips, &server)
}

/// Builds the server like the tests, so that it is linked from what the step `tests` has compiled.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    workspace.cargo(["build", "--workspace", "--all-features", "--bin", SERVER]).run()?;
    let name = format!("{SERVER}{}", std::env::consts::EXE_SUFFIX);
    Ok(workspace.metadata().target.join("debug").join(name))
}
