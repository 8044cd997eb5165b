//! The suites of the peers: one folder each, which `crates/python/peers/README.md` describes.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use throughline_postgres_cluster::Cluster;

use super::sources;
use crate::Result;
use crate::skips::Skips;
use crate::steps::installation::Installation;
use crate::steps::parts::Part;
use crate::steps::python_environment::Environment;
use crate::steps::{postgres, reliability};
use crate::workspace::Workspace;

/// The folder with a folder for each peer, from the root.
const FOLDER: &str = "crates/python/peers";

/// The program that runs the suites of a peer. Each suite has a limit of its own.
const RUNNER: &str = "crates/python/peers/run_suite.py";

/// The time that the runner has to end a suite by itself.
const MARGIN: Duration = Duration::from_secs(30);

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

/// The folder with the logs of the parts, and the files of the stores of their cases.
pub(super) fn work(workspace: &Workspace) -> Result<PathBuf> {
    let work = workspace.metadata().target.join("xtask").join("python-work");
    fs::create_dir_all(&work)?;
    Ok(work)
}

/// A peer with its environment and the unpacked sources of its tests.
#[derive(Debug)]
pub(super) struct Peer {
    name: String,
    python: Environment,
    sources: PathBuf,
}

impl Peer {
    /// Makes its environment, and fetches its sources. It is impossible without the index of the packages.
    pub(super) fn prepare(workspace: &Workspace, name: &str) -> Result<Installation<Self>> {
        let file = |file: &str| format!("{FOLDER}/{name}/{file}");
        let environment = Environment::with(workspace, &format!("peer-{name}"), &file("requirements.txt"))?;
        let python = match environment {
            Installation::Complete(python) => python,
            Installation::Impossible(why) => return Ok(Installation::Impossible(why)),
        };
        Ok(match sources::fetch(workspace, &python, name, &file("sources.txt"))? {
            Installation::Complete(sources) => {
                Installation::Complete(Self { name: name.to_owned(), python, sources })
            }
            Installation::Impossible(why) => Installation::Impossible(why),
        })
    }

    /// Its environment.
    pub(super) const fn python(&self) -> &Environment {
        &self.python
    }

    /// Its suites, each with the seconds after which it is ended.
    pub(super) fn parts(&self, workspace: &Workspace, cluster: Option<&Cluster>) -> Result<Vec<(u64, Part)>> {
        let skipped = self.skipped(workspace)?;
        reliability::remove(&skipped)?;
        let skipped = skipped.to_str().ok_or("the target directory is not UTF-8")?;
        let long: &[&str] = if workspace.is_long() { &["--long"] } else { &[] };
        let runner = || self.python.program(workspace, "python").args(["-B", RUNNER, &self.name]).args(long);
        let listing = runner().args(["--list"]).capture()?;
        let mut parts = Vec::new();
        for (suite, seconds) in suites(&listing)? {
            let process = runner()
                .args(["--suite", suite])
                .args(["--sources".as_ref(), self.sources.as_path()])
                .args(["--work".as_ref(), work(workspace)?.as_path()])
                .setting("THROUGHLINE_SKIPS", skipped)
                .limit(Duration::from_secs(seconds) + MARGIN);
            let process = postgres::with_cluster(process, cluster);
            parts.push((seconds, Part::new(format!("{}/{suite}", self.name), process)));
        }
        Ok(parts)
    }

    /// Adds what its suites skipped.
    pub(super) fn collect(&self, workspace: &Workspace, skips: &mut Skips) -> Result {
        reliability::collect(&self.skipped(workspace)?, skips)
    }

    fn skipped(&self, workspace: &Workspace) -> Result<PathBuf> {
        Ok(work(workspace)?.join(format!("{}-skips.tsv", self.name)))
    }
}

/// The suites of a listing: a line for each, with its name, a tab, and its time limit in seconds.
fn suites(listing: &str) -> Result<Vec<(&str, u64)>> {
    listing.lines().map(suite).collect()
}

fn suite(line: &str) -> Result<(&str, u64)> {
    let pair = line.split_once('\t').and_then(|(name, seconds)| Some((name, seconds.parse().ok()?)));
    pair.ok_or_else(|| format!("{RUNNER} --list: no suite and seconds: {line}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_names_each_suite_and_its_limit() {
        assert_eq!(suites("a\t60\nb c\t900\n").expect("a listing"), [("a", 60), ("b c", 900)]);
        let error = suites("a\t60\noops\n").expect_err("a line without seconds").to_string();
        assert!(error.ends_with("no suite and seconds: oops"), "{error}");
    }
}
