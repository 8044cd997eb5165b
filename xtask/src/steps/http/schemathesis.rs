//! A fuzzer that reads the OpenAPI document finds no undocumented status, header or body, no failure of the server, and no hang.

use std::path::Path;
use std::time::Duration;

use super::server::{Server, TOKEN};
use crate::Result;
use crate::skips::Skips;
use crate::steps::installation::Installation;
use crate::steps::python_environment::Environment;
use crate::workspace::Workspace;

const REQUIREMENTS: &str = "crates/http/tests/schemathesis/requirements.txt";
const CONFIGURATION: &str = "crates/http/tests/schemathesis/schemathesis.toml";

/// All checks but those of the meaning of data: the document does not state every rule of an id or a key.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,unsupported_method,allow_header_conformance,ignored_auth";

/// The seconds that the fuzzer takes, and ten times as many in a long run.
const SECONDS: u32 = 60;

/// A request that takes this many seconds hangs.
const HANG: &str = "10";

pub(super) fn run(workspace: &Workspace, skips: &mut Skips, server: &Path) -> Result {
    let python = match Environment::with(workspace, "schemathesis", REQUIREMENTS)? {
        Installation::Complete(python) => python,
        Installation::Impossible(why) => {
            skips.add("schemathesis against the OpenAPI document", why);
            return Ok(());
        }
    };
    let server = Server::start(workspace, server, "schemathesis")?;
    let document = format!("{}/openapi.json", server.url());
    let authorization = format!("Authorization: Bearer {TOKEN}");
    let seconds = if workspace.is_long() { 10 * SECONDS } else { SECONDS };
    let time = seconds.to_string();
    let configuration = workspace.root().join(CONFIGURATION).display().to_string();
    python
        .program_here("schemathesis")
        .args(["--config-file", &configuration, "run", &document, "--header", &authorization])
        .args([
            "--checks",
            CHECKS,
            "--max-time",
            &time,
            "--max-response-time",
            HANG,
            "--request-timeout",
            "30",
        ])
        .args(["--continue-on-failure", "--generation-database", "none", "--warnings", "off", "--seed", "1"])
        .limit(Duration::from_secs(u64::from(seconds) + 120))
        .run()
}
