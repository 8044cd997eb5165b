//! `python`: the Python package, its types and its tests, and the suites that its peers publish.
//!
//! `cargo xtask python` builds one wheel and installs it into one environment for the tests of the package, and one for each peer.
//! All of them are in the target folder. It is no part of `cargo xtask test` or `cargo xtask ci`.

mod package;
mod peers;
mod sources;

use self::package::Wheel;
use super::installation::Installation;
use super::postgres;
use crate::Result;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// The folder of the package, from the root.
const PACKAGE: &str = "crates/python";

/// The check that the oldest supported version passes.
const VERSION: &str = "import sys; sys.exit(sys.version_info < (3, 10))";

/// Checks the package and all peers, or only one peer.
pub(crate) fn check(workspace: &Workspace, skips: &mut Skips, peer: Option<&str>) -> Result {
    let peers = peers::named(workspace, peer)?;
    if !workspace.program("python3").args(["-c", VERSION]).succeeds() {
        skips.add("the Python package", "there is no python3 of version 3.10 or newer");
        return Ok(());
    }
    let tools = match package::environment(workspace)? {
        Installation::Complete(tools) => tools,
        Installation::Impossible(why) => {
            skips.add("the Python package", why);
            return Ok(());
        }
    };
    let wheel = Wheel::build(workspace, &tools)?;
    let needs_cluster = peer.is_none() || workspace.is_long();
    let cluster = if needs_cluster { postgres::serve(workspace, skips)? } else { None };
    let mut failures = Vec::new();
    if peer.is_none() {
        failures.extend(package::check(workspace, &tools, &wheel, cluster.as_ref())?);
    }
    for peer in peers {
        if let Err(error) = peers::run(workspace, skips, &peer, &wheel, cluster.as_ref()) {
            println!("FAILED: {peer}: {error}");
            failures.push(peer);
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(format!("failed: {}", failures.join(", ")).into()) }
}
