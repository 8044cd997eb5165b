//! OpenAI's own clients for Python run a scripted conversation, unmodified.

use std::path::Path;
use std::time::Duration;

use super::installation::Installation;
use super::python::Environment;
use super::server::{Server, TOKEN};
use crate::Result;
use crate::skips::Skips;
use crate::workspace::Workspace;

const REQUIREMENTS: &str = "crates/http/tests/openai_client/requirements.txt";
const SCRIPT: &str = "crates/http/tests/openai_client/scripted_conversation.py";

/// The conversation takes some seconds.
const LIMIT: Duration = Duration::from_secs(180);

pub(super) fn run(workspace: &Workspace, skips: &mut Skips, server: &Path) -> Result {
    let python = match Environment::with(workspace, "openai", REQUIREMENTS)? {
        Installation::Complete(python) => python,
        Installation::Impossible(why) => {
            skips.add("the OpenAI clients against /v1/conversations", why);
            return Ok(());
        }
    };
    let server = Server::start(workspace, server, "openai")?;
    let url = format!("{}/v1", server.url());
    python.program(workspace, "python").args([SCRIPT, &url, TOKEN]).limit(LIMIT).run()
}
