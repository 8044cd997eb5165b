//! `http`: the HTTP interface against programs that are not part of the workspace, each over a real connection.
//!
//! The step installs them into the target folder, with the clients of their registries. It is never part of `cargo xtask test`.

mod openai;
mod python;
mod server;

use super::examples;
use crate::Result;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// The example that is the server of each check.
const SERVER: &str = "http_server";

/// Runs all of them.
pub(super) fn run(workspace: &Workspace, skips: &mut Skips) -> Result {
    let server = examples::executable(workspace, SERVER)?;
    openai::run(workspace, skips, &server)
}
