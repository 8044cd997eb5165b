//! `browser`: the web page in a real Chromium.
//!
//! Under a profile of nextest of their own, because each test starts a browser, and the machine needs one.

use super::tools;
use crate::Result;
use crate::skips::Skips;
use crate::workspace::Workspace;

/// The programs of the tests.
const PROGRAMS: [&str; 2] = ["chromium", "chromedriver"];

/// The Debian packages with them.
const PACKAGES: [&str; 2] = ["chromium", "chromium-driver"];

/// Runs all of them; a skip where there is no Chromium.
pub(super) fn run(workspace: &Workspace, skips: &mut Skips) -> Result {
    if let Err(why) = chromium(workspace) {
        skips.add("the web page in Chromium", why.to_string());
        return Ok(());
    }
    tools::nextest(workspace)?;
    let args = ["nextest", "run", "--workspace", "--all-features", "--no-fail-fast", "--profile", "browser"];
    workspace.cargo(args).run()
}

/// Chromium and its driver, installed where they are missing and can be.
fn chromium(workspace: &Workspace) -> Result {
    if let Some(missing) = missing(workspace) {
        tools::debian(workspace, missing, &PACKAGES)?;
    }
    match missing(workspace) {
        None => Ok(()),
        Some(missing) => Err(format!("{missing} does not run").into()),
    }
}

/// The first of the programs that does not run.
fn missing(workspace: &Workspace) -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| !workspace.program(program).args(["--version"]).succeeds())
}
