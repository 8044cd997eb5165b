//! The suites of the peers: one folder each, which `crates/python/peers/README.md` describes.

use std::fs;
use std::time::Duration;

use throughline_postgres_cluster::Cluster;

use super::package::Wheel;
use super::sources;
use crate::Result;
use crate::skips::Skips;
use crate::steps::installation::Installation;
use crate::steps::python_environment::Environment;
use crate::steps::{postgres, reliability};
use crate::workspace::Workspace;

/// The folder with a folder for each peer, from the root.
const FOLDER: &str = "crates/python/peers";

/// The program that runs the suites of a peer. Each suite has a limit of its own.
const RUNNER: &str = "crates/python/peers/run_suite.py";

/// The longest time that all suites of a peer take, ordinarily and in a long run.
const LIMIT: Duration = Duration::from_secs(900);
const LONG_LIMIT: Duration = Duration::from_secs(3 * 3600);

/// Returns the names of all peers, or the one that was asked for.
pub(super) fn named(workspace: &Workspace, only: Option<&str>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(workspace.root().join(FOLDER))? {
        let entry = entry?;
        if entry.path().join("suite.toml").exists() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort_unstable();
    match only {
        None => Ok(names),
        Some(only) if names.iter().any(|name| name == only) => Ok(vec![only.to_owned()]),
        Some(only) => {
            Err(format!("there is no peer `{only}` in {FOLDER}; the peers are {}", names.join(", ")).into())
        }
    }
}

/// Runs the suites of one peer against the wheel.
pub(super) fn run(
    workspace: &Workspace,
    skips: &mut Skips,
    peer: &str,
    wheel: &Wheel,
    cluster: Option<&Cluster>,
) -> Result {
    let file = |name: &str| format!("{FOLDER}/{peer}/{name}");
    let skip = |skips: &mut Skips, why: String| {
        skips.add(format!("the suites of {peer}"), why);
        Ok(())
    };
    let python = match Environment::with(workspace, &format!("peer-{peer}"), &file("requirements.txt"))? {
        Installation::Complete(python) => python,
        Installation::Impossible(why) => return skip(skips, why),
    };
    let sources = match sources::fetch(workspace, &python, peer, &file("sources.txt"))? {
        Installation::Complete(sources) => sources,
        Installation::Impossible(why) => return skip(skips, why),
    };
    wheel.install(workspace, &python)?;
    let work = workspace.metadata().target.join("xtask").join("python-work");
    fs::create_dir_all(&work)?;
    let skipped = work.join(format!("{peer}-skips.tsv"));
    reliability::remove(&skipped)?;
    let path = skipped.to_str().ok_or("the target directory is not UTF-8")?;
    let (long, limit): (&[&str], _) =
        if workspace.is_long() { (&["--long"], LONG_LIMIT) } else { (&[], LIMIT) };
    let runner = python
        .program(workspace, "python")
        .args(["-B", RUNNER, peer])
        .args(long)
        .args(["--sources".as_ref(), sources.as_path(), "--work".as_ref(), work.as_path()])
        .setting("THROUGHLINE_SKIPS", path)
        .limit(limit);
    let ran = postgres::with_cluster(runner, cluster).run();
    reliability::collect(&skipped, skips)?;
    ran
}
