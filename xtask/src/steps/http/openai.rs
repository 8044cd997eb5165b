//! OpenAI's own clients run a scripted conversation, unmodified.

use std::path::Path;
use std::time::Duration;

use super::npm::Packages;
use super::server::{Server, TOKEN};
use crate::Result;
use crate::process::Process;
use crate::skips::Skips;
use crate::steps::installation::Installation;
use crate::steps::python_environment::Environment;
use crate::workspace::Workspace;

const REQUIREMENTS: &str = "crates/http/tests/openai_client/requirements.txt";
const PYTHON_SCRIPT: &str = "crates/http/tests/openai_client/scripted_conversation.py";

/// The folder of the script for the TypeScript client, and its name there.
const TYPESCRIPT: &str = "crates/http/tests/openai_client/typescript/";
const TYPESCRIPT_SCRIPT: &str = "scripted_conversation.mjs";

/// The conversation takes some seconds.
const LIMIT: Duration = Duration::from_secs(180);

pub(super) fn run(workspace: &Workspace, skips: &mut Skips, server: &Path) -> Result {
    python(workspace, skips, server)?;
    typescript(workspace, skips, server)
}

fn python(workspace: &Workspace, skips: &mut Skips, server: &Path) -> Result {
    let python = match Environment::with(workspace, "openai", REQUIREMENTS)? {
        Installation::Complete(python) => python,
        Installation::Impossible(why) => {
            skips.add("the OpenAI clients for Python against /v1/conversations", why);
            return Ok(());
        }
    };
    let server = Server::start(workspace, server, "openai")?;
    converse(python.program(workspace, "python").args([PYTHON_SCRIPT]), &server)
}

fn typescript(workspace: &Workspace, skips: &mut Skips, server: &Path) -> Result {
    let packages = match Packages::with(workspace, "openai-typescript", TYPESCRIPT)? {
        Installation::Complete(packages) => packages,
        Installation::Impossible(why) => {
            skips.add("the OpenAI client for TypeScript against /v1/conversations", why);
            return Ok(());
        }
    };
    let server = Server::start(workspace, server, "openai-typescript")?;
    converse(Process::new("node", packages.folder()).args([TYPESCRIPT_SCRIPT]), &server)
}

/// Runs a script with the URL of the server and the token.
fn converse(script: Process, server: &Server) -> Result {
    let url = format!("{}/v1", server.url());
    script.args([&url, TOKEN]).limit(LIMIT).run()
}
